"""`nightsweep watch` tells what happens to sweeps, and ends with the last image."""

import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from producer.cli import cli
from storage.jobs import lifecycle
from storage.jobs.renaming import rename
from storage.jobs.sweeps import read_again
from storage.sql.database import open_database
from tests.unit import filled_store
from tests.unit.filled_store import finish, make_settings, plan, submit


def call(tmp_path: Path, *words: str) -> Result:
    environ = {"NIGHTSWEEP_HOME": str(tmp_path), "NIGHTSWEEP_NOTIFY": ""}
    return CliRunner(env=environ).invoke(cli, ["watch", *words])


def test_it_tells_what_happens_until_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(tmp_path / "home")
    planned = plan(filled_store.AXES)
    submit(settings, "night", planned)
    waits = []

    def work(seconds: float) -> None:
        waits.append(seconds)
        first = len(waits) == 1
        some = planned[:3] if first else planned[3:]
        finish(settings, some, fail=[planned[0].job.key] if first else ())

    clock = SimpleNamespace(sleep=work, monotonic=time.monotonic)
    monkeypatch.setattr("producer.commands.watch.time", clock)
    told = tmp_path / "told"
    note = f'echo "$NIGHTSWEEP_EVENT: $NIGHTSWEEP_MESSAGE" >> {told}'
    words = ("--on", "failed", note, "--on", "finished", note, "--on", "disk", note)
    result = call(tmp_path / "home", *words)
    assert result.exit_code == 0, result.output
    assert len(waits) == 2
    failed, finished = told.read_text().splitlines()
    assert failed.startswith("failed: night: an image failed;")
    said = f"night is finished: {len(planned) - 1} images made, 1 image failed."
    assert finished == f"finished: {said}"


def test_a_sweep_that_is_renamed_or_archived_is_watched_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(tmp_path / "home")
    planned = plan({"seed": (1, 2)})
    sweep = submit(settings, "night", planned)
    waits = []

    def change(seconds: float) -> None:
        waits.append(seconds)
        with closing(open_database(settings.database_url)) as database:
            if len(waits) == 1:
                rename(database, sweep, "day", spec="")
            else:
                assert lifecycle.archive(database, read_again(database, sweep))

    clock = SimpleNamespace(sleep=change, monotonic=time.monotonic)
    monkeypatch.setattr("producer.commands.watch.time", clock)
    result = call(tmp_path / "home", "night", "--on", "finished", "true")
    assert result.exit_code == 0, result.output
    assert len(waits) == 2


def test_nobody_to_tell_is_refused(tmp_path: Path) -> None:
    result = call(tmp_path)
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert "got neither --on nor NIGHTSWEEP_NOTIFY" in said


def test_an_unknown_event_is_answered_with_those_that_there_are(tmp_path: Path) -> None:
    result = call(tmp_path, "--on", "done", "true")
    assert result.exit_code == 2
    assert "'finished'" in result.stderr
