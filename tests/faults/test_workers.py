"""Workers that are killed, lost, stopped, poisoned, replaced, or that hang."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import sqlalchemy as sa

from storage.sql.schema import jobs
from tests.faults.night import Night
from tests.processes import PATIENCE_S, wait_until
from tests.stand_in import hold, let_go
from workers.vitals.exits import STOP_S

HOURS_S = 7200


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


@pytest.mark.long
def test_a_lost_hosts_job_is_made_by_another_after_its_lease(night: Night) -> None:
    night.submit(count=1)
    hold()
    with night.working_elsewhere() as far:
        wait_until(night.owners)
        (owner,) = night.owners()
        assert owner.startswith("elsewhere.")
        with ready(night):
            assert night.owners() == {owner}
            far.kill()
            far.wait()
            night.end_leases()
            wait_until(lambda: night.began() == 2)
            let_go()
            night.wait_for(1)
            night.check(done=1)
    assert night.began() == 2
    with night.database.read() as connection:
        query = sa.select(jobs.c.attempts, jobs.c.deaths)
        assert connection.execute(query).one() == (1, 0)


def test_a_killed_workers_jobs_are_made_by_another_that_is_idle(night: Night) -> None:
    night.submit(count=1)
    hold()
    with ready(night, 2):
        night.kill_a_worker()
        wait_until(lambda: night.began() == 2)
        let_go()
        night.wait_for(1)
        night.check(done=1)
    assert night.began() == 2


def lease_until(night: Night) -> float:
    """Give when the lease of the one job ends; 0 where nobody has it."""
    with night.database.read() as connection:
        return connection.execute(sa.select(jobs.c.lease_until)).scalar() or 0.0


@pytest.mark.long
def test_a_job_that_takes_longer_than_its_lease_is_begun_once(night: Night) -> None:
    night.submit(count=1)
    hold()
    with night.working(2, LEASE_S=10):
        wait_until(lambda: lease_until(night))
        first = lease_until(night)
        wait_until(lambda: lease_until(night) > first + 15)
        let_go()
        night.wait_for(1)
        night.check(done=1)
    assert night.began() == 1


def test_one_ctrl_c_hands_back_what_is_not_finished(night: Night) -> None:
    night.submit(count=3, prompts="a cat, a dog")
    hold("a dog")
    with night.working(2) as workers:
        night.wait_for(1)
        workers.send_signal(signal.SIGINT)
        workers.wait(PATIENCE_S)
    let_go()
    assert not night.owners()
    assert 1 <= night.states()["done"] <= 3
    with night.database.read() as connection:
        query = sa.select(sa.func.max(jobs.c.attempts)).where(jobs.c.state != "done")
        assert connection.execute(query).scalar_one() == 0
    with night.working():
        night.wait_for(6)
        night.check(done=6)
    assert night.began() <= 6 + 2


@pytest.mark.long
def test_a_second_ctrl_c_ends_at_once_and_loses_nothing(night: Night) -> None:
    night.submit(count=4, steps=2)
    with night.working(2, STAND_IN_STEP_S=HOURS_S) as workers:
        wait_until(lambda: len(night.owners()) == 2)
        wait_until(lambda: night.began() == 2)
        workers.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            workers.wait(0.5)
        # Two that come before the first is seen are one.
        wait_until(lambda: has_ended_by(workers, signal.SIGINT))
    assert not night.owners()
    with night.working():
        night.wait_for(4)
        night.check(done=4)
    assert night.began() == 4 + 2


def has_ended_by(process: "subprocess.Popen[bytes]", number: int) -> bool:
    process.send_signal(number)
    with suppress(subprocess.TimeoutExpired):
        process.wait(0.5)
    return process.poll() is not None


def test_what_kills_is_set_aside_and_what_fails_fails_and_the_rest_is_made(
    night: Night,
) -> None:
    night.submit(count=1, prompts="a cat, die, raise, fail, a dog, unfetchable")
    with night.working():
        wait_until(lambda: night.states()["quarantined"] == 1)
        wait_until(lambda: not night.states()["pending"] + night.states()["leased"])
        night.check(done=2, others=4)
    (killer,) = rows_of(night, "die")
    assert (killer.state, killer.deaths) == ("quarantined", 3)
    assert "its worker died 3 times with this job alone" in killer.error
    (fault,) = rows_of(night, "raise")
    assert (fault.state, fault.error) == (
        "failed",
        "ZeroDivisionError: division by zero",
    )
    (failure,) = rows_of(night, "fail")
    assert (failure.state, failure.attempts) == ("failed", 1)
    assert "this job must fail, and does" in failure.error
    (late,) = rows_of(night, "unfetchable")
    assert late.state == "failed"
    times = sorted(len(stints) for stints in night.stints().values())
    assert times[-1] <= 4, "the job that kills, once in company at most"


@pytest.mark.long
def test_workers_come_and_go_in_the_midst_of_a_sweep(night: Night) -> None:
    night.submit(count=150, steps=15)
    hold()
    with night.working() as first:
        wait_until(lambda: len(night.owners()) == 1)
        with night.working(2):
            wait_until(lambda: len(night.owners()) == 3)
            first.terminate()
            first.wait(PATIENCE_S)
            night.kill_a_worker()
            let_go()
            with night.working():
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
        worker.wait(STOP_S + PATIENCE_S)
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
    assert "was stuck in painting for " in night.log()
    assert {row.deaths for row in rows_of(night, "hang")} == {3}
