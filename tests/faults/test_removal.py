"""Removals that are killed in their midst, and that meet each other."""

import random
import signal
import subprocess
import sys
import time

import pytest

from storage.files.images import relative_path
from storage.settings import Settings
from storage.store import Store
from tests.faults.night import Night
from tests.processes import ROOT, wait_until
from tests.unit.filled_store import finish, plan, submit

IMAGES = 300
RM = ("-m", "nightsweep", "rm", "night", "--yes")
#: A `rm` that stands still when it has removed ten files, before it says so in SQL.
STUCK_RM = """
import sys, time
from producer.cli import cli
from storage.files import removals
from storage.files.disk import Disk

remove, gone = Disk.remove, []
def stop_at_the_tenth(disk, paths):
    for path in paths:
        stop_after(disk, path)

def stop_after(disk, path):
    remove(disk, [path])
    if path.endswith(".png"):
        gone.append(path)
    if len(gone) == 10:
        print("stuck", flush=True)
        time.sleep(3600)

removals.THREADS = 1

Disk.remove = stop_at_the_tenth
cli(sys.argv[1:])
"""


@pytest.fixture
def home(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Give a home with the sweep `night`, all of whose images are made."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    planned = plan({"seed": range(IMAGES)})
    submit(settings, "night", planned)
    finish(settings, planned)
    return settings


def begin(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def end(process: "subprocess.Popen[str]") -> str:
    """Wait for a command, which must do well; return what it said."""
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return said


def kill(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()
    assert process.returncode in (0, -signal.SIGKILL)


def lost(settings: Settings) -> list[str]:
    """Return the images that are done without a file: what nobody announced."""
    return [
        row["key"]
        for row in Store().find("night state:done")
        if not (settings.images / relative_path(row["key"])).exists()
    ]


def count_files(settings: Settings) -> int:
    return sum(path.is_file() for path in settings.images.glob("??/??/*"))


def test_a_removal_that_was_killed_between_file_and_row_is_finished_by_the_next(
    home: Settings,
) -> None:
    process = begin("-c", STUCK_RM, "rm", "night", "--yes")
    assert process.stdout is not None
    while "stuck" not in process.stdout.readline():
        assert process.poll() is None
    kill(process)
    assert lost(home) == []
    assert count_files(home) == IMAGES - 10
    assert Store().count("night state:evicted") == IMAGES
    end(begin(*RM))
    assert count_files(home) == 0
    assert "night" not in end(begin("-m", "nightsweep", "status"))


@pytest.mark.long
def test_verify_finishes_a_removal_that_was_killed(home: Settings) -> None:
    process = begin("-c", STUCK_RM, "rm", "night", "--yes")
    assert process.stdout is not None
    while "stuck" not in process.stdout.readline():
        assert process.poll() is None
    kill(process)
    end(begin("-m", "nightsweep", "verify", "--repair"))
    assert count_files(home) == 0
    assert Store().count("night state:evicted") == IMAGES


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_removals_that_are_killed_at_any_moment_lose_nothing_unannounced(
    home: Settings, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    for _ in range(4):
        process = begin(*RM)
        time.sleep(chance.uniform(0.6, 1.6))
        kill(process)
        assert lost(home) == []
    end(begin(*RM))
    assert count_files(home) == 0
    assert Store().count("night state:evicted") == IMAGES


@pytest.mark.long
@pytest.mark.databases("sqlite", "postgresql")
def test_two_removals_at_once_share_the_work(home: Settings) -> None:
    both = [begin(*RM), begin(*RM)]
    for process in both:
        end(process)
    assert count_files(home) == 0
    assert Store().count("night state:evicted") == IMAGES


@pytest.mark.long
def test_a_prune_that_was_killed_is_finished_by_the_next(home: Settings) -> None:
    end(begin("-m", "nightsweep", "cancel", "night"))
    process = begin("-c", STUCK_RM, "prune", "cancelled", "--yes")
    assert process.stdout is not None
    while "stuck" not in process.stdout.readline():
        assert process.poll() is None
    kill(process)
    assert lost(home) == []
    end(begin("-m", "nightsweep", "prune", "cancelled", "--yes"))
    assert count_files(home) == 0


@pytest.mark.long
@pytest.mark.databases("sqlite", "postgresql")
def test_images_that_are_removed_and_asked_for_again_among_workers_are_all_there(
    night: Night,
) -> None:
    count = 60
    night.submit(count=count, steps=1)
    has_begun = (
        lambda: night.states()["evicted"] > 0,
        lambda: count_files(night.settings) < count,
    )
    with night.working():
        night.wait_for(done=count)
        for is_time in has_begun:
            process = night.begin("rm", "night", "seed:..49", "--yes")
            wait_until(is_time)
            kill(process)
            assert lost(night.settings) == []
            night.run("retry", "night", "--evicted")
            night.wait_for(done=count)
    assert lost(night.settings) == []
    assert count_files(night.settings) == count


@pytest.mark.long
def test_a_sweep_that_is_renamed_among_workers_is_made_to_its_end(night: Night) -> None:
    night.submit(count=20, steps=5)
    with night.working():
        night.wait_for(done=1)
        night.run("rename", "night", "day")
        night.submit(count=5, steps=5, first=100)  # of the old name, so another one
        night.wait_for(done=25)
    assert (Store().count("sweep:day"), Store().count("sweep:night")) == (20, 5)
    night.check(done=25)
