"""The supervisor and its worker processes, painting with a stand-in."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from celery import Celery
from click.testing import CliRunner

from producer.cli import cli
from storage.claims import MAX_ATTEMPTS
from storage.database import Database
from storage.errors import DatabaseError
from storage.queue import send
from storage.settings import Settings
from tests.builders import job_rows, make_planned, plan_seeds, states, submit
from workers import supervisor as supervisor_module
from workers.devices import Seat
from workers.reconcile import reconcile
from workers.supervisor import Supervisor

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90
SMALL = {"width": 8, "height": 8, "steps": 2}


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSWEEP_PAINTER", "tests.stand_in:make_painter")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(supervisor_module, "BACK_OFF_S", 0.05)


@pytest.fixture
def serving(database: Database, app: Celery) -> Iterator[Callable[..., Supervisor]]:
    running: list[tuple[Supervisor, threading.Thread]] = []

    def serve(count: int = 1, give_up_after: int | None = None) -> Supervisor:
        made = Supervisor(
            [Seat(name=f"cpu{number}", device="cpu") for number in range(count)],
            database=database,
            repair=lambda: reconcile(database, app),
            give_up_after=give_up_after,
        )
        thread = threading.Thread(target=made.run)
        thread.start()
        running.append((made, thread))
        return made

    yield serve
    for made, thread in running:
        made.stop()
        thread.join(PATIENCE_S)
        assert not children()


def children() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it ends meanwhile
            if "workers.process" in process.cmdline():
                found.append(process)
    return found


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_made(database: Database) -> bool:
    return set(states(database).values()) == {"done"}


def test_workers_make_what_was_sent_and_what_was_not(
    serving: Callable[..., Supervisor], database: Database, app: Celery
) -> None:
    submit(database, plan_seeds(*range(8), **SMALL))
    serving(2)  # no message was sent: repair does it
    wait_until(lambda: is_made(database))
    other = [make_planned(seed=1, prompt="a dog", width=16, height=16)]
    submit(database, other, name="other")
    send(app, {"group": [other[0].job.key]}, priority=5)
    wait_until(lambda: is_made(database))


def test_a_job_that_kills_its_worker_is_set_aside_and_the_others_are_made(
    serving: Callable[..., Supervisor], database: Database
) -> None:
    bad = make_planned(seed=0, prompt="die", **SMALL)
    submit(database, [bad, *plan_seeds(1, 2, 3, 4, 5, **SMALL)])
    serving()
    wait_until(lambda: "quarantined" in states(database).values())
    wait_until(lambda: "pending" not in states(database).values())
    wait_until(lambda: "leased" not in states(database).values())
    assert states(database) == {0: "quarantined", **dict.fromkeys(range(1, 6), "done")}
    row = job_rows(database)[0]
    assert row.attempts == MAX_ATTEMPTS
    assert "died 3 times" in row.error


def test_a_worker_that_is_killed_gives_its_jobs_to_the_next(
    serving: Callable[..., Supervisor], database: Database
) -> None:
    submit(database, plan_seeds(*range(6), **{**SMALL, "steps": 30}))
    serving()
    wait_until(lambda: "done" in states(database).values())
    for process in children():
        process.kill()
    wait_until(lambda: is_made(database))
    assert max(row.attempts for row in job_rows(database)) <= 2


def test_a_supervisor_without_hope_gives_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_PAINTER", "tests.nowhere:make_painter")
    seats = [Seat(name="cpu0", device="cpu")]

    def fail() -> None:
        msg = "the database is away"
        raise DatabaseError(msg)

    made = Supervisor(seats, database=database, repair=fail, give_up_after=2)
    assert made.run() == 1
    assert not children()


def test_the_worker_command_serves_until_it_is_told_to_stop(
    database: Database, settings: Settings, app: Celery
) -> None:
    submit(database, plan_seeds(*range(3), **SMALL))
    threading.Timer(0.1, lambda: _terminate_when_made(database)).start()
    said = CliRunner().invoke(cli, ["worker", "--device", "cpu", "--workers", "1"])
    assert said.exit_code == 0, said.output
    assert f"Serving with cpu0; logs in {settings.logs}" in said.output
    assert is_made(database)
    assert "Stored" in (settings.logs / "cpu0.log").read_text()


def _terminate_when_made(database: Database) -> None:
    wait_until(lambda: is_made(database))
    psutil.Process().terminate()


def test_run_makes_a_sweep_and_reports_failures(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "name: mixed\n"
        "base: {model: 'builtin:shapes', steps: 2}\n"
        "axes: {prompt: [fail, a cat], seed: {start: 0, count: 3}}\n"
    )
    words = ["run", str(file), "--device", "cpu", "--workers", "1"]
    said = CliRunner().invoke(cli, words)
    assert said.exit_code == 1, said.output
    assert "mixed: 6 images, 6 new, 0 made already." in said.output
    assert "Made 3 images in" in said.output
    assert "3 failed: this job must fail, and does" in said.output
    again = CliRunner().invoke(cli, words)
    assert again.exit_code == 1
    assert "3 failed before; add --retry-failed" in again.output
    retried = CliRunner().invoke(cli, [*words, "--retry-failed"])
    assert "3 failed ones are tried again." in retried.output
    assert retried.exit_code == 1
    status = CliRunner().invoke(cli, ["status"])
    assert '"done": 3' in status.output
    assert '"failed": 3' in status.output
    down = CliRunner().invoke(cli, ["down"])
    assert "The embedded Redis is stopped" in down.output
    again = CliRunner().invoke(cli, ["down"])
    assert f"No embedded Redis runs for {settings.home}" in again.output
