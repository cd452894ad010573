"""What every page must be: narrow or wide, light or dark, with or without a mouse."""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.web.complaints import Complaints
from tests.web.serving import Gallery, viewing
from tests.web.sight import GridSight
from tests.web.stores import FilledStore

Browse = Callable[..., BrowserContext]
CONTRAST = Path(__file__).with_name("contrast.js").read_text()
WIDE = "() => document.documentElement.scrollWidth - innerWidth"
#: The element with the focus, as people would name it, and whether its focus is seen.
FOCUS = """() => {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  const isSeen = (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0)
    || style.boxShadow !== "none" || element.getAttribute("role") === "grid";
  const name = element.getAttribute("aria-label") || element.textContent;
  return [element.tagName.toLowerCase(), name.trim(), isSeen];
}"""


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """Yield a gallery of a state folder in which nothing was ever submitted."""
    with viewing(tmp_path_factory.mktemp("empty") / "home") as gallery:
        yield gallery


def addresses(store: FilledStore) -> dict[str, str]:
    """Return what to ask for, and what to wait for, by the name of a page."""
    letters = store.letters[0].job.key
    grids = ("palette", "letters", "single", "palette steps:999")
    pages = {"": "main h2", f"show/{letters}": "main img"}
    for query in grids:
        pages[f"grid?{urlencode({'q': query})}"] = (
            "[role=grid][aria-rowcount], .grid-empty"
        )
    return pages


def visit(page: Page, gallery: Gallery, address: str, *, sign: str) -> None:
    page.goto(f"{gallery.root}/{address}")
    page.locator(sign).locator("visible=true").first.wait_for()


@pytest.mark.parametrize("width", [400, 2560])
def test_no_page_scrolls_sideways(
    browse: Browse, gallery: Gallery, store: FilledStore, width: int
) -> None:
    page = browse(viewport={"width": width, "height": 900}).new_page()
    for address, sign in addresses(store).items():
        visit(page, gallery, address, sign=sign)
        assert page.evaluate(WIDE) <= 0, address


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read_in_both_themes(
    browse: Browse, gallery: Gallery, store: FilledStore, scheme: str
) -> None:
    page = browse(color_scheme=scheme).new_page()
    for address, sign in addresses(store).items():
        visit(page, gallery, address, sign=sign)
        assert page.evaluate(CONTRAST) == [], address


def test_a_chosen_theme_stays(browse: Browse, gallery: Gallery) -> None:
    page = browse(color_scheme="light").new_page()
    page.goto(gallery.url())
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    button = page.get_by_role("button", name="Theme")
    button.click()
    button.click()
    dark = page.evaluate(ground)
    assert dark != light
    page.goto(gallery.url("grid", q="single"))
    assert page.evaluate(ground) == dark


def test_pages_without_images_say_what_to_do(
    browse: Browse, empty: Gallery, complaints: Complaints
) -> None:
    page = browse(viewport={"width": 400, "height": 800}).new_page()
    page.goto(empty.url())
    expect(page.get_by_text("nightsweep run examples/first-sweep.yaml")).to_be_visible()
    page.goto(empty.url("grid"))
    expect(page.get_by_role("alert")).to_contain_text("nightsweep run SPEC")
    assert page.evaluate(WIDE) <= 0
    complaints.expect("status of 400")


def test_no_motion_where_none_is_wanted(browse: Browse, gallery: Gallery) -> None:
    page = browse(reduced_motion="reduce").new_page()
    page.goto(gallery.url())
    expect(page.get_by_role("heading", name="palette")).to_be_visible()
    moving = page.evaluate(
        "document.getAnimations().filter((one) => one.playState === 'running').length"
    )
    assert moving == 0


def tab_to(page: Page, *, name: str, tag: str) -> None:
    """Press Tab until an element has the focus, which every one on the way shows."""
    met = []
    for _ in range(60):
        page.keyboard.press("Tab")
        found, named, is_seen = page.evaluate(FOCUS)
        assert is_seen, f"no focus is seen at {found} {named}"
        if (found, named) == (tag, name):
            return
        met.append(f"{found} {named}")
    raise AssertionError(met)


def test_a_morning_without_a_mouse(
    page: Page, gallery: Gallery, store: FilledStore
) -> None:
    page.goto(gallery.url())
    expect(page.get_by_role("heading", name="single")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, tag="a", name="letters")
    page.keyboard.press("Enter")
    sight = GridSight(page)
    sight.wait()
    tab_to(page, tag="div", name="Images")
    page.keyboard.press("c")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("c")
    page.keyboard.press("t")
    dialog = page.get_by_role("dialog", name="Compare")
    expect(dialog).to_be_visible()
    page.keyboard.press("m")
    expect(dialog.get_by_role("button", name="Slider")).to_have_attribute(
        "aria-pressed", "true"
    )
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(sight.grid).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/show/*")
    star = page.get_by_role("button", name="3 stars")
    expect(star).to_be_visible()
    page.keyboard.press("3")
    expect(star).to_have_attribute("aria-pressed", "true")
    page.go_back()
    sight.wait()
    expect(page.get_by_role("region", name="Compare").get_by_role("img")).to_have_count(
        2
    )
