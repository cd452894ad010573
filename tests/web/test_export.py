"""A grid as a folder, which a colleague opens from disk, without nightsweep."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from playwright.sync_api import BrowserContext, Page, expect

from producer.cli import cli
from tests.web.pictures import PALETTE_AXES
from tests.web.sight import GridSight
from tests.web.stores import FilledStore
from tests.web.test_grid import drag, play_the_slider, zoom_into

FOX = PALETTE_AXES["prompt"][0]


@pytest.fixture
def offline(browse: Callable[..., BrowserContext]) -> Page:
    """Return a tab of a browser that reaches no server."""
    context = browse(offline=True)
    return context.new_page()


def export(
    store: FilledStore, monkeypatch: pytest.MonkeyPatch, query: str, folder: Path
) -> str:
    """Export a query; return the address of the page."""
    monkeypatch.setenv("NIGHTSWEEP_HOME", str(store.settings.home))
    done = CliRunner().invoke(cli, ["view", "--export", str(folder), query])
    assert done.exit_code == 0, done.output
    return (folder / "index.html").as_uri()


def test_an_export_keeps_pivot_zoom_flicker_and_compare(
    offline: Page, store: FilledStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = export(store, monkeypatch, "palette", tmp_path / "export")
    sides = "rows=scheduler&cols=steps&supers=prompt&slider=seed&stack=&cell=112"
    offline.goto(f"{address}#{sides}")
    sight = GridSight(offline)
    sight.wait()
    sight.shows("heun", 8, scheduler="heun", steps=8, seed=0, prompt=FOX)
    drag(offline, "seed", zone="cols")
    sight.shows("heun", "8 · 2", scheduler="heun", steps=8, seed=2)
    drag(offline, "seed", zone="slider")
    zoom_into(offline, sight, right=True, down=True)
    sight.is_filled("unipc", 20, seed=0)
    play_the_slider(offline, sight)
    for scheduler in ("euler", "heun"):
        sight.click(scheduler, 8)
        offline.keyboard.press("c")
    offline.keyboard.press("t")
    dialog = offline.get_by_role("dialog", name="Compare")
    table = dialog.get_by_role("region", name="Parameters")
    row = table.get_by_role("row").filter(has_text="scheduler").first
    expect(row).to_contain_text("euler")
    expect(row).to_contain_text("heun")
    expect(dialog.get_by_role("figure").get_by_role("img")).to_have_count(2)


def test_an_export_has_prompts_as_text_and_nothing_to_change(
    offline: Page, store: FilledStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline.goto(export(store, monkeypatch, "letters", tmp_path / "눈 🦊 export"))
    sight = GridSight(offline)
    sight.wait()
    label = offline.locator(".grid-label").filter(has_text="<script>").first
    expect(label).to_be_visible()
    expect(offline).not_to_have_title(re.compile("pwned"))
    expect(offline.get_by_role("button", name="Make these")).to_be_hidden()
    sight.grid.focus()
    offline.keyboard.press("5")
    expect(offline.get_by_role("gridcell")).not_to_have_accessible_name(
        re.compile("star[s]? *$")
    )
