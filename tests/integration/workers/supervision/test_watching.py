"""What a supervisor does of itself: it ends what hangs, benches what fails, and leaves.

The workers are real processes, painting with a stand-in.
"""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from celery import Celery
from click.testing import CliRunner

from producer.cli import cli
from producer.running.local_workers import GIVE_UP_AFTER, LocalWorkers
from storage.jobs import blocked_groups
from storage.jobs.blocked_groups import blocked_jobs
from storage.settings import Settings
from storage.sql.database import Database
from storage.sql.schema import sweeps, workers
from tests.builders import job_rows, make_planned, plan_seeds, states, submit
from tests.integration.workers.supervision.test_supervisor import SMALL, is_made
from tests.processes import PATIENCE_S, ROOT, children, wait_until
from tests.stand_in import hold, let_go
from workers.devices import device_locks
from workers.devices import placements as devices
from workers.devices.device_locks import DeviceLock, gpu_lock
from workers.devices.gpu_probe import Gpu
from workers.devices.placements import Placement, choose_placements
from workers.supervision import restart_backoff
from workers.supervision.supervisor import Supervisor

CPU = ("--device", "cpu", "--workers", "1")


@pytest.fixture(autouse=True)
def _faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSWEEP_PAINTER", "tests.faulty_painter:make_painter")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(restart_backoff, "BACK_OFF_S", 0.05)


def registered(database: Database) -> list[Any]:
    with database.read() as connection:
        return list(connection.execute(sa.select(workers)).all())


def command(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "nightsweep", *words]


def sweep_file(folder: Path, *, count: int, steps: int) -> Path:
    file = folder / "night.yaml"
    file.write_text(
        "name: night\n"
        "base: {model: 'builtin:shapes', prompt: a cat, width: 8, height: 8, "
        f"steps: {steps}}}\n"
        f"axes: {{seed: {{start: 0, count: {count}}}}}\n"
    )
    return file


def test_a_worker_that_hangs_with_a_live_beat_is_killed_and_the_rest_is_made(
    serving: Callable[..., Supervisor],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_LIMITS_S", "painting=3")
    bad = make_planned(seed=0, prompt="hang", **SMALL)
    submit(database, [bad, *plan_seeds(1, 2, 3, **SMALL)])
    serving()
    wait_until(lambda: "quarantined" in states(database).values())
    wait_until(lambda: list(states(database).values()).count("done") == 3)
    said = [text for text in caplog.messages if "stuck" in text]
    stuck = r"Worker cpu0 was stuck in painting for \d+ s and is killed\."
    assert re.fullmatch(stuck, said[0])
    assert len(said) >= 3  # alone each time, but for the first


def test_a_device_that_fails_restarts_after_a_pause_and_no_job_is_blamed(
    serving: Callable[..., Supervisor], database: Database, settings: Settings
) -> None:
    sick = settings.home / "sick"
    sick.touch()
    submit(database, plan_seeds(0, 1, 2, **SMALL))
    serving()
    wait_until(lambda: any(row.phase == "backoff" for row in registered(database)))
    (row,) = [row for row in registered(database) if row.phase == "backoff"]
    assert (row.name, row.gpu) == ("cpu0", "CPU")
    assert row.detail.startswith("its device failed, ")
    assert "in a row without an image; see cpu0.log; until " in row.detail
    sick.unlink()
    wait_until(lambda: is_made(database))
    wait_until(lambda: all(row.phase != "backoff" for row in registered(database)))
    assert {row.deaths for row in job_rows(database)} == {0}


@pytest.mark.long
def test_a_run_says_once_who_restarts_after_a_pause(
    database: Database, settings: Settings, app: Celery, tmp_path: Path
) -> None:
    sick = settings.home / "sick"
    sick.touch()
    words = command("run", str(sweep_file(tmp_path, count=2, steps=2)), *CPU)
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as run:
        said = iter(run.stderr or ())
        assert any(
            "restarts after a pause: its device failed, " in line for line in said
        )
        sick.unlink()
        assert not any("backoff" in line for line in said)
    assert run.returncode == 0
    assert is_made(database)


def test_a_run_that_is_interrupted_while_its_workers_start_ends_them(
    settings: Settings, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = LocalWorkers(settings, {"device": "cpu", "workers": 1})
    start = subprocess.Popen

    def interrupted(*words: Any, **options: Any) -> Any:
        process = start(*words, **options)
        workers._interrupt()
        return process

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with workers.at_work():
        pass
    assert not children()


@pytest.mark.long
def test_a_job_that_a_device_fails_with_holds_up_nothing_else(
    serving: Callable[..., Supervisor],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_STAND_IN_WIDTH", "4")
    bad = [make_planned(seed=seed, prompt="curse", **SMALL) for seed in (0, 1)]
    other = make_planned(seed=5, width=16, height=16)
    sweep = submit(database, [*bad, *plan_seeds(2, 3, 4, **SMALL), other])
    made = serving(give_up_after=GIVE_UP_AFTER)
    wait_until(lambda: list(states(database).values()).count("done") == 4)
    wait_until(lambda: blocked_jobs(database, sweep))
    (blocked,) = blocked_jobs(database, sweep)
    assert blocked.reason == "the GPU must answer, but says: lost"
    made.stop()
    wait_until(lambda: not children())
    left = [row for row in job_rows(database) if row.state != "done"]
    assert {(row.state, row.deaths) for row in left} == {("pending", 0)}


@pytest.mark.slow
def test_a_disk_that_hangs_is_no_jobs_fault(
    serving: Callable[..., Supervisor],
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_LIMITS_S", "storing=1")
    frozen = settings.home / "frozen"
    frozen.touch()
    submit(database, plan_seeds(0, **SMALL))
    serving()
    wait_until(lambda: caplog.text.count("Worker cpu0 was stuck in storing") == 3)
    frozen.unlink()
    wait_until(lambda: is_made(database))
    (row,) = job_rows(database)
    assert (row.attempts, row.deaths) == (1, 0)


@pytest.mark.long
def test_a_model_that_kills_the_worker_is_left_alone_and_other_groups_go_on(
    serving: Callable[..., Supervisor], database: Database, settings: Settings
) -> None:
    short = settings.home / "short"
    short.touch()
    good = make_planned(seed=1, prompt="a cat", width=16, height=16)
    sweep = submit(database, [make_planned(seed=0, prompt="large", **SMALL), good])
    serving()
    wait_until(lambda: blocked_jobs(database, sweep))
    (blocked,) = blocked_jobs(database, sweep)
    assert (blocked.workers, blocked.images) == (("cpu0",), 1)
    assert blocked.reason == (
        "a model must load, but loading builtin:shapes ended worker cpu0 3 times in a "
        "row (code -9); see cpu0.log, and whether memory is short"
    )
    wait_until(lambda: states(database) == {0: "pending", 1: "done"})
    (row,) = [row for row in job_rows(database) if row.state == "pending"]
    assert (row.attempts, row.deaths) == (0, 0)
    short.unlink()
    blocked_groups.lift_all(database)  # as by a sweep that is submitted
    wait_until(lambda: is_made(database))


def test_a_worker_that_loads_is_ended_at_once_and_its_jobs_are_handed_back(
    serving: Callable[..., Supervisor], database: Database
) -> None:
    submit(database, [make_planned(seed=0, prompt="load", **SMALL)])
    made = serving()
    wait_until(lambda: any(row.phase == "loading" for row in registered(database)))
    made.stop()
    wait_until(lambda: registered(database) == [] and not children())
    (row,) = job_rows(database)
    assert (row.state, row.attempts, row.deaths) == ("pending", 0, 0)


def test_workers_say_what_they_do_and_are_struck_off_when_they_end(
    serving: Callable[..., Supervisor], database: Database
) -> None:
    submit(database, plan_seeds(*range(8), **{**SMALL, "steps": 200}))
    made = serving()
    wait_until(lambda: [row.phase for row in registered(database)] == ["painting"])
    (row,) = registered(database)
    owners = {row.owner for row in job_rows(database) if row.owner}
    assert owners == {row.owner}
    (child,) = children()
    child.kill()
    wait_until(lambda: row.owner not in {one.owner for one in registered(database)})
    wait_until(lambda: any(one.phase == "painting" for one in registered(database)))
    made.stop()
    wait_until(lambda: registered(database) == [])


def test_a_worker_leaves_when_there_is_nothing_to_make(
    database: Database, settings: Settings
) -> None:
    submit(database, plan_seeds(*range(3), **SMALL))
    said = CliRunner().invoke(cli, ["worker", *CPU, "--exit-when-idle", "1s"])
    assert said.exit_code == 0, said.output
    assert is_made(database)
    assert settings.logs.is_dir()


def test_a_worker_hands_back_and_leaves_when_its_time_is_up(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(database, plan_seeds(*range(3), **{**SMALL, "steps": 999}))
    monkeypatch.setenv("NIGHTSWEEP_STOP_AFTER", "4s")
    said = CliRunner().invoke(cli, ["worker", *CPU])
    assert said.exit_code == 0, said.output
    assert set(states(database).values()) == {"pending"}
    assert {row.attempts for row in job_rows(database)} == {0}
    assert settings.logs.is_dir()


def test_a_hangup_ends_neither_supervisor_nor_worker(
    database: Database, settings: Settings, app: Celery
) -> None:
    submit(database, plan_seeds(*range(6), **SMALL))
    hold()
    words = command("worker", *CPU, "--exit-when-idle", "1s")
    with subprocess.Popen(words, stdin=subprocess.DEVNULL) as worker:
        wait_until(lambda: "leased" in states(database).values())
        (child,) = children()
        for process in (worker, child):
            process.send_signal(signal.SIGHUP)
        let_go()
        assert worker.wait(PATIENCE_S) == 0
    assert is_made(database)
    assert {row.attempts for row in job_rows(database)} == {1}
    assert "Ready" in (settings.logs / "cpu0.log").read_text()


#: Makes standard input the terminal that ends its process when it is closed.
LEAD = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.long
def test_a_run_goes_on_when_its_terminal_is_closed(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    words = command("run", str(sweep_file(tmp_path, count=6, steps=2)), *CPU)
    hold()
    screen, its = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", LEAD, *words], stdin=its, stdout=its, stderr=its
    ) as run:
        os.close(its)
        while "leased" not in states(database).values():
            if select.select([screen], [], [], 0.1)[0]:
                os.read(screen, 4096)
        os.close(screen)
        let_go()
        assert run.wait(PATIENCE_S) == 0
    assert is_made(database)
    assert {row.attempts for row in job_rows(database)} == {1}


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is caught")
def test_a_run_goes_on_when_its_terminal_is_closed_before_the_work_began(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    spec = sweep_file(tmp_path, count=2, steps=2).read_bytes()
    with subprocess.Popen(command("run", "-", *CPU), stdin=subprocess.PIPE) as run:
        wait_until(lambda: catches_hangups(run.pid))
        run.send_signal(signal.SIGHUP)
        run.communicate(spec)
    assert run.returncode == 0
    assert is_made(database)


def catches_hangups(pid: int) -> bool:
    """Tell whether a process has a handler for SIGHUP."""
    said = Path(f"/proc/{pid}/status").read_text()
    (caught,) = re.findall(r"^SigCgt:\s+(\w+)$", said, re.MULTILINE)
    return bool(int(caught, 16) & 1 << signal.SIGHUP - 1)


@pytest.mark.long
def test_a_run_that_is_terminated_hands_back(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    words = command("run", str(sweep_file(tmp_path, count=6, steps=2)), *CPU)
    hold()
    with subprocess.Popen(words, stdin=subprocess.DEVNULL) as run:
        wait_until(lambda: "leased" in states(database).values())
        run.terminate()
        assert run.wait(PATIENCE_S) == 130
    assert {(row.state, row.attempts) for row in job_rows(database)} == {("pending", 0)}
    assert not children()


@pytest.fixture
def one_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeviceLock:
    """Have a machine with a GPU that another worker serves; give that one's lock."""
    monkeypatch.setattr(devices, "has_nvidia", lambda: True)
    monkeypatch.setattr(devices, "probe", lambda: [Gpu(name="H200", uuid="1f2e")])
    monkeypatch.setattr(device_locks, "FOLDER", tmp_path)
    other = gpu_lock("1f2e")
    assert other.take()
    return other


def test_a_worker_without_a_gpu_of_its_own_says_so(one_gpu: DeviceLock) -> None:
    said = CliRunner().invoke(cli, ["worker"])
    assert said.exit_code == 1
    assert said.output == (
        "Error: A worker needs a GPU of its own, but others serve gpu0 already; stop "
        "those, or wait for one with --join.\n"
    )
    one_gpu.release()


def test_a_worker_without_a_core_of_its_own_says_so(
    database: Database, settings: Settings
) -> None:
    cores = choose_placements(device="cpu", locks=settings.locks)
    names = ", ".join(placement.name for placement in cores)
    said = CliRunner().invoke(cli, ["worker", "--device", "cpu"])
    for placement in cores:
        assert placement.lock
        placement.lock.release()
    assert said.exit_code == 1
    assert said.output == (
        f"Error: A worker needs a core of its own, but others serve {names} already; "
        "stop those, or wait for one with --join, or ask for more workers with "
        "--workers.\n"
    )


def test_a_worker_that_joins_takes_the_gpu_when_it_is_free(
    database: Database,
    settings: Settings,
    one_gpu: DeviceLock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    run = Supervisor.run

    def run_beside_the_other(supervisor: Supervisor) -> int:
        threading.Timer(1, one_gpu.release).start()
        return run(supervisor)

    monkeypatch.setattr(Supervisor, "run", run_beside_the_other)
    said = CliRunner().invoke(cli, ["worker", "--join", "--exit-when-idle", "1s"])
    assert said.exit_code == 0, said.output
    where = f"; logs in {settings.logs}."
    assert f"Waiting for gpu0, which other workers serve{where}" in said.output
    assert is_made(database)


@pytest.mark.long
def test_a_supervisor_serves_the_gpus_that_are_free(
    serving: Callable[..., Supervisor], database: Database, one_gpu: DeviceLock
) -> None:
    placements = [
        Placement(
            name=f"gpu{number}",
            device="cuda:0",
            visible=str(number),
            lock=gpu_lock(uuid),
        )
        for number, uuid in enumerate(("1f2e", "3c4d"))
    ]
    submit(database, plan_seeds(*range(3), **SMALL))
    serving(*placements)
    wait_until(lambda: is_made(database))
    assert {row.name for row in registered(database)} == {"gpu1"}
    one_gpu.release()
    wait_until(lambda: {row.name for row in registered(database)} == {"gpu0", "gpu1"})


def log_of(settings: Settings) -> str:
    return (settings.logs / "cpu0.log").read_text()


@pytest.mark.long
def test_a_disk_with_less_free_than_a_sweep_wants_is_waited_for(
    serving: Callable[..., Supervisor], database: Database, settings: Settings
) -> None:
    submit(database, plan_seeds(*range(3), **SMALL))
    want(database, 10**18)
    serving()
    wait_until(lambda: any(row.phase == "waiting" for row in registered(database)))
    assert list(settings.images.rglob("*.png")) == []
    want(database, 0)
    wait_until(lambda: is_made(database))
    assert log_of(settings).count("must stay free where images of night go") == 1
    assert log_of(settings).count("Going on after") == 1


@pytest.mark.long
def test_what_a_finished_sweep_wants_to_stay_free_holds_up_no_later_one(
    serving: Callable[..., Supervisor], database: Database, settings: Settings
) -> None:
    submit(database, plan_seeds(0, **SMALL), name="finished")
    serving()
    wait_until(lambda: is_made(database))
    want(database, 10**18)
    submit(database, plan_seeds(1, **SMALL), name="later")
    wait_until(lambda: is_made(database))
    assert "must stay free" not in log_of(settings)


def want(database: Database, wanted: int) -> None:
    """Have all sweeps that there are want that much."""
    with database.write() as connection:
        connection.execute(sa.update(sweeps).values(min_free_bytes=wanted))
