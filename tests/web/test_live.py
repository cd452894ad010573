"""Real sweeps under way: a worker that paints, and pages that follow it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from playwright.sync_api import BrowserContext, Locator, Page, expect

from producer.cli import cli
from storage.jobs.results import record_failure
from storage.settings import read_settings
from storage.sql.database import open_database
from storage.store import Store
from tests.builders import take_these
from tests.processes import PATIENCE_S, running
from tests.stand_in import hold, let_go
from tests.web.complaints import Complaints
from tests.web.pictures import screenshot
from tests.web.serving import Gallery, viewing
from tests.web.sight import GridSight

SPEC = """
name: night
base: {model: "builtin:shapes", prompt: "a red star on a blue background"}
axes:
  scheduler: [ddim, euler, heun]
  steps: [1, 2]
  seed: {start: 0, count: 2}
"""
WORKER = ("nightsweep", "worker", "--device", "cpu", "--workers", "1")
SIDES = {"rows": "scheduler", "cols": "steps", "slider": "seed"}


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Gallery]:
    """Yield a gallery of a sweep of twelve images, none of which is made.

    A test names it before `page`, so that the page is closed first, which else would
    complain of a server that is gone.
    """
    file = tmp_path / "night.yaml"
    file.write_text(SPEC)
    run("submit", str(file))
    with viewing(read_settings().home) as gallery:
        yield gallery


def run(*words: str) -> None:
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output


def key_of(**values: object) -> str:
    (row,) = Store().find("night", **{name: str(one) for name, one in values.items()})
    return str(row["key"])


def card_of(page: Page) -> Locator:
    return page.get_by_role("article").filter(has_text="night")


def painted(sight: GridSight, row: object, col: object) -> Callable[[], object]:
    """Return what reads the colour in the middle of a cell, in hex."""

    def read() -> str:
        screen = screenshot(sight.page, sight.box(row, col))
        pixel = screen.getpixel((screen.width // 2, screen.height // 2))
        assert isinstance(pixel, tuple)
        return bytes(pixel).hex()

    return read


def test_progress_of_a_sweep_is_followed_live(night: Gallery, page: Page) -> None:
    hold()
    other = page.context.new_page()
    page.goto(night.url())
    card = card_of(page)
    expect(card).to_contain_text("12 waiting")
    sight = GridSight(other)
    sight.open(night, "", **SIDES)
    with running(*WORKER):
        page.get_by_text("1 worker on 1 device").click()
        expect(page.get_by_role("table")).to_contain_text("painting")
        expect(card).to_contain_text("in work")
        let_go()
        expect(card).to_contain_text("12 done")
    other.bring_to_front()
    for scheduler, steps in (("ddim", 1), ("euler", 2), ("heun", 1)):
        key = key_of(scheduler=scheduler, steps=steps, seed=0)
        sight.eventually(painted(sight, scheduler, steps), key[:6])


def test_a_sweep_is_paused_resumed_and_cancelled_from_its_card(
    night: Gallery, page: Page
) -> None:
    page.goto(night.url())
    card = card_of(page)
    card.get_by_role("button", name="Pause").click()
    expect(card).to_contain_text("paused")
    assert Store().sweeps()[0]["state"] == "paused"
    card.get_by_role("button", name="Resume").click()
    expect(card.get_by_role("button", name="Pause")).to_be_visible()
    card.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Keep it").click()
    assert Store().sweeps()[0]["state"] == "active"
    card.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the sweep").click()
    expect(card).to_contain_text("cancelled")
    assert Store().sweeps()[0]["state"] == "cancelled"


def test_what_another_terminal_does_is_shown(night: Gallery, page: Page) -> None:
    page.goto(night.url())
    expect(card_of(page)).to_contain_text("waiting")
    run("pause", "night")
    expect(card_of(page)).to_contain_text("paused")


def test_a_failed_cell_is_made_when_it_is_asked_for(night: Gallery, page: Page) -> None:
    key = key_of(scheduler="euler", steps=2, seed=0)
    database = open_database(read_settings().database_url)
    (claim,) = take_these(database, [key])
    record_failure(database, claim.id, owner="host:1:1", error="latents are NaN")
    database.close()
    sight = GridSight(page)
    sight.open(night, "night", **SIDES)
    with running(*WORKER):
        sight.eventually(
            painted(sight, "euler", 1), key_of(scheduler="euler", steps=1, seed=0)[:6]
        )
        expect(page.locator(".grid-counts")).to_contain_text("1 failed")
        sight.click("euler", 2, modifier="Control")
        page.get_by_role("button", name="Make these").click()
        page.get_by_role("menuitem").first.press("Enter")
        sight.eventually(painted(sight, "euler", 2), key[:6])
        expect(page.locator(".grid-counts")).to_contain_text("12 done")


def test_waiting_images_are_made_here_where_no_worker_is_alive(
    tmp_path: Path, browse: Callable[..., BrowserContext]
) -> None:
    file = tmp_path / "night.yaml"
    file.write_text(SPEC)
    run("submit", str(file))
    options = {"NIGHTSWEEP_PAINTER": "tests.stand_in:make_painter"}
    with viewing(read_settings().home, env=options) as gallery:
        context = browse()
        page = context.new_page()
        sight = GridSight(page)
        sight.open(gallery, "night", **SIDES)
        page.get_by_role("button", name="Make these").click()
        page.get_by_role("menuitem", name="All of the query: 12").press("Enter")
        dialog = page.get_by_role("dialog", name="No worker is alive")
        expect(dialog).to_contain_text("12 images wait for a worker.")
        expect(dialog).to_contain_text("nightsweep run --detach night")
        dialog.get_by_role("button", name="Make it here").click()
        try:
            expect(page.locator(".grid-counts")).to_contain_text(
                "12 done", timeout=1000 * PATIENCE_S
            )
            said = "night is made on this machine, in the background"
            expect(page.get_by_role("status").filter(has_text=said)).to_be_visible()
        finally:
            for word in ("stop", "down"):
                CliRunner().invoke(cli, [word])
        key = key_of(scheduler="euler", steps=1, seed=0)
        sight.eventually(painted(sight, "euler", 1), key[:6])
        context.close()


def test_an_empty_cell_is_added_once_one_agrees(
    tmp_path: Path, browse: Callable[..., BrowserContext]
) -> None:
    file = tmp_path / "night.yaml"
    file.write_text(f"{SPEC}exclude: [{{scheduler: euler, steps: 2}}]\n")
    run("submit", str(file))
    with viewing(read_settings().home) as gallery:
        context = browse()
        page = context.new_page()
        GridSight(page).open(gallery, "night", **SIDES)
        counts = page.locator(".grid-counts")
        expect(counts).to_contain_text("10 images")
        page.get_by_role("button", name="Make these").click()
        page.get_by_role("menuitem", name="Empty cells: 1").press("Enter")
        dialog = page.get_by_role("dialog", name="Add combinations")
        expect(dialog).to_contain_text("This adds 1 image to night")
        dialog.get_by_role("button", name="Add nothing").click()
        expect(dialog).to_be_hidden()
        assert len(Store().find("night")) == 10
        page.get_by_role("button", name="Make these").click()
        page.get_by_role("menuitem", name="Empty cells: 1").press("Enter")
        dialog.get_by_role("button", name="Add 1 image").click()
        waits = page.get_by_role("dialog", name="No worker is alive")
        expect(waits).to_contain_text("night (revision 2): 11 images, 1 new")
        waits.get_by_role("button", name="Later").click()
        expect(counts).to_contain_text("11 images")
        key_of(scheduler="euler", steps=2, seed=0)
        context.close()


def test_pages_say_that_the_server_is_away_until_it_is_back(
    tmp_path: Path, browse: Callable[..., BrowserContext], complaints: Complaints
) -> None:
    file = tmp_path / "night.yaml"
    file.write_text(SPEC)
    run("submit", str(file))
    home = read_settings().home
    away = "No news: The page must reach the server"
    with viewing(home) as gallery:
        context = browse()
        sweeps, grid = context.new_page(), context.new_page()
        sweeps.goto(gallery.url())
        grid.goto(gallery.url("grid", q="night"))
        GridSight(grid).wait()
        for page in (sweeps, grid):
            expect(page.get_by_text(away)).to_be_hidden()
        gallery.process.kill()
        for page in (sweeps, grid):
            expect(page.get_by_text(away)).to_be_visible()
    port = gallery.root.rpartition(":")[2]
    with viewing(home, "--port", port):
        for page in (sweeps, grid):
            expect(page.get_by_text(away)).to_be_hidden()
        context.close()
    complaints.allow("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING")
    complaints.allow("ERR_CONNECTION_RESET")
