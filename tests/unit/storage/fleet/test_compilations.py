"""Which groups run compiled networks: one decision for all workers."""

from dataclasses import replace

import pytest

from storage.fleet import registry
from storage.fleet.compilations import DatabaseCompilations
from storage.jobs.claims import Claim
from storage.jobs.membership import add_jobs
from storage.jobs.results import record_done
from storage.jobs.sweeps import save_sweep
from storage.sql.database import Database, utc_now
from tests.builders import (
    ENVIRONMENT,
    SHAPES,
    make_job,
    make_planned,
    make_result,
    plan_seeds,
    submit,
    take,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")

GPU = "NVIDIA H200"


@pytest.fixture
def known(database: Database) -> DatabaseCompilations:
    return DatabaseCompilations(database)


def enter(database: Database, name: str, gpu: str, **changes: str) -> None:
    """Enter a worker in the registry, as its supervisor does."""
    entry = registry.Entry(
        owner=f"night3.1f2e:{name}:1",
        name=name,
        host="night3",
        gpu=gpu,
        phase="starting",
        started_at=utc_now(),
        phase_at=utc_now(),
    )
    registry.note(database, replace(entry, **changes))


def finish(database: Database, *held: Claim) -> None:
    done = {claim.id: make_result() for claim in held}
    record_done(database, done, worker="gpu0", environment=ENVIRONMENT)


def decide(known: DatabaseCompilations, seed: int, *, compiled: bool) -> bool:
    return known.settle(make_job(seed=seed), GPU, compiled=compiled, reason="it is so")


def test_a_decision_holds_for_all_workers(
    database: Database, known: DatabaseCompilations
) -> None:
    submit(database, plan_seeds(1, 2, 3))
    assert known.get(make_job(seed=1)) is None
    assert decide(known, 1, compiled=True)
    assert decide(known, 2, compiled=False)
    assert known.get(make_job(seed=3)) is True


def test_each_group_has_a_decision_of_its_own(
    database: Database, known: DatabaseCompilations
) -> None:
    submit(database, [*plan_seeds(1), make_planned(seed=1, width=768)])
    decide(known, 1, compiled=False)
    assert known.get(make_job(seed=1)) is False
    assert known.get(make_job(seed=1, width=768)) is None


def test_a_few_images_do_not_decide_for_the_sweeps_that_follow(
    database: Database, known: DatabaseCompilations
) -> None:
    submit(database, plan_seeds(1), name="few")
    decide(known, 1, compiled=False)
    submit(database, plan_seeds(2, 3), name="many")
    # The first sweep is not made yet, whether its job waits or is in hand.
    assert known.get(make_job(seed=2)) is False
    (claim,) = take(database, limit=1)
    assert known.get(make_job(seed=2)) is False
    finish(database, claim)
    assert known.get(make_job(seed=2)) is None
    assert decide(known, 2, compiled=True)
    assert decide(known, 3, compiled=False)
    assert known.get(make_job(seed=1)) is True


def test_a_sweep_that_has_changed_is_decided_again(
    database: Database, known: DatabaseCompilations
) -> None:
    submit(database, plan_seeds(1))
    decide(known, 1, compiled=False)
    submit(database, plan_seeds(1, 2), spec="two")
    assert known.get(make_job(seed=2)) is None
    assert not decide(known, 2, compiled=False)
    assert known.get(make_job(seed=1)) is False


def test_a_decision_to_compile_stays(
    database: Database, known: DatabaseCompilations
) -> None:
    submit(database, plan_seeds(1), name="many")
    decide(known, 1, compiled=True)
    finish(database, *take(database))
    submit(database, plan_seeds(2), name="few")
    assert known.get(make_job(seed=2)) is True


def test_the_last_cost_of_the_model_on_that_gpu_counts(
    database: Database, known: DatabaseCompilations
) -> None:
    sizes = [make_planned(seed=1, width=width) for width in (512, 768, 1024)]
    submit(database, sizes)
    small, larger, largest = (each.job for each in sizes)
    assert known.cost_s(small, GPU) is None
    for job in (small, larger, largest):
        known.settle(job, GPU, compiled=True, reason="it pays")
    known.note_cost(small, seconds=70.0)
    known.note_cost(larger, seconds=90.0)
    assert known.cost_s(largest, GPU) == 90.0
    other = replace(SHAPES, fingerprint="1" * 32)
    assert known.cost_s(make_job(model=other), GPU) is None
    assert known.cost_s(make_job(), "NVIDIA H100") is None


def test_the_work_left_is_that_of_the_groups_runnable_jobs(
    database: Database, known: DatabaseCompilations
) -> None:
    jobs = [*plan_seeds(1, 2, 3, evaluations=30), make_planned(seed=4, width=768)]
    submit(database, jobs)
    assert known.work_left(make_job(seed=1)) == (3, 90)
    take(database, limit=1)
    assert known.work_left(make_job(seed=1)) == (2, 60)


def test_workers_with_a_gpu_share_the_work(
    database: Database, known: DatabaseCompilations
) -> None:
    submit(database, plan_seeds(*range(8)))
    for name in ("gpu0", "gpu1"):
        enter(database, name, GPU)
    enter(database, "cpu0", "CPU")
    assert known.work_left(make_job(seed=0)) == (4, 80)


def test_a_sweep_that_is_being_submitted_counts_whole(
    database: Database, known: DatabaseCompilations
) -> None:
    sweep = save_sweep(database, "night", spec="one", axes={}, submitting=1000)
    add_jobs(database, sweep, plan_seeds(1, 2, 3, 4, 5))
    assert known.work_left(make_job(seed=1)) == (1000, 20_000)
    # Other sweeps say nothing of its group.
    submit(database, plan_seeds(6, width=768), name="small")
    assert known.work_left(make_job(seed=6, width=768)) == (1, 20)
