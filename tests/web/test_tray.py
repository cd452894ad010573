"""The compare tray: pinned images side by side, behind a slider, faded, subtracted."""

import re

from playwright.sync_api import Locator, Page, expect

from tests.web.pictures import COLOURS, screenshot
from tests.web.serving import Gallery
from tests.web.sight import GridSight

SIDES = {"rows": "scheduler", "cols": "steps", "supers": "prompt", "slider": "seed"}


def pin_two(page: Page, gallery: Gallery) -> Locator:
    """Pin the images of Euler and Heun with 8 steps, and compare them."""
    sight = GridSight(page)
    sight.open(gallery, "palette", **SIDES)
    for scheduler in ("euler", "heun"):
        sight.click(scheduler, 8)
        page.keyboard.press("c")
    expect(page.get_by_role("region", name="Compare").get_by_role("img")).to_have_count(
        2
    )
    sight.grid.focus()
    page.keyboard.press("t")
    dialog = page.get_by_role("dialog", name="Compare")
    expect(dialog).to_be_visible()
    return dialog


def colour_at(page: Page, pane: Locator, x: float, y: float) -> tuple[int, ...]:
    """Return a pixel of the picture in a pane; of no colour while it is drawn anew."""
    box = pane.bounding_box()
    if box is None:
        return (-99, -99, -99)
    screen = screenshot(page, box)
    width, height = screen.size
    # The picture, 5:4, is as large as the pane allows, and in its middle.
    scale = min(width / 320, height / 256)
    left, top = (width - 320 * scale) / 2, (height - 256 * scale) / 2
    at = (int(left + 320 * scale * x), int(top + 256 * scale * y))
    pixel = screen.getpixel(at)
    assert isinstance(pixel, tuple)
    return pixel


def is_near(pixel: tuple[int, ...], colour: tuple[int, ...]) -> bool:
    return all(abs(a - b) <= 6 for a, b in zip(pixel, colour, strict=True))


def test_what_differs_is_shown_and_the_rest_is_folded(
    page: Page, gallery: Gallery
) -> None:
    dialog = pin_two(page, gallery)
    expect(dialog.get_by_role("figure")).to_have_count(2)
    table = dialog.get_by_role("region", name="Parameters")
    row = table.get_by_role("row").filter(has_text="scheduler")
    expect(row.first).to_contain_text("euler")
    expect(row.first).to_contain_text("heun")
    steps = table.get_by_text("steps", exact=True)
    expect(steps).to_be_hidden()
    table.get_by_text(re.compile("values that all have")).click()
    expect(steps).to_be_visible()


def test_slider_fade_and_difference_show_what_they_say(
    page: Page, gallery: Gallery
) -> None:
    dialog = pin_two(page, gallery)
    pane = dialog.locator(".pane").first
    sight = GridSight(page)

    def shows(x: float, y: float, colour: tuple[int, ...]) -> None:
        sight.eventually(
            lambda: is_near(colour_at(page, pane, x, y), colour), wanted=True
        )

    euler, heun = COLOURS[1], COLOURS[2]
    dialog.get_by_role("button", name="Slider").click()
    # The upper left quarter has the scheduler's colour: A is left of the divider.
    dialog.get_by_role("slider").fill("25")
    shows(0.2, 0.2, euler)
    shows(0.4, 0.2, heun)
    dialog.get_by_role("button", name="Fade").click()
    dialog.get_by_role("slider").fill("100")
    shows(0.2, 0.2, heun)
    dialog.get_by_role("slider").fill("0")
    shows(0.2, 0.2, euler)
    dialog.get_by_role("button", name="Difference").click()
    dialog.get_by_role("slider").fill("1")
    difference = tuple(abs(a - b) for a, b in zip(euler, heun, strict=True))
    shows(0.2, 0.2, difference)
    shows(0.8, 0.8, (0, 0, 0))


def test_the_tray_is_emptied_by_keyboard_and_stays_over_pages(
    page: Page, gallery: Gallery
) -> None:
    dialog = pin_two(page, gallery)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.reload()
    tray = page.get_by_role("region", name="Compare")
    expect(tray.get_by_role("img")).to_have_count(2)
    tray.get_by_role("button", name="Remove image 1").press("Enter")
    expect(tray.get_by_role("img")).to_have_count(1)
    expect(tray.get_by_role("button", name="Compare")).to_be_disabled()
    tray.get_by_role("button", name="Clear").press("Enter")
    expect(tray).to_be_hidden()
