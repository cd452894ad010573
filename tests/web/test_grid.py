import re

from playwright.sync_api import Page, Request, expect

from tests.web.complaints import Complaints
from tests.web.pictures import PALETTE_AXES
from tests.web.serving import Gallery
from tests.web.sight import GridSight

#: One image a cell, with the seeds behind the slider and the prompts in bands.
SIDES = {
    "rows": "scheduler",
    "cols": "steps",
    "supers": "prompt",
    "slider": "seed",
    "stack": "",
}
FOX, BOAT = PALETTE_AXES["prompt"]


def open_palette(page: Page, gallery: Gallery) -> GridSight:
    sight = GridSight(page)
    sight.open(gallery, "palette", **SIDES)
    return sight


def chip(page: Page, axis: str) -> str:
    return f'.chip[data-axis="{axis}"]'


def drag(page: Page, axis: str, *, zone: str) -> None:
    page.locator(chip(page, axis)).hover()
    page.mouse.down()
    box = page.locator(f'[data-zone="{zone}"]').bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] - 6, box["y"] + 20, steps=5)
    page.mouse.up()


def zoom_into(
    page: Page, sight: GridSight, *, right: bool, down: bool, col: object = 8
) -> None:
    """Zoom with the wheel over one quarter of a cell until it fills the cell."""
    box = sight.box("heun", col)
    x = box["x"] + box["width"] * (0.95 if right else 0.05)
    y = box["y"] + box["height"] * (0.95 if down else 0.05)
    page.mouse.move(x, y)
    page.keyboard.down("Control")
    for _ in range(4):
        page.mouse.wheel(0, -120)
    page.keyboard.up("Control")


def play_the_slider(page: Page, sight: GridSight) -> None:
    """Hold the key that plays it until all seeds came by; cells are zoomed."""
    sight.grid.focus()
    page.keyboard.down("f")
    for seed in (1, 2, 0):
        sight.is_filled("euler", 20, seed=seed)
    page.keyboard.up("f")


def test_a_grid_is_begun_while_its_link_is_pointed_at(
    page: Page, gallery: Gallery
) -> None:
    page.goto(gallery.url())
    link = page.get_by_role("link", name="palette", exact=True)
    with page.expect_request("**/grid?*") as ahead:
        link.hover()
    assert ahead.value.resource_type == "fetch"
    link.click()
    expect(page.locator(".grid-counts")).to_contain_text("95 images")


def test_pictures_are_asked_for_before_news_and_completion(
    page: Page, gallery: Gallery
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with page.expect_request("**/api/events?*"), page.expect_request("**/complete?*"):
        open_palette(page, gallery)
    first = {
        part: next(n for n, url in enumerate(asked) if part in url)
        for part in ("/thumb/", "/api/events", "/api/complete")
    }
    assert min(first, key=lambda part: first[part]) == "/thumb/"


def test_each_cell_shows_its_own_image(page: Page, gallery: Gallery) -> None:
    sight = open_palette(page, gallery)
    assert sight.labels("cols") == ["4", "8", "12", "20"]
    assert sight.labels("supers")[0] == FOX
    for scheduler in ("euler", "heun", "unipc"):
        for steps in (4, 8, 12, 20):
            shown = {"scheduler": scheduler, "steps": steps, "seed": 0, "prompt": FOX}
            sight.shows(scheduler, steps, **shown)


def test_an_axis_is_dragged_to_another_side_and_asks_the_server_nothing(
    page: Page, gallery: Gallery
) -> None:
    sight = open_palette(page, gallery)
    sight.shows("heun", 8, seed=0)
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))
    drag(page, "seed", zone="cols")
    sight.eventually(
        lambda: sight.labels("cols")[:4], ["4 · 0", "4 · 1", "4 · 2", "8 · 0"]
    )
    sight.shows("heun", "8 · 0", scheduler="heun", steps=8, seed=0)
    drag(page, "steps", zone="slider")
    sight.eventually(lambda: sight.labels("cols"), ["0", "1", "2"])
    sight.shows("unipc", 2, scheduler="unipc", steps=4, seed=2)
    drag(page, "prompt", zone="rows")
    sight.eventually(lambda: sight.labels("rows")[1:2], [f"ddim · {BOAT}"])
    sight.shows(f"ddim · {BOAT}", 1, scheduler="ddim", prompt=BOAT, seed=1)
    assert not [each for each in asked if "/api/pivot" in each.url]


def test_a_chip_that_is_dropped_beside_all_sides_stays(
    page: Page, gallery: Gallery
) -> None:
    sight = open_palette(page, gallery)
    page.locator(chip(page, "seed")).hover()
    page.mouse.down()
    page.mouse.move(700, 600, steps=3)
    page.mouse.up()
    assert sight.labels("cols") == ["4", "8", "12", "20"]
    expect(page.locator(f'[data-zone="slider"] {chip(page, "seed")}')).to_be_visible()


def test_an_axis_moves_by_keyboard(page: Page, gallery: Gallery) -> None:
    sight = open_palette(page, gallery)
    page.locator(chip(page, "seed")).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menu")).to_be_visible()
    expect(page.get_by_role("menuitemradio", name="Slider")).to_be_focused()
    page.get_by_role("menuitemradio", name="Columns").press("Enter")
    sight.eventually(lambda: sight.labels("cols")[1:2], ["4 · 1"])
    expect(page.locator(f'[data-zone="cols"] {chip(page, "seed")}')).to_be_focused()
    sight.grid.focus()
    page.keyboard.press("s")
    sight.eventually(lambda: sight.labels("cols"), ["ddim", "euler", "heun", "unipc"])
    sight.shows("8 · 1", "euler", scheduler="euler", steps=8, seed=1)


def test_all_cells_zoom_in_step(page: Page, gallery: Gallery) -> None:
    sight = open_palette(page, gallery)
    sight.shows("heun", 8, scheduler="heun")
    zoom_into(page, sight, right=False, down=False)
    for scheduler in ("euler", "heun", "unipc"):
        for steps in (4, 8, 12, 20):
            sight.is_filled(scheduler, steps, scheduler=scheduler)


def test_zoomed_pictures_move_in_step_and_fit_again(
    page: Page, gallery: Gallery
) -> None:
    sight = open_palette(page, gallery)
    sight.shows("heun", 8, scheduler="heun")
    zoom_into(page, sight, right=False, down=False)
    sight.is_filled("unipc", 20, scheduler="unipc")
    sight.grid.focus()
    for _ in range(8):
        page.keyboard.press("l")
    for scheduler in ("euler", "unipc"):
        for steps in (4, 8, 12, 20):
            sight.is_filled(scheduler, steps, steps=steps)
    page.keyboard.press("z")
    sight.shows("unipc", 20, scheduler="unipc", steps=20, seed=0)


def test_pictures_are_dragged_in_step(page: Page, gallery: Gallery) -> None:
    sight = open_palette(page, gallery)
    sight.shows("heun", 8, scheduler="heun")
    zoom_into(page, sight, right=False, down=False)
    sight.is_filled("heun", 8, scheduler="heun")
    box = sight.box("euler", 4)
    page.mouse.move(box["x"] + 80, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] - 400, box["y"] + 10, steps=8)
    page.mouse.up()
    for steps in (4, 8, 12, 20):
        sight.is_filled("unipc", steps, steps=steps)


def test_a_held_key_plays_the_slider_in_every_cell_with_the_zoom_kept(
    page: Page, gallery: Gallery
) -> None:
    sight = open_palette(page, gallery)
    sight.shows("heun", 8, seed=0)
    zoom_into(page, sight, right=True, down=True)
    sight.is_filled("heun", 8, seed=0)
    play_the_slider(page, sight)
    here = page.locator(".slider-text").inner_text()
    for scheduler, steps in (("euler", 4), ("heun", 8), ("unipc", 20)):
        sight.is_filled(scheduler, steps, seed=int(here))
    expect(page.locator(".zoom-text")).not_to_have_text("100 %")


def test_the_slider_steps_by_keyboard_through_the_stack_of_each_cell(
    page: Page, gallery: Gallery
) -> None:
    sight = open_palette(page, gallery)
    sight.grid.focus()
    page.keyboard.press(".")
    sight.shows("heun", 8, seed=1, scheduler="heun")
    page.keyboard.press(".")
    sight.shows("heun", 8, seed=2, scheduler="heun")
    page.keyboard.press(".")
    sight.shows("heun", 8, seed=0, scheduler="heun")


def test_a_failed_cell_says_why(page: Page, gallery: Gallery) -> None:
    sight = GridSight(page)
    sight.open(gallery, "palette seed:2", **SIDES)
    sight.grid.focus()
    page.keyboard.press("ArrowRight")
    cell = page.get_by_role("gridcell")
    expect(cell).to_have_accessible_name(re.compile("latents are NaN"))
    box = sight.box("ddim", 8)
    page.mouse.move(box["x"] + 30, box["y"] + 30)
    expect(page.locator(".grid-tip")).to_contain_text("latents are NaN")


def test_what_is_not_made_cannot_be_rated_or_pinned(
    page: Page, gallery: Gallery
) -> None:
    sight = open_palette(page, gallery)
    sight.click("ddim", 12)
    for key in ("3", "c"):
        page.keyboard.press(key)
        said = page.get_by_role("status").filter(has_text="Only an image that is made")
        expect(said).to_be_visible()
        page.reload()
        sight.wait()
        sight.click("ddim", 12)


def test_an_address_shows_the_same_grid_again(page: Page, gallery: Gallery) -> None:
    sight = open_palette(page, gallery)
    drag(page, "seed", zone="cols")
    sight.eventually(lambda: len(sight.labels("cols")) > 4, True)
    zoom_into(page, sight, right=False, down=False, col="8 · 1")
    page.wait_for_url(re.compile("zoom="))
    page.reload()
    sight.wait()
    sight.eventually(lambda: sight.labels("cols")[1:2], ["4 · 1"])
    sight.is_filled("heun", "8 · 1", scheduler="heun")


def test_a_line_that_no_image_has_counts_as_left_out(
    page: Page, gallery: Gallery
) -> None:
    page.goto(gallery.url("grid", q="palette", line="score.none"))
    GridSight(page).wait()
    expect(page.get_by_label("Under cells")).to_have_value("none")
    page.goto(gallery.url("grid", q="palette", line="time"))
    GridSight(page).wait()
    expect(page.get_by_label("Under cells")).to_have_value("time")


def test_a_query_is_completed_by_keyboard_and_asked(
    page: Page, gallery: Gallery
) -> None:
    sight = open_palette(page, gallery)
    sight.grid.focus()
    page.keyboard.press("/")
    field = page.get_by_role("combobox", name="Query")
    expect(field).to_be_focused()
    field.fill("palette scheduler:he")
    option = page.get_by_role("option", name="scheduler:heun").first
    expect(option).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(field).to_have_value(re.compile("scheduler:heun"))
    page.keyboard.press("Enter")
    expect(page.locator(".grid-counts")).to_contain_text("24 images")
    expect(page.get_by_role("list", name="Terms")).to_contain_text("scheduler:heun")


def test_a_query_that_cannot_be_read_keeps_the_grid_and_says_why(
    page: Page, gallery: Gallery, complaints: Complaints
) -> None:
    sight = open_palette(page, gallery)
    field = page.get_by_role("combobox", name="Query")
    field.fill("palette schedular:heun")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("scheduler")
    sight.shows("heun", 8, scheduler="heun")
    complaints.expect("status of 400")
