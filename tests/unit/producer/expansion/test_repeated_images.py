"""One image for several cells: contact sheets, `status --by` and `show` say so."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from producer.cli import cli
from producer.commands import plan as plan_module
from producer.commands.contact_sheet import lay_out
from producer.commands.show import _place
from producer.expansion.expand import Expansion, expand
from producer.sheet.files import save_pages
from producer.sheet.lettering import choose_lettering
from producer.spec.sweepfile import read_spec
from storage.catalogue.pipeline_families import Guidance
from storage.job import PlannedJob
from storage.jobs.membership import Added, add_jobs, drop_absent
from storage.jobs.sweeps import require_sweeps, save_sweep
from storage.sql.database import Database, open_database
from storage.store import Store
from tests.unit import cards
from tests.unit.cards import describe_fake, write_axes
from tests.unit.filled_store import finish, make_settings

AXES = "{guidance: [0, 1, 3], negative_prompt: [blur, ugly]}"
STEPS = AXES.replace("{", "{steps: [2, 20], ", 1)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    card = replace(cards.CARD, effects=Guidance())
    monkeypatch.setattr(cards, "CARDS", {"builtin:shapes": card})
    monkeypatch.setenv("NIGHTSWEEP_HOME", str(tmp_path))
    with Store(make_settings(tmp_path)) as opened:
        yield opened


def make_sweep(store: Store, axes: str = AXES) -> list[PlannedJob]:
    """Submit a sweep, and finish it."""
    expansion = expand(read_spec(write_sweep(store, axes)), describe_fake)
    with closing(open_database(store.settings.database_url)) as database:
        add(database, expansion)
    planned = list(expansion.jobs())
    for one in planned:
        finish(store.settings, [one])
    return planned


def write_sweep(store: Store, axes: str = AXES) -> Path:
    """Write a sweep file whose prompt can be painted: it has two colours."""
    file = write_axes(store.settings.home, axes)
    text = file.read_text().replace("a cat", "a red circle on a blue background")
    file.write_text(text)
    return file


def test_an_image_is_drawn_in_every_cell_that_it_stands_for(store: Store) -> None:
    planned = make_sweep(store)

    pages = lay_out(store, "s", rows="negative_prompt", cols="guidance")

    assert pages
    (sheet,) = pages.sheets
    (panel,) = sheet.panels
    assert sheet.col_labels == ["guidance 0", "guidance 1", "guidance 3"]
    files = [[cell.path and cell.path.stem for cell in row] for row in panel.cells]
    off, blur, ugly = (one.job.key for one in planned)
    assert files == [[off, off, blur], [off, off, ugly]]
    assert "some cells share one image" in sheet.notes
    assert (pages.states, pages.hidden) == ({"done": 3}, 0)


def test_fix_finds_an_image_by_each_of_its_values(store: Store) -> None:
    planned = make_sweep(store)

    pages = lay_out(store, "s", fixes=["negative_prompt=ugly", "guidance=1"])

    assert pages
    assert pages.states == {"done": 1}
    ((cell,),) = pages.sheets[0].panels[0].cells
    assert cell.path
    assert cell.path.stem == planned[0].job.key


def test_an_image_stands_in_every_panel_too(store: Store) -> None:
    make_sweep(store, STEPS)

    pages = lay_out(store, "s", rows="steps", cols="guidance")

    assert pages
    assert len(pages.sheets[0].panels) == 2
    states = [c.state for p in pages.sheets[0].panels for row in p.cells for c in row]
    assert states == ["done"] * 12
    lettering = choose_lettering(pages.texts)
    file = store.settings.home / "sheet.png"
    assert save_pages(pages, file, lettering=lettering) == [file]
    assert file.is_file()


def test_status_counts_an_image_of_several_values_once(store: Store) -> None:
    make_sweep(store)

    def count(axis: str) -> list[tuple[str | float, int]]:
        said = CliRunner().invoke(cli, ["status", "--by", axis, "--json"]).stdout
        rows = map(json.loads, said.splitlines())
        return [(row["value"], row["done"]) for row in rows]

    assert count("guidance") == [(3, 2), ("0, 1", 1)]
    assert count("negative_prompt") == [("blur", 1), ("ugly", 1), ("(any)", 1)]


def test_show_names_all_values_of_an_image(store: Store) -> None:
    planned = make_sweep(store)

    image = store.show(planned[0].job.key)

    assert _place(image["sweeps"][0]) == ("s", "number 1: guidance 0 or 1")


def test_what_was_made_under_another_wording_is_not_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_sweep(store)
    known = cards.CARDS
    unknown = {name: replace(card, effects=None) for name, card in known.items()}
    monkeypatch.setattr(cards, "CARDS", unknown)
    before = expand(read_spec(file), describe_fake)
    with closing(open_database(store.settings.database_url)) as database:
        old = add(database, before)
        assert (len(old.fresh), before.count) == (6, 6)
        finish(store.settings, [list(before.jobs())[3]])  # guidance 1 and "ugly"
        monkeypatch.setattr(cards, "CARDS", known)
        after = expand(read_spec(file), describe_fake)

        now = add(database, after)

        assert (len(now.fresh), now.existing) == (0, {"done": 1, "pending": 2})
        assert drop_absent(database, require_sweeps(database, ["s"])[0]) == 3
    assert len(store.find(sweep="s")) == 3
    monkeypatch.setattr(plan_module, "describe", describe_fake)
    plan = plan_module.make_plan(file, settings=store.settings)
    assert (plan.total, plan.new, plan.existing) == (3, 0, now.existing)


def add(database: Database, expansion: Expansion) -> Added:
    sweep = save_sweep(
        database,
        "s",
        spec=expansion.spec.text,
        axes=expansion.axis_labels,
        meanings=expansion.what_is_meant,
    )
    return add_jobs(database, sweep, list(expansion.jobs()))
