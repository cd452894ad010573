"""The life of a sweep while real workers paint with the stand-in."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from celery import Celery
from click.testing import CliRunner

from producer.cli import cli
from producer.commands.submit import submit
from storage.broker.queue import waiting
from storage.host.worker_ids import my_host
from storage.jobs import blocked_groups, lifecycle
from storage.jobs.results import record_done
from storage.settings import Settings
from storage.sql.database import Database
from storage.sql.schema import jobs
from tests.builders import (
    ENVIRONMENT,
    make_planned,
    make_result,
    plan_seeds,
    take_these,
    untold,
)
from tests.builders import submit as submit_planned
from tests.processes import ROOT, running, wait_until
from tests.stand_in import hold, let_go

WORKER = ("nightsweep", "worker", "--device", "cpu", "--workers", "1")
WIDTH = 4
#: A `cancel` that tells half of a hundred jobs or more, and gets no further.
STUCK_CANCEL = """
import time
from producer.cli import cli
from storage.jobs import lifecycle

members = lifecycle._members
def look(*args, after):
    if after > 50:
        print("half", flush=True)
        time.sleep(600)
    return members(*args, after=after)

lifecycle.SETTLE_ROWS, lifecycle._members = 5, look
cli(["cancel", "night"])
"""
#: A `resume` that has said what the sweep wants, and has told no job of it.
STUCK_RESUME = """
import time
from producer.cli import cli
from storage.jobs import lifecycle

def look(*args, after):
    print("said", flush=True)
    time.sleep(600)

lifecycle._members = look
cli(["resume", "night"])
"""


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSWEEP_PAINTER", "tests.stand_in:make_painter")
    monkeypatch.setenv("NIGHTSWEEP_STAND_IN_WIDTH", str(WIDTH))
    monkeypatch.setenv("NIGHTSWEEP_STAND_IN_STEP_S", "0.05")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def write_spec(
    folder: Path, *, steps: int, count: int, name: str = "night", first: int = 0
) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(
        f"name: {name}\nlimits: {{max_jobs: 200000}}\n"
        f"base: {{model: 'builtin:shapes', prompt: a cat, steps: {steps}}}\n"
        f"axes: {{seed: {{start: {first}, count: {count}}}}}\n"
    )
    return str(path)


def command(*words: str) -> str:
    said = CliRunner().invoke(cli, list(words))
    assert said.exit_code == 0, said.output
    return said.output


def count_states(database: Database) -> Counter[str]:
    query = sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state)
    with database.read() as connection:
        return Counter(dict(connection.execute(query).all()))


def count_wanted(database: Database) -> int:
    query = sa.select(sa.func.count()).where(
        jobs.c.priority.is_not(None), jobs.c.state != "done"
    )
    with database.read() as connection:
        return int(connection.execute(query).scalar_one())


@contextmanager
def killed_half_way(database: Database) -> Iterator[None]:
    """Begin to cancel, kill that with -9 half way, and run the block."""
    before = count_wanted(database)
    kill_when_it_says(STUCK_CANCEL, b"half\n")
    assert 0 < count_wanted(database) < before
    yield


def kill_when_it_says(code: str, line: bytes) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == line
        process.kill()


def test_a_cancelled_sweep_is_painted_no_further_and_its_queue_drains(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    submit(write_spec(tmp_path, steps=100, count=1000))
    hold()
    with running(*WORKER, said=tmp_path / "said"):
        wait_until(lambda: count_states(database)["leased"] >= 2 * WIDTH)
        said = command("cancel", "night")
        assert "night is cancelled" in said
        wait_until(lambda: not count_states(database)["leased"])
        let_go()
        wait_until(lambda: waiting(app) == 0)
    assert count_states(database) == {"pending": 1000}


@pytest.mark.long
def test_a_cancel_that_was_killed_half_way_is_finished_by_repair(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    submit(write_spec(tmp_path, steps=3, count=150))
    with killed_half_way(database), running(*WORKER):
        wait_until(lambda: count_wanted(database) == 0)
        wait_until(lambda: not count_states(database)["leased"])
        left = count_states(database)["pending"]
        assert left
        command("resume", "night")
        wait_until(lambda: count_states(database) == {"done": 150})


def test_a_cancel_that_was_killed_half_way_can_be_repeated(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    submit(write_spec(tmp_path, steps=3, count=100))
    with killed_half_way(database):
        command("cancel", "night")
        assert count_wanted(database) == 0
        command("resume", "night")
        assert count_wanted(database) == 100


@pytest.mark.long
def test_a_group_that_cannot_be_made_holds_up_no_other_though_messages_are_lost(
    database: Database, app: Celery
) -> None:
    unfit = plan_seeds(*range(600), prompt="unfit", width=768)
    submit_planned(database, [*unfit, make_planned(seed=-1, position=600, width=64)])
    with running(*WORKER):
        wait_until(lambda: count_states(database)["done"] == 1)


@pytest.mark.long
def test_a_resume_that_was_killed_at_once_is_finished_though_the_last_jobs_are_done(
    database: Database, app: Celery
) -> None:
    planned = plan_seeds(*range(1200), width=64, height=64, steps=1)
    sweep = submit_planned(database, planned)
    last = [one.job.key for one in planned[600:]]
    taken = take_these(database, last)
    made = {claim.id: make_result() for claim in taken}
    record_done(database, made, worker="cpu0", environment=ENVIRONMENT)
    lifecycle.set_state(database, sweep, "paused")
    kill_when_it_says(STUCK_RESUME, b"said\n")
    assert count_wanted(database) == 0
    with running(*WORKER):
        wait_until(lambda: count_wanted(database) > 0)
        wait_until(lambda: count_states(database)["done"] > 600)


def test_what_two_sweeps_want_is_made_though_one_is_paused(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    submit(write_spec(tmp_path, steps=8, count=40))
    submit(write_spec(tmp_path, steps=8, count=20, first=30, name="other"))
    hold()
    with running(*WORKER):
        wait_until(lambda: count_states(database)["leased"] > 0)
        command("pause", "night")
        let_go()
        wait_until(lambda: count_states(database)["done"] >= 20)
        wait_until(lambda: not count_states(database)["leased"])
        made = count_states(database)["done"]
        assert made < 50
        command("resume", "night")
        wait_until(lambda: count_states(database) == {"done": 50})
    assert untold(database) == []


@pytest.mark.long
def test_workers_turn_to_what_became_more_urgent(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    submit(write_spec(tmp_path, steps=20, count=400))
    path = Path(write_spec(tmp_path, steps=20, count=8, name="other"))
    path.write_text(path.read_text().replace("steps: 20", "steps: 20, width: 96"))
    submit(str(path))
    with running(*WORKER):
        wait_until(lambda: count_states(database)["done"] > 0)
        command("priority", "other", "1")
        query = sa.select(sa.func.count()).where(
            jobs.c.width == 96, jobs.c.state == "done"
        )

        def is_made() -> bool:
            with database.read() as connection:
                return connection.execute(query).scalar_one() == 8

        wait_until(is_made)
        assert count_states(database)["pending"] > 0


@pytest.mark.long
def test_a_run_tries_again_what_could_not_be_made_before(
    database: Database, tmp_path: Path
) -> None:
    spec = write_spec(tmp_path, steps=3, count=8)
    submit(spec)
    with database.read() as connection:
        group = connection.execute(sa.select(jobs.c.group_key)).scalars().first()
    for worker in ("cpu0", "gpu9"):
        about = {"host": my_host(), "worker": worker}
        blocked_groups.block(database, group, **about, reason="the model was not there")
    said = command("run", spec, "--device", "cpu", "--workers", "1")
    assert "Made 8 images" in said


@pytest.mark.long
def test_a_run_whose_sweep_pauses_itself_ends_and_says_why(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "name: bad\nbase: {model: 'builtin:shapes', steps: 8}\n"
        "axes: {prompt: [fail, a cat], seed: {start: 0, count: 400}}\n"
    )
    said = CliRunner().invoke(
        cli, ["run", str(path), "--device", "cpu"], env=os.environ
    )
    assert said.exit_code == 1, said.output
    assert "bad is paused: " in said.output
    assert (
        "jobs failed, most of them with: this job must fail, and does." in said.output
    )
    assert "`nightsweep retry bad`" in said.output
    assert " unmade; go on here with `" in said.output
