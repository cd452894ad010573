"""The page of the answer: its charts, and the images that their points stand for."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.unit.producer.report.scored_store import make_scored
from tests.web.serving import Gallery, viewing
from tests.web.sight import GridSight

#: A point of a chart, which opens its images.
POINT = "path[aria-roledescription=point]"


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """Yield a gallery of the sweep `answer`, whose 93 images have scores."""
    settings = make_scored(tmp_path_factory.mktemp("scored"))
    with viewing(settings.home) as gallery:
        yield gallery


def test_a_point_of_a_chart_leads_to_its_images(page: Page, scored: Gallery) -> None:
    page.goto(scored.url("answer", q="answer"))
    answer = page.get_by_role("region", name="Which settings are as good?")
    expect(answer).to_contain_text("ddim")
    points = page.locator(POINT)
    expect(points.first).to_be_visible()
    expect(page.get_by_text("The chart cannot be drawn")).to_have_count(0)
    points.first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".chart-tip").locator("visible=true")).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url("**/grid?*")
    GridSight(page).wait()
    # 12 prompts and 2 seeds of one setting; two of them are not made.
    expect(page.locator(".grid-counts")).to_contain_text(re.compile("2[2-4] images"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 2560])
def test_charts_fit_the_window(
    browse: Callable[..., BrowserContext], scored: Gallery, width: int, scheme: str
) -> None:
    viewport = {"width": width, "height": 900}
    page = browse(viewport=viewport, color_scheme=scheme).new_page()
    page.goto(scored.url("answer", q="answer"))
    expect(page.locator(POINT).first).to_be_visible()
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0
    # Texts of charts are in the page's own colour, which the themes' tests hold to AA.
    colours = page.evaluate("""() => [
      getComputedStyle(document.querySelector(".chart .role-axis-label text")).fill,
      getComputedStyle(document.body).color]""")
    assert colours[0] == colours[1]


def test_another_question_is_asked_from_the_page(page: Page, scored: Gallery) -> None:
    page.goto(scored.url("answer", q="answer"))
    expect(page.locator(POINT).first).to_be_visible()
    answer = page.get_by_role("region", name="Which settings are as good?")
    before = answer.inner_text()
    field = page.get_by_role("textbox", name="Compare by")
    field.fill("scheduler")
    field.press("Enter")
    page.wait_for_url("**by=scheduler&*")
    expect(answer).not_to_have_text(before)
    expect(answer).to_contain_text("ddim")


def test_a_query_is_completed_as_it_is_typed(page: Page, scored: Gallery) -> None:
    page.goto(scored.url("answer"))
    field = page.get_by_role("combobox", name="Images")
    field.press_sequentially("answ")
    # Not the longer list, which is offered for the empty field.
    expect(page.locator(".query-option")).to_have_text([re.compile("^answer")])
    field.press("ArrowDown")
    field.press("Enter")
    expect(field).to_have_value(re.compile("^answer|^sweep:answer"))
    field.press("Enter")
    page.wait_for_url("**/answer?q=*")
    expect(page.get_by_role("region", name="Which settings")).to_contain_text("ddim")
