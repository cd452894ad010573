"""The commands `list`, `archive`, `unarchive` and `rename`."""

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from producer.cli import cli
from storage.jobs.sweeps import find_sweep, save_sweep
from storage.settings import Settings
from storage.sql.database import open_database
from storage.store import Store
from tests.unit.filled_store import filled, finish, plan, submit


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Give a store with the sweep `shapes`: 6 images made, one failed, one pending."""
    settings, _ = filled(tmp_path / "home")
    monkeypatch.setenv("NIGHTSWEEP_HOME", str(settings.home))
    monkeypatch.delenv("NIGHTSWEEP_IMAGES", raising=False)
    return settings


@pytest.fixture
def finished(home: Settings) -> Settings:
    """Give a store that has the sweep `small`, too: 2 images, both made."""
    small = plan({"seed": (7, 8)})
    submit(home, "small", small)
    finish(home, small)
    return home


def give(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def listed(*words: str) -> list[str]:
    """Return the names of the sweeps that `list` lists."""
    said = give("list", *words, "--json")
    assert said.exit_code == 0, said.output
    return [json.loads(line)["sweep"] for line in said.stdout.splitlines()]


@pytest.mark.usefixtures("finished")
def test_a_list_has_a_line_for_each_sweep() -> None:
    heading, first, second = give("list").stdout.splitlines()
    names = ("sweep", "state", "images", "failed", "size", "submitted", "last image")
    assert [name for name in names if name not in heading] == []
    assert first.split()[:4] == ["shapes", "active", "6/8", "1"]
    assert second.split()[:4] == ["small", "finished", "2/2", "0"]
    assert second.endswith("2026-01-02 03:04")


@pytest.mark.usefixtures("finished")
def test_a_list_is_sorted_and_chosen_by_pattern() -> None:
    assert listed("--sort", "-images") == ["shapes", "small"]
    assert listed("--sort", "images") == ["small", "shapes"]
    assert listed("sm*") == ["small"]
    said = give("list", "tiny*")
    assert said.exit_code == 2
    assert "sweep must be one that was submitted, got 'tiny*'" in said.output
    said = give("list", "--sort", "age")
    assert "--sort must be one of name, owner, state, images, failed" in said.output


def test_a_sweep_without_images_can_be_sorted_by_its_last_one(home: Settings) -> None:
    submit(home, "new", plan({"seed": (9,)}))
    assert listed("--sort", "last") == ["new", "shapes"]


@pytest.mark.usefixtures("finished")
def test_a_list_is_csv_and_json_with_the_same_values() -> None:
    rows = list(csv.DictReader(io.StringIO(give("list", "small", "--csv").stdout)))
    (row,) = (
        json.loads(line) for line in give("list", "small", "--json").stdout.splitlines()
    )
    assert rows == [
        {name: "" if value is None else str(value) for name, value in row.items()}
    ]
    assert (row["done"], row["total"], row["failed"]) == (2, 2, 0)
    assert row["size_bytes"] == sum(
        each["size_bytes"] for each in Store().find("small")
    )


@pytest.mark.usefixtures("finished")
def test_cancelled_and_archived_sweeps_are_listed_when_asked_for() -> None:
    give("cancel", "shapes")
    give("archive", "small")
    said = give("list")
    assert "Not listed: 2 cancelled or archived; --all lists all." in said.output
    assert listed() == []
    assert listed("--all") == ["shapes", "small"]
    assert listed("s*") == ["shapes", "small"]


@pytest.mark.usefixtures("finished")
def test_a_removed_sweep_is_listed_by_its_name_alone() -> None:
    give("rm", "small", "--yes")
    assert listed("--all") == ["shapes"]
    assert listed("s*") == ["shapes"]
    assert listed("small") == ["small"]


@pytest.mark.usefixtures("finished")
def test_an_archived_sweep_leaves_lists_and_is_still_found() -> None:
    said = give("archive", "small")
    assert said.exit_code == 0, said.output
    assert "small is archived with 2 images: lists leave it out" in said.output
    assert "small" not in give("status").output
    assert "small (archived)" in give("status", "small").output
    assert give("find", "sweep:small", "--count").stdout == "2\n"
    assert give("unarchive", "small").output == "small is in the lists again.\n"
    assert "small" in give("status").output


@pytest.mark.usefixtures("finished")
def test_an_archived_sweep_is_not_removed() -> None:
    give("archive", "small")
    for words in (["small"], ["small", "seed:7"], ["sweep:sm*"]):
        said = give("rm", *words, "--yes")
        assert said.exit_code == 2
        assert (
            "An archived sweep keeps its images, and small is archived" in said.output
        )
    said = give("rm", "seed:7,8", "--yes")
    assert "Stays: 2 images that other sweeps have, or archived ones." in said.output
    assert Store().count("small state:done") == 2


def test_a_sweep_that_is_being_made_is_not_archived(home: Settings) -> None:
    said = give("archive", "shapes")
    assert said.exit_code == 2
    assert "A sweep must be over to be archived, but shapes has 1 image" in said.output
    give("cancel", "shapes")
    assert give("archive", "shapes").exit_code == 0
    said = give("unarchive", "shapes")
    assert "shapes is in the lists again, and cancelled: 1 image unmade" in said.output
    said = give("unarchive", "shapes")
    assert said.exit_code == 2
    assert "A sweep must be archived to be taken back, but shapes is" in said.output
    assert home.home.is_dir()


def test_a_renamed_sweep_keeps_its_images(home: Settings) -> None:
    database = open_database(home.database_url)
    save_sweep(database, "shapes", spec="name: shapes # mine\n", axes={})
    said = give("rename", "shapes", "figures")
    assert said.exit_code == 0, said.output
    assert "shapes is called figures now: 8 images, 1 of them" in said.output
    assert "Write `name: figures` in its sweep file, or submitting that" in said.output
    sweep = find_sweep(database, "figures")
    database.close()
    assert sweep is not None
    assert sweep.spec == "name: figures # mine\n"
    assert give("find", "figures", "state:done", "--count").stdout == "6\n"
    assert listed() == ["figures"]


def test_a_sweep_whose_submission_was_cut_off_keeps_its_name(home: Settings) -> None:
    database = open_database(home.database_url)
    save_sweep(database, "shapes", spec="name: shapes", axes={}, submitting=9)
    database.close()
    said = give("rename", "shapes", "figures")
    assert said.exit_code == 2
    assert "A sweep must be stored whole to be renamed. shapes: its" in said.output
    assert listed() == ["shapes"]


@pytest.mark.usefixtures("home")
def test_a_name_that_cannot_be_one_is_refused() -> None:
    said = give("rename", "shapes", "a/b")
    assert said.exit_code == 2
    assert "name must be 1 to 64 letters, digits, dots" in said.output
