"""The supervisor and its worker processes, painting with a stand-in."""

import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from celery import Celery
from click.testing import CliRunner

from producer.cli import cli
from storage.broker.queue import send
from storage.errors import DatabaseError
from storage.fleet import registry
from storage.host.worker_ids import my_host
from storage.jobs import claims
from storage.settings import Settings
from storage.sql.database import Database
from storage.sql.leases import MAX_DEATHS
from tests.builders import job_rows, make_planned, plan_seeds, states, submit, take
from tests.processes import (
    PATIENCE_S,
    ROOT,
    children,
    find_servers,
    running,
    wait_until,
)
from workers.devices import device_locks
from workers.devices.device_locks import gpu_lock
from workers.devices.placements import Placement
from workers.supervision import restart_backoff
from workers.supervision.child import Child
from workers.supervision.maintenance import Maintenance
from workers.supervision.supervisor import Supervisor

SMALL = {"width": 8, "height": 8, "steps": 2}
#: Its command line is longer than any system allows.
IMPOSSIBLE = Placement(name="cpu9", device="cpu", gpu="H" * 1_000_000)


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSWEEP_PAINTER", "tests.stand_in:make_painter")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(restart_backoff, "BACK_OFF_S", 0.05)


def placements(count: int) -> list[Placement]:
    return [Placement(name=f"cpu{number}", device="cpu") for number in range(count)]


def is_made(database: Database) -> bool:
    return set(states(database).values()) == {"done"}


def test_workers_make_what_was_sent_and_what_was_not(
    serving: Callable[..., Supervisor], database: Database, app: Celery
) -> None:
    submit(database, plan_seeds(*range(8), **SMALL))
    serving(*placements(2))  # no message was sent: repair does it
    wait_until(lambda: is_made(database))
    other = [make_planned(seed=1, prompt="a dog", width=16, height=16)]
    submit(database, other, name="other")
    send(app, {"group": [other[0].job.key]}, priority=5)
    wait_until(lambda: is_made(database))


@pytest.mark.long
def test_a_job_that_kills_its_worker_is_set_aside_and_the_others_are_made(
    serving: Callable[..., Supervisor],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_STAND_IN_WIDTH", "4")
    bad = make_planned(seed=0, prompt="die", **SMALL)
    submit(database, [bad, *plan_seeds(1, 2, 3, 4, 5, **SMALL)])
    serving(give_up_after=2)
    wait_until(lambda: "quarantined" in states(database).values())
    wait_until(lambda: "pending" not in states(database).values())
    wait_until(lambda: "leased" not in states(database).values())
    assert states(database) == {0: "quarantined", **dict.fromkeys(range(1, 6), "done")}
    row = job_rows(database)[0]
    assert row.deaths == MAX_DEATHS
    assert "died 3 times with this job alone" in row.error


@pytest.mark.long
def test_a_worker_that_is_killed_gives_its_jobs_to_the_next(
    serving: Callable[..., Supervisor],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_STAND_IN_WIDTH", "4")
    submit(database, plan_seeds(*range(9), **{**SMALL, "steps": 30}))
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
    placements = [Placement(name="cpu0", device="cpu")]

    def fail() -> None:
        msg = "the database is away"
        raise DatabaseError(msg)

    made = Supervisor(placements, database=database, repair=fail, give_up_after=2)
    assert made.run() == 1
    assert not children()


@pytest.mark.long
def test_a_supervisor_gives_up_where_workers_die_before_they_say_a_word(
    database: Database, settings: Settings
) -> None:
    (settings.logs / "cpu0.log").mkdir(parents=True)
    placements = [Placement(name="cpu0", device="cpu")]
    made = Supervisor(placements, database=database, repair=int, give_up_after=2)
    assert made.run() == 1


def test_a_worker_that_cannot_be_started_holds_up_no_other(
    serving: Callable[..., Supervisor], database: Database
) -> None:
    submit(database, plan_seeds(*range(3), **SMALL))
    serving(IMPOSSIBLE, *placements(1))
    wait_until(lambda: is_made(database))


def test_a_worker_that_cannot_be_started_leaves_nothing_open() -> None:
    before = psutil.Process().num_fds()
    with pytest.raises(OSError, match="Argument list too long"):
        Child(IMPOSSIBLE).start(peers=1)
    assert psutil.Process().num_fds() == before


@pytest.mark.long
def test_a_lock_that_cannot_be_opened_holds_up_no_other(
    serving: Callable[..., Supervisor],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(device_locks, "FOLDER", tmp_path / "nowhere")
    submit(database, plan_seeds(*range(3), **SMALL))
    serving(
        Placement(name="gpu0", device="cpu", lock=gpu_lock("GPU-1")), *placements(1)
    )
    wait_until(lambda: is_made(database))


def test_no_dead_workers_jobs_are_forgotten_while_sql_is_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(database, plan_seeds(1, 2))
    maintenance = Maintenance(database, repair=lambda: None)

    def fail(*_args: object, **_changes: object) -> None:
        msg = "the database is away"
        raise DatabaseError(msg)

    with monkeypatch.context() as outage:
        outage.setattr(claims, "free_owner", fail)
        for owner in ("host:1:", "host:2:"):
            take(database, f"{owner}1", limit=1)
            assert maintenance.free(owner, died=False).result() is None
        for _ in range(2):
            with pytest.raises(DatabaseError):
                maintenance._repair_all()
    maintenance._repair_all()
    assert states(database) == {1: "pending", 2: "pending"}


def test_a_look_that_takes_its_time_makes_nobody_forget_the_last(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    maintenance = Maintenance(database, repair=lambda: None)
    maintenance._look_for_work()
    known: list[bool | None] = []

    def look(*_args: object) -> bool:
        known.append(maintenance.has_work)
        msg = "the database is away"
        raise DatabaseError(msg)

    monkeypatch.setattr(registry, "has_work", look)
    with pytest.raises(DatabaseError):
        maintenance._look_for_work()
    assert known == [False]
    assert maintenance.has_work is None


def test_the_worker_command_waits_for_a_server_that_is_away(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    monkeypatch.setenv("NIGHTSWEEP_DATABASE_URL", url)
    said = tmp_path / "said"
    with running("nightsweep", "worker", "--device", "cpu", said=said) as process:
        wait_until(lambda: "Waiting: The database must be reach" in said.read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 128 + signal.SIGINT
    assert "Traceback" not in said.read_text()


def test_the_worker_command_does_not_wait_for_what_is_no_database(
    settings: Settings,
) -> None:
    Path(settings.database_url.removeprefix("sqlite:///")).write_text("a novel" * 99)
    said = CliRunner().invoke(cli, ["worker", "--device", "cpu"])
    assert said.exit_code == 2
    assert "says: file is not a database" in said.output


def test_the_worker_command_serves_until_it_is_told_to_stop(
    database: Database,
    settings: Settings,
    app: Celery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    submit(database, plan_seeds(*range(3), **SMALL))
    threading.Timer(0.1, lambda: _terminate_when_made(database)).start()
    said = CliRunner().invoke(cli, ["worker", "--device", "cpu", "--workers", "1"])
    assert said.exit_code == 0, said.output
    assert f"Serving with cpu0; logs in {settings.logs}" in said.output
    turn = r"cpu0: 3 images in [\d.]+ s, [\d.]+ images/s"
    assert any(re.fullmatch(turn, line) for line in caplog.messages)
    assert "Ended, since it was told to: 3 images in 0:" in caplog.messages[-1]
    assert is_made(database)
    assert "Stored" in (settings.logs / "cpu0.log").read_text()


def _terminate_when_made(database: Database) -> None:
    wait_until(lambda: is_made(database))
    psutil.Process().terminate()


def test_every_worker_knows_how_many_share_the_work(
    serving: Callable[..., Supervisor],
) -> None:
    serving(*placements(3))
    wait_until(lambda: len(children()) == 3)
    for process in children():
        words = process.cmdline()
        assert words[words.index("--peers") + 1] == "3"


def test_a_stop_hands_back_what_takes_longer_than_a_moment(
    serving: Callable[..., Supervisor], database: Database
) -> None:
    submit(database, plan_seeds(*range(8), **{**SMALL, "steps": 300}))
    made = serving()
    wait_until(lambda: "leased" in states(database).values())
    made.stop()
    made.stop()  # a second wish for the same is no hurry
    wait_until(lambda: not children())
    assert "leased" not in states(database).values()
    assert {row.attempts for row in job_rows(database)} <= {0, 1}
    assert all(row.attempts == 0 for row in job_rows(database) if row.state != "done")


def test_a_stop_at_once_waits_for_nobody_and_loses_nothing(
    serving: Callable[..., Supervisor], database: Database
) -> None:
    submit(database, plan_seeds(0, prompt="deaf", **{**SMALL, "steps": 3000}))
    made = serving()
    wait_until(lambda: "leased" in states(database).values())
    made.stop()
    made.stop_at_once()
    wait_until(lambda: not children())
    wait_until(lambda: states(database) == {0: "pending"})
    row = job_rows(database)[0]
    assert (row.attempts, row.deaths) == (0, 0)


@pytest.mark.long
def test_a_redis_that_dies_is_started_again_and_the_work_goes_on(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "name: two-groups\n"
        "base: {model: 'builtin:shapes', prompt: a cat, steps: 15}\n"
        "axes: {width: [8, 16], seed: {start: 0, count: 12}}\n"
    )
    threading.Thread(target=kill_redis_when, args=(settings, 3)).start()
    words = ["run", str(file), "--device", "cpu", "--workers", "1"]
    said = CliRunner().invoke(cli, words)
    assert said.exit_code == 0, said.output
    assert "Made 24 images in" in said.output


def kill_redis_when(settings: Settings, made: int) -> None:
    wait_until(lambda: len(list(settings.images.rglob("*.png"))) >= made)
    for process in find_servers(settings.home / "redis"):
        process.kill()


@pytest.mark.long
def test_what_no_worker_can_make_ends_the_run_with_its_reason(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "name: half\n"
        "base: {model: 'builtin:shapes', steps: 2}\n"
        "axes: {case: [{label: bad, set: {prompt: unfit, width: 8}}, "
        "{label: good, set: {prompt: a cat, width: 16}}]}\n"
    )
    words = ["run", str(file), "--device", "cpu", "--workers", "1"]
    said = CliRunner().invoke(cli, words)
    assert said.exit_code == 1, said.output
    assert "Made 1 image in" in said.output
    where = f"by cpu0 on {my_host()}"
    assert f"1 image cannot be made {where}: the model must be there" in said.output
    assert "1 image unmade; go on with: " in said.output
    status = CliRunner().invoke(cli, ["status", "--json"])
    assert '"reason": "the model must be there, but is not"' in status.output


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
    assert "find --sweep mixed --state failed,quarantined` lists them" in said.output
    again = CliRunner().invoke(cli, words)
    assert again.exit_code == 1
    assert "3 images failed before; add --retry-failed" in again.output
    retried = CliRunner().invoke(cli, [*words, "--retry-failed"])
    assert "3 images that failed are tried again." in retried.output
    assert retried.exit_code == 1
    status = CliRunner().invoke(cli, ["status", "--json"])
    assert '"done": 3' in status.output
    assert '"failed": 3' in status.output
    down = CliRunner().invoke(cli, ["down"])
    assert "The embedded Redis is stopped" in down.output
    again = CliRunner().invoke(cli, ["down"])
    assert f"No embedded Redis runs for {settings.home}" in again.output
