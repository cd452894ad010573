"""The room of a disk: bytes, and inodes where the file system counts them."""

import os
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from producer.cli import cli
from producer.commands.plan import make_plan
from producer.display import disk_room
from producer.display.disk_room import (
    DiskRoom,
    describe_disk,
    look_at_disk,
    too_few_inodes,
)
from storage.settings import Settings
from tests.faults.disk import mounted
from tests.unit.filled_store import filled

SPEC = """
name: many
base: {model: "builtin:shapes", prompt: "a red circle", width: 512, height: 512}
axes: {seed: {start: 0, count: 30}}
"""


def room(**changes: int | None) -> DiskRoom:
    values = {"free_bytes": 10**9, "used_bytes": 10**9, "free_inodes": 7, "inodes": 9}
    return DiskRoom(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Mount a disk of 41 inodes for images."""
    folder = tmp_path / "small"
    folder.mkdir()
    monkeypatch.setenv("NIGHTSWEEP_IMAGES", str(folder))
    return folder


def test_a_disk_says_what_it_has_of_either(tmp_path: Path) -> None:
    found = look_at_disk(tmp_path / "not" / "there")
    system = os.statvfs(tmp_path)
    assert found.used_bytes + found.free_bytes <= system.f_blocks * system.f_frsize
    assert found.inodes == (system.f_files or None)


def test_a_file_system_without_a_limit_is_not_warned_of() -> None:
    without = room(free_inodes=None, inodes=None)
    assert not without.is_short_of_inodes
    assert not list(too_few_inodes(10**9, without))


def test_inodes_are_warned_of_where_images_need_more() -> None:
    assert not list(too_few_inodes(7, room()))
    (said,) = too_few_inodes(1_008, room(free_inodes=1_007))
    assert said.startswith(
        "the images need about 1,008 files and folders, and the disk"
    )
    assert "room for 1,007 more (inodes)" in said
    assert room(free_inodes=4, inodes=100).is_short_of_inodes
    assert not room(free_inodes=5, inodes=100).is_short_of_inodes


def test_a_plan_and_a_submission_warn_of_a_disk_with_few_inodes(
    small_disk: Path, tmp_path: Path
) -> None:
    file = tmp_path / "many.yaml"
    file.write_text(SPEC)
    with mounted(small_disk, megabytes=50, inodes=41):
        said = CliRunner().invoke(cli, ["plan", str(file)])
        assert said.exit_code == 0, said.output
        submitted = CliRunner().invoke(cli, ["submit", str(file)])
    # 30 images, 30 thumbnails, and two folders for each at most.
    assert "in 60 files, of 52.4 MB and 40 inodes free" in said.stdout
    assert "need about 120 files and folders, and the disk has room for 40 more" in (
        " ".join(said.stderr.split())
    )
    assert "inodes" not in submitted.stderr  # 30 images fit


def test_a_plan_counts_a_thumbnail_only_where_there_is_one(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(SPEC.replace("512", "64"))
    assert make_plan(file, settings=settings).disk_files == 30


def test_status_says_what_is_free_and_which_inodes_are_left(
    small_disk: Path, settings: Settings
) -> None:
    filled(settings.home)
    with mounted(small_disk, megabytes=50, inodes=41):
        many = CliRunner().invoke(cli, ["status"]).stdout
        for number in range(39):
            (small_disk / str(number)).touch()
        few = CliRunner().invoke(cli, ["status"]).stdout
    assert "Image disk: 52.4 MB free, 0 B used.\n" in many
    assert "0 B used, 1 of 41 inodes free.\n" in few


def test_a_disk_that_never_answers_holds_up_nobody_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, asked = threading.Event(), list[Path]()

    def hang(folder: Path) -> DiskRoom:
        asked.append(folder)
        goes_on.wait()
        return room()

    monkeypatch.setattr(disk_room, "look_at_disk", hang)
    monkeypatch.setattr(disk_room, "PATIENCE_S", 0.01)
    silent = f"Image disk: no answer from {tmp_path}; see whether its server is"
    for _look in range(3):
        (said,) = describe_disk(tmp_path)
        assert said.startswith(silent)
    assert asked == [tmp_path]  # no second thread waits beside the first
    goes_on.set()
