"""The commands `rm`, `prune` and `vacuum`, and `retry --evicted`."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from producer.cli import cli
from storage.files.inputs import InputFolder
from storage.jobs import lifecycle
from storage.jobs.claims import claim
from storage.jobs.sweeps import find_sweep
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


def give(*words: str) -> Result:
    """Run a command that nobody can be asked by."""
    return CliRunner().invoke(cli, list(words))


def count_files(settings: Settings) -> int:
    """Count the images of a home."""
    return len(list(settings.images.glob("??/??/*.png")))


def test_what_goes_is_said_and_nothing_goes_unasked(home: Settings) -> None:
    said = give("rm", "shapes", "steps:2")
    assert said.exit_code == 2
    assert "Goes: 3 images (3 files, " in said.output
    assert "so nothing was removed; add --yes." in said.output
    assert count_files(home) == 6


def test_a_query_removes_its_images_and_no_others(home: Settings) -> None:
    said = give("rm", "shapes", "steps:2", "--yes")
    assert said.exit_code == 0, said.output
    assert "Removed 3 images." in said.output
    assert count_files(home) == 3
    found = {row["steps"]: row["state"] for row in Store().find("shapes state:evicted")}
    assert found == {2: "evicted"}
    assert give("rm", "shapes", "steps:2").output == "There is no image to remove.\n"


def test_a_key_removes_its_image(home: Settings) -> None:
    key = next(iter(Store().find("shapes steps:2")))["key"]
    said = give("rm", key, "--yes")
    assert said.exit_code == 0, said.output
    assert "Removed 1 image." in said.output
    assert [row["key"] for row in Store().find("state:evicted")] == [key]
    assert f"retry {key} --evicted` makes it again" in give("open", key).output
    said = give("retry", key, "--evicted").output
    assert "shapes: 1 removed image is made again" in said
    assert "No evicted image matches; `" in give("retry", key, "--evicted").output


def test_a_sweep_with_images_to_make_is_not_removed(home: Settings) -> None:
    said = give("rm", "shapes", "--yes")
    assert said.exit_code == 2
    assert (
        "Error: A sweep must be over to be removed, but shapes has 1 image to make"
        in said.output
    )
    assert count_files(home) == 6


def test_a_sweep_in_a_workers_hands_is_not_removed(home: Settings) -> None:
    database = open_database(home.database_url)
    sweep = find_sweep(database, "shapes")
    assert sweep is not None
    group = plan({"steps": (20,)})[0].job.group
    assert claim(database, owner="w:1:2", lease_s=90.0, group=group, limit=1)
    lifecycle.set_state(database, sweep, "cancelled")
    database.close()
    said = give("rm", "shapes", "--yes")
    assert said.exit_code == 2
    assert "but 1 image of shapes still are; wait a few seconds." in said.output


def test_a_removed_sweep_leaves_status_and_comes_back_without_its_images(
    home: Settings,
) -> None:
    give("cancel", "shapes")
    said = give("rm", "shapes", "--yes")
    assert said.exit_code == 0, said.output
    assert "shapes leaves the list of sweeps." in said.output
    assert "Removed 6 images and 1 row." in said.output
    assert count_files(home) == 0
    assert "shapes" not in give("status").output
    assert "shapes (removed)" in give("status", "shapes").output
    assert give("rm", "shapes").output == "There is no image to remove.\n"
    said = give("retry", "shapes", "steps:20", "--evicted")
    waits = " removed images are made again once `"
    assert waits in said.output
    assert "shapes is active: 4 images to make" in give("resume", "shapes").output


def test_rm_wants_one_sweep_or_a_query(home: Settings) -> None:
    submit(home, "more", plan({"steps": (2,)}))
    assert "rm must say which images, got nothing" in give("rm").output
    said = give("rm", "shapes", "more", "--yes")
    assert said.exit_code == 2
    assert "rm must name one sweep, got shapes and more" in said.output
    assert count_files(home) == 6


def test_images_of_other_sweeps_stay_and_that_is_said(home: Settings) -> None:
    submit(home, "more", plan({"steps": (2, 20)}))
    said = give("rm", "shapes", "scheduler:ddim", "--yes")
    assert "Goes: 2 images" in said.output
    assert "Stays: 2 images that other sweeps have, or archived ones." in said.output
    assert count_files(home) == 4


def test_prune_removes_just_what_it_is_asked_for(home: Settings) -> None:
    submit(home, "old", plan({"seed": (7,)}))
    finish(home, plan({"seed": (7,)}))
    give("cancel", "old")
    assert give("prune").exit_code == 2
    said = give("prune", "failed", "--yes")
    assert "Removed 0 images and 1 row." in said.output
    assert give("prune", "unwanted", "--yes").output == "There is no image to remove.\n"
    young = give("prune", "cancelled", "--older-than", "1", "--yes")
    assert young.output == "There is no image to remove.\n"
    said = give("prune", "cancelled", "--yes")
    assert "old leaves the list of sweeps." in said.output
    assert count_files(home) == 6


def test_another_databases_folder_is_left_alone(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give("rm", "shapes", "steps:2", "--yes")  # the folder is this database's now
    other, _ = filled(tmp_path / "other")
    monkeypatch.setenv("NIGHTSWEEP_HOME", str(other.home))
    monkeypatch.setenv("NIGHTSWEEP_IMAGES", str(home.images))
    said = give("rm", "shapes", "steps:20", "--yes")
    assert said.exit_code == 2
    assert "An image folder must belong to one database" in said.output
    assert count_files(home) == 3


def test_a_folder_that_is_not_there_loses_nothing(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_IMAGES", str(home.home / "unmounted"))
    said = give("rm", "shapes", "steps:2", "--yes")
    assert said.exit_code == 1
    assert "The image folder must be there" in said.output
    assert Store().count("shapes state:done") == 6


def test_vacuum_says_what_it_gained(home: Settings) -> None:
    assert "The database had " in give("vacuum").output


def test_vacuum_refuses_while_a_worker_has_jobs(home: Settings) -> None:
    database = open_database(home.database_url)
    group = plan({"steps": (20,)})[0].job.group
    assert claim(database, owner="far:1:2", lease_s=90.0, group=group, limit=1)
    database.close()
    said = give("vacuum")
    assert said.exit_code == 2
    assert "Workers must be at rest while the database is written anew" in said.output


def test_prune_removes_copies_of_input_images_that_no_job_names(
    home: Settings,
) -> None:
    inputs = InputFolder(home.images)
    copy = inputs.path(inputs.save(Image.new("RGB", (8, 8))))
    os.utime(copy, (0, 0))
    give("prune", "failed", "--yes")
    assert copy.exists()
    said = give("prune", "unwanted", "--yes")
    assert "Goes: 1 copy of input images that no job names (" in said.output
    assert "Removed 1 copy of input images that no job names." in said.output
    assert not copy.exists()
