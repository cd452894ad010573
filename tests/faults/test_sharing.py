"""Exports and imports that are killed in their midst, and that meet each other."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storage.files.images import relative_path
from storage.settings import Settings
from storage.store import Store
from tests.processes import ROOT
from tests.unit.filled_store import finish, make_settings, plan, submit
from tests.unit.shared_store import done, store

IMAGES = 120
#: A command that stands still after some call of a function.
STUCK = """
import sys, time
from producer.cli import cli
from {module} import {owner}

call, calls = {owner}.{name}, []
def stop_then(*given, **named):
    found = call(*given, **named)
    calls.append(found)
    if len(calls) == {at}:
        print("stuck", flush=True)
        time.sleep(3600)
    return found

{owner}.{name} = stop_then
cli(sys.argv[1:])
"""
#: Files have their names by then, but no row says so.
IN_THE_TRANSACTION = STUCK.format(
    module="storage.sharing.image_arrivals", owner="ImageArrivals", name="_record", at=2
)
IN_THE_COPIES = STUCK.format(
    module="producer.sharing.destinations",
    owner="FolderDestination",
    name="_put",
    at=50,
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return a home with the sweep `night`, all of whose images are made."""
    settings = make_settings(tmp_path_factory.mktemp("source") / "home")
    planned = plan({"seed": range(IMAGES)})
    submit(settings, "night", planned)
    finish(settings, planned)
    return settings


@pytest.fixture(scope="module")
def export(source: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("export") / "night"
    done(source.home, "export", "night", "--to", to, "--no-sheet")
    return to


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a new home, which the commands of the test use."""
    monkeypatch.setenv("NIGHTSWEEP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path / "home"


def begin(*words: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def kill(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()
    assert process.returncode in (0, -signal.SIGKILL)


def kill_when_stuck(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    while "stuck" not in process.stdout.readline():
        assert process.poll() is None
    kill(process)


def lost(home: Path) -> list[str]:
    """Return the images that are done without a file."""
    images = store(home).settings.images
    return [
        row["key"]
        for row in Store().find("state:done")
        if not (images / relative_path(row["key"])).exists()
    ]


def test_an_import_that_was_killed_between_file_and_row_is_finished_by_the_next(
    export: Path, home: Path
) -> None:
    kill_when_stuck(begin("-c", IN_THE_TRANSACTION, "import", export))
    assert lost(home) == []
    assert Store().count("night state:done") == 25
    assert Store().sweeps()[0]["state"] == "paused"
    assert "95 new, 25 here already" in done(home, "import", export)
    assert Store().sweeps()[0]["state"] == "active"
    assert "120 images checked, nothing is wrong" in done(home, "verify", "--full")


@pytest.mark.long
def test_imports_that_are_killed_at_any_moment_lose_nothing(
    export: Path, home: Path
) -> None:
    chance = random.Random(1)  # noqa: S311 - no secret
    for _ in range(3):
        process = begin("-m", "nightsweep", "import", export)
        time.sleep(chance.uniform(0.8, 2.2))
        kill(process)
        if (home / "nightsweep.db").exists():
            assert lost(home) == []
    done(home, "import", export)
    assert Store().count("night state:done") == IMAGES
    assert "120 images checked, nothing is wrong" in done(home, "verify", "--full")


@pytest.mark.long
def test_two_imports_at_once_share_the_work(export: Path, home: Path) -> None:
    both = [begin("-m", "nightsweep", "import", export) for _ in range(2)]
    for process in both:
        said, _ = process.communicate()
        assert process.returncode == 0, said
    assert Store().count("night state:done") == IMAGES
    assert Store().sweeps()[0]["state"] == "active"
    assert "120 images checked, nothing is wrong" in done(home, "verify", "--full")


def test_an_export_that_was_killed_goes_on(
    source: Settings,
    export: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_HOME", str(source.home))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    to = tmp_path / "night"
    words = ("export", "night", "--to", to, "--no-sheet")
    kill_when_stuck(begin("-c", IN_THE_COPIES, *words))
    assert not to.exists()
    there = list((tmp_path / "night.partial").rglob("*.png"))
    assert len(there) == 50
    before = {path.name: path.stat().st_ino for path in there}
    done(source.home, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["night"]
    after = {path.name: path.stat().st_ino for path in to.rglob("*.png")}
    assert len(after) == IMAGES
    assert before.items() <= after.items()
    for name in ("manifest.jsonl", "images.csv"):
        assert (to / name).read_bytes() == (export / name).read_bytes()
