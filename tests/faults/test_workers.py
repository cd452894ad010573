"""Workers that are killed, lost, stopped, poisoned, replaced, or that hang."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from storage.schema import jobs
from tests.faults.night import Night
from tests.processes import PATIENCE_S, wait_until
from workers.tasks import STOP_S


@contextmanager
def ready(night: Night, workers: int = 1, **env: object) -> Iterator[object]:
    """Have workers that wait for a message."""
    before = night.log().count("Ready.")
    with night.working(workers, **env) as process:
        wait_until(lambda: night.log().count("Ready.") == before + workers)
        yield process


def rows_of(night: Night, prompt: str) -> list[sa.Row]:
    """Read the jobs with a prompt."""
    query = sa.text(
        "SELECT state, attempts, deaths, error FROM jobs JOIN prompts "
        "ON prompts.id = jobs.prompt_id WHERE prompts.text = :text"
    )
    with night.database.read() as connection:
        return list(connection.execute(query, {"text": prompt}))


def test_a_lost_hosts_job_is_made_by_another_after_its_lease(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_LEASE_S", "2")
    night.submit(count=1, steps=300)
    with night.working_elsewhere() as far:
        wait_until(night.owners)
        (owner,) = night.owners()
        assert owner.startswith("elsewhere.")
        with ready(night):
            assert night.owners() == {owner}
            far.kill()
            night.wait_for(1)
        night.check(done=1)
    assert night.began() == 2
    with night.database.read() as connection:
        query = sa.select(jobs.c.attempts, jobs.c.deaths)
        assert connection.execute(query).one() == (1, 0)


def test_a_killed_workers_jobs_are_made_by_another_that_is_idle(night: Night) -> None:
    night.submit(count=1, steps=200)
    with ready(night, 2, LEASE_S=5):
        night.kill_a_worker()
        night.wait_for(1)
        night.check(done=1)
    assert night.began() == 2


def test_a_job_that_takes_longer_than_three_leases_is_begun_once(night: Night) -> None:
    night.submit(count=1, steps=70)
    with night.working(2, LEASE_S=2, STAND_IN_STEP_S=0.1):
        night.wait_for(1)
        night.check(done=1)
    assert night.began() == 1


def test_one_ctrl_c_hands_back_what_is_not_finished(night: Night) -> None:
    night.submit(count=6, steps=50)
    with night.working(2) as workers:
        night.wait_for(1)
        workers.send_signal(signal.SIGINT)
        workers.wait(PATIENCE_S)
    assert not night.owners()
    made = night.states()["done"]
    assert 1 <= made < 6
    with night.database.read() as connection:
        query = sa.select(sa.func.max(jobs.c.attempts)).where(jobs.c.state != "done")
        assert connection.execute(query).scalar_one() == 0
    with night.working(2):
        night.wait_for(6)
        night.check(done=6)
    assert night.began() <= 6 + 2


def test_a_second_ctrl_c_ends_at_once_and_loses_nothing(night: Night) -> None:
    night.submit(count=4, steps=2)
    with night.working(2, STAND_IN_STEP_S=PATIENCE_S) as workers:
        wait_until(lambda: len(night.owners()) == 2)
        wait_until(lambda: night.began() == 2)
        workers.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            workers.wait(0.5)
        workers.send_signal(signal.SIGINT)
        workers.wait(PATIENCE_S / 2)
    assert not night.owners()
    with night.working(2):
        night.wait_for(4)
        night.check(done=4)
    assert night.began() == 4 + 2


def test_what_kills_is_set_aside_and_what_fails_fails_and_the_rest_is_made(
    night: Night,
) -> None:
    night.submit(count=1, prompts="a cat, die, raise, fail, a dog, undevelopable")
    with night.working():
        wait_until(lambda: night.states()["quarantined"] == 1)
        wait_until(lambda: not night.states()["pending"] + night.states()["leased"])
        night.check(done=2, others=4)
    (killer,) = rows_of(night, "die")
    assert (killer.state, killer.deaths) == ("quarantined", 3)
    assert "its worker died 3 times with this job alone" in killer.error
    (fault,) = rows_of(night, "raise")
    assert (fault.state, fault.error) == ("failed", "ZeroDivisionError: ")
    (failure,) = rows_of(night, "fail")
    assert (failure.state, failure.attempts) == ("failed", 1)
    assert "this job must fail, and does" in failure.error
    (late,) = rows_of(night, "undevelopable")
    assert late.state == "failed"
    times = sorted(len(stints) for stints in night.stints().values())
    assert times[-1] <= 4, "the job that kills, once in company at most"


def test_workers_come_and_go_in_the_midst_of_a_sweep(night: Night) -> None:
    night.submit(count=150, steps=15)
    with night.working(LEASE_S=5) as first:
        night.wait_for(2)
        with night.working(2, LEASE_S=5):
            wait_until(lambda: len(night.owners()) == 3)
            first.terminate()
            first.wait(PATIENCE_S)
            night.kill_a_worker()
            with night.working(LEASE_S=5):
                night.wait_for(60)
                night.kill_a_worker(signal.SIGTERM)
                night.wait_for(150)
                night.check(done=150)
    twice = [stints for stints in night.stints().values() if len(stints) > 1]
    # Two were stopped with a job in hand; one was killed with such a job, and perhaps
    # with one that was painted but not stored.
    assert len(twice) <= 4
    assert night.begun_by_two() == []


@pytest.mark.slow
def test_a_worker_that_hangs_ends_some_time_after_its_supervisor(night: Night) -> None:
    night.submit(count=1, prompts="hang")
    painter = "tests.faulty_painter:make_painter"
    with night.working(PAINTER=painter, LEASE_S=2) as supervisor:
        wait_until(night.owners)
        (worker,) = night.workers()
        supervisor.kill()
        worker.wait(2 * STOP_S)
    with night.working():
        wait_until(lambda: not night.owners())


@pytest.mark.slow
def test_a_worker_that_hangs_with_a_live_beat_is_killed(night: Night) -> None:
    night.submit(count=1, prompts="a cat, hang, a dog")
    painter = "tests.faulty_painter:make_painter"
    with night.working(PAINTER=painter, LIMITS_S="painting=2", LEASE_S=2):
        wait_until(lambda: night.states()["quarantined"] == 1)
        night.wait_for(2)
        night.check(done=2, others=1)
    assert "was stuck in painting for 2 s and is killed" in night.log()
    assert {row.deaths for row in rows_of(night, "hang")} == {3}
