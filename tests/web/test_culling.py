"""Ratings by keyboard, and blind votes."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from click.testing import CliRunner
from playwright.sync_api import Page, expect

from producer.cli import cli
from tests.web.pictures import PALETTE_AXES
from tests.web.serving import Gallery
from tests.web.sight import GridSight
from tests.web.stores import FilledStore

FOX = PALETTE_AXES["prompt"][0]
SIDES = {"rows": "scheduler", "cols": "steps", "supers": "prompt", "slider": "seed"}
Find = Callable[[str], list[str]]


@pytest.fixture
def find(store: FilledStore, monkeypatch: pytest.MonkeyPatch) -> Find:
    """Return what asks `nightsweep find` for keys, as the same person."""
    monkeypatch.setenv("NIGHTSWEEP_HOME", str(store.settings.home))
    monkeypatch.setenv("NIGHTSWEEP_USER", "mira")

    def ask(query: str) -> list[str]:
        words = ["find", *query.split(), "--columns", "key"]
        done = CliRunner().invoke(cli, words)
        assert done.exit_code == 0, done.output
        return re.findall(r"\b[0-9a-f]{32}\b", done.stdout)

    return ask


def rows(store: FilledStore, query: str, *values: object) -> list[Any]:
    path = store.settings.database_path
    assert path
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        return connection.execute(query, values).fetchall()


def ratings(store: FilledStore, key: str) -> list[Any]:
    query = (
        "SELECT who, stars, verdict FROM ratings JOIN jobs ON jobs.id = job_id "
        "WHERE key = ?"
    )
    return rows(store, query, key)


def test_a_rating_is_a_row_a_mark_and_a_condition(
    page: Page, gallery: Gallery, store: FilledStore, find: Find
) -> None:
    key = store.key(prompt=FOX, scheduler="euler", steps=4, seed=1)
    sight = GridSight(page)
    sight.open(gallery, "palette seed:1", **SIDES)
    sight.shows("euler", 4, scheduler="euler")
    plain = sight.pixels("euler", 4)
    sight.click("euler", 4)
    page.keyboard.press("5")
    sight.eventually(lambda: ratings(store, key), [("mira", 5, None)])
    cell = page.get_by_role("gridcell")
    expect(cell).to_have_accessible_name(re.compile("euler.*5 stars"))
    assert find("palette rating:5") == [key]
    # The mark is there for another look, too, without the focus.
    page.reload()
    sight.wait()
    sight.shows("heun", 8, scheduler="heun")
    sight.eventually(lambda: sight.pixels("euler", 4) != plain, wanted=True)


def test_a_verdict_for_selected_cells_is_taken_back_by_u(
    page: Page, gallery: Gallery, store: FilledStore, find: Find
) -> None:
    sight = GridSight(page)
    sight.open(gallery, "palette seed:0", **SIDES)
    keys = [
        store.key(prompt=FOX, scheduler=s, steps=20, seed=0) for s in ("euler", "heun")
    ]
    sight.click("euler", 20)
    sight.click("heun", 20, modifier="Shift")
    expect(page.locator(".grid-counts")).to_contain_text("2")
    page.keyboard.press("x")
    sight.eventually(
        lambda: [ratings(store, key) for key in keys],
        [[("mira", None, "rejected")]] * 2,
    )
    assert sorted(find("palette verdict:rejected")) == sorted(keys)
    page.keyboard.press("u")
    sight.eventually(lambda: find("palette verdict:rejected"), [])


def test_blind_mode_hides_labels_and_what_cells_are(
    page: Page, gallery: Gallery
) -> None:
    sight = GridSight(page)
    sight.open(gallery, "palette", **SIDES)
    sight.grid.focus()
    page.keyboard.press("b")
    cell = page.get_by_role("gridcell")
    expect(cell).not_to_have_accessible_name(re.compile("ddim|euler|heun|unipc"))
    labels = page.locator(".grid-label span")
    expect(labels.filter(visible=True)).to_have_count(0)
    told = page.evaluate("""() => [...document.querySelectorAll(".grid-label")]
      .map((label) => label.title).join("")""")
    assert not told
    page.keyboard.press("b")
    expect(labels.filter(has_text="unipc").first).to_be_visible()


def test_a_blind_vote_names_its_values_only_afterwards(
    page: Page, gallery: Gallery, store: FilledStore
) -> None:
    page.goto(gallery.url("grid", q="palette"))
    page.get_by_role("button", name="Vote…").click()
    dialog = page.get_by_role("dialog", name="Which is better?")
    pictures = dialog.get_by_role("img")
    expect(pictures).to_have_count(2)
    heading = dialog.get_by_role("heading", name=re.compile("Preferred"))
    expect(heading).to_contain_text("0 votes")
    names = re.compile(r"(ddim|euler|heun|unipc) won against (ddim|euler|heun|unipc)\.")
    told = dialog.get_by_role("status")
    expect(told).not_to_contain_text(names)
    shown = [pictures.nth(n).get_attribute("src") for n in (0, 1)]
    keys = [re.findall("[0-9a-f]{32}", src or "")[0] for src in shown]
    page.keyboard.press("ArrowLeft")
    expect(told).to_contain_text(names)
    won, lost = names.search(told.inner_text()).groups()  # type: ignore[union-attr]
    schedulers = dict(
        rows(
            store,
            "SELECT jobs.key, s.name FROM jobs JOIN schedulers s "
            "ON s.id = jobs.scheduler_id",
        )
    )
    assert [schedulers[key] for key in keys] == [won, lost]
    assert rows(store, "SELECT count(*) FROM votes") == [(1,)]
    expect(heading).to_contain_text("1 vote")
    page.keyboard.press("ArrowDown")
    expect(told).to_contain_text("a tie")
    assert rows(store, "SELECT count(*) FROM votes") == [(2,)]
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
