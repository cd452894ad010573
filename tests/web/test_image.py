"""The page of one image."""

import hashlib

from playwright.sync_api import Page, expect

from storage.files.images import ImageFolder
from tests.web.pictures import PALETTE_AXES, shown_values
from tests.web.serving import Gallery
from tests.web.sight import GridSight
from tests.web.stores import FilledStore

FOX = PALETTE_AXES["prompt"][0]
HERE = {"prompt": FOX, "scheduler": "heun", "steps": 8, "seed": 1}


def open_image(page: Page, gallery: Gallery, store: FilledStore) -> str:
    key = store.key(**HERE)
    page.goto(gallery.url(f"show/{key}"))
    expect(page.get_by_role("heading", name=FOX)).to_be_visible()
    return key


def test_arrows_step_to_neighbours_along_an_axis(
    page: Page, gallery: Gallery, store: FilledStore
) -> None:
    open_image(page, gallery, store)
    picture = page.locator(".image-stage img, main img").first
    sight = GridSight(page)

    def shown() -> object:
        box = picture.bounding_box()
        assert box
        return shown_values(page, box)

    sight.eventually(shown, HERE)
    # From the axis of prompts, which is the first, to that of schedulers.
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    sight.eventually(shown, HERE | {"scheduler": "unipc"})
    page.wait_for_url(f"**/show/{store.key(**HERE | {'scheduler': 'unipc'})}*")
    page.go_back()
    sight.eventually(shown, HERE)


def test_neighbours_are_chosen_among_the_query_and_the_sweeps(
    page: Page, gallery: Gallery, store: FilledStore
) -> None:
    page.goto(gallery.url(f"show/{store.key(**HERE)}", q="palette scheduler:heun"))
    choice = page.get_by_label("Neighbours among")
    expect(choice).to_have_value("palette scheduler:heun")
    expect(page.get_by_role("button", name="Along steps")).to_be_visible()
    along = page.get_by_role("button", name="Along scheduler")
    expect(along).to_be_hidden()
    choice.select_option("sweep:palette")
    expect(along).to_be_visible()
    along.click()
    page.keyboard.press("ArrowRight")
    there = store.key(**HERE | {"scheduler": "unipc"})
    page.wait_for_url(f"**/show/{there}?*among=sweep*")
    # The query does not have this one.
    expect(choice).to_be_hidden()
    page.go_back()
    expect(choice).to_have_value("sweep:palette")


def test_an_image_is_downloaded_as_it_is(
    page: Page, gallery: Gallery, store: FilledStore
) -> None:
    key = open_image(page, gallery, store)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download PNG").click()
    stored = ImageFolder(store.settings.images).path(key).read_bytes()
    assert download.value.suggested_filename.endswith(".png")
    assert hashlib.sha256(download.value.path().read_bytes()).digest() == (
        hashlib.sha256(stored).digest()
    )


def test_the_script_that_makes_it_is_copied(
    page: Page, gallery: Gallery, store: FilledStore
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_image(page, gallery, store)
    page.get_by_role("button", name="Copy script").click()
    expect(page.get_by_role("status").filter(has_text="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "HeunDiscreteScheduler" in copied
    compile(copied, "script.py", "exec")
