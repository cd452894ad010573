"""`nightsweep logs`: what workers wrote, chosen and merged."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from producer.cli import cli
from storage.host.log_lines import LogLine, as_time
from storage.settings import Settings
from storage.sql.database import Database, utc_now
from storage.sql.schema import workers
from tests.builders import plan_seeds, submit

Write = Callable[..., None]


@pytest.fixture
def write(settings: Settings) -> Write:
    settings.make_home()

    def _write(worker: str, message: str, *, minutes_ago: float = 0, **of: str) -> None:
        at = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        given = {"level": "INFO", **of}
        line = LogLine(time=as_time(at), worker=worker, message=message, **given)
        with (settings.logs / f"{worker}.log").open("a") as log:
            log.write(f"{line}\n")

    return _write


def said(*words: str, code: int = 0) -> list[str]:
    result = CliRunner().invoke(cli, ["logs", *words])
    assert result.exit_code == code, result.output
    return result.output.splitlines()


def messages(*words: str) -> list[str]:
    return [json.loads(line)["message"] for line in said("--json", *words)]


def test_a_line_has_time_level_worker_sweep_key_and_message(write: Write) -> None:
    write("gpu0", "Stored.", sweep="night", key="3f" * 16)
    (line,) = said()
    day, clock, *rest = line.split()
    assert rest == ["INFO", "gpu0", "night", "3f" * 16, "Stored."]
    at = datetime.fromisoformat(f"{day} {clock}").astimezone()
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)


def test_lines_are_chosen_by_worker_sweep_level_and_time(write: Write) -> None:
    write("gpu0", "old", minutes_ago=90)
    write("gpu1", "failed", minutes_ago=5, level="WARNING", sweep="night")
    write("gpu0", "stored", minutes_ago=4, sweep="other")
    write("gpu1", "broken", minutes_ago=3, level="ERROR", sweep="other")
    assert messages() == ["old", "failed", "stored", "broken"]
    assert messages("gpu1") == ["failed", "broken"]
    assert messages("gpu1", "gpu0", "-n", "3") == ["failed", "stored", "broken"]
    assert messages("--sweep", "other") == ["stored", "broken"]
    assert messages("--level", "warning") == ["failed", "broken"]
    assert messages("--since", "10m") == ["failed", "stored", "broken"]
    hour_ago = (datetime.now().astimezone() - timedelta(hours=1)).isoformat()
    assert messages("--since", hour_ago) == ["failed", "stored", "broken"]
    clock = f"{datetime.now().astimezone() - timedelta(hours=2):%H:%M}"
    assert messages("--since", clock)[0] == "old"


def test_only_the_last_lines_are_shown_unless_a_time_is_given(write: Write) -> None:
    for number in range(300):
        write("gpu0", f"line {number}")
    assert messages() == [f"line {number}" for number in range(100, 300)]
    assert len(messages("--since", "1h")) == 300


def test_logs_are_followed_until_ctrl_c(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("gpu0", "first")
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt
        write("gpu0", f"look {len(looks)}")

    monkeypatch.setattr(time, "sleep", sleep)
    assert messages("-f") == ["first", "look 1", "look 2"]


@pytest.mark.parametrize("text", ["soon", "25:00", "-5m", ""])
def test_a_time_that_cannot_be_read_is_refused(write: Write, text: str) -> None:
    assert f"got {text!r}." in " ".join(said("--since", text, code=2))


def test_a_worker_of_another_host_is_told_with_the_way_there(
    write: Write, database: Database
) -> None:
    submit(database, plan_seeds(1))
    values = {
        "owner": "night3:1:1",
        "name": "gpu7",
        "host": "night3",
        "gpu": "H200",
        "phase": "idle",
        "detail": "",
        "images": 0,
        **dict.fromkeys(("started_at", "phase_at", "seen_at"), utc_now()),
    }
    with database.write() as connection:
        connection.execute(sa.insert(workers).values(values))
    write("gpu0", "here")
    refused = " ".join(said("gpu7", code=2))
    assert "WORKER must have a log in " in refused
    assert "(gpu0), got 'gpu7'; it works on night3: `ssh night3 " in refused
    assert said()[-1].startswith(
        "Workers of night3 have their logs there: `ssh night3 "
    )


def test_names_of_logs_are_completed(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("gpu0", "here")
    write("run-night", "here")
    monkeypatch.setenv("COMP_WORDS", "nightsweep logs g")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("_NIGHTSWEEP_COMPLETE", "bash_complete")
    result = CliRunner().invoke(cli, prog_name="nightsweep")
    assert result.output == "plain,gpu0\n"
