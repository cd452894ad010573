"""What a submission would change in a stored sweep, and who else changed it."""

import pytest
import sqlalchemy as sa

from storage.errors import ChangedSweepError
from storage.job import PlannedJob
from storage.jobs.differences import Comparison, Difference
from storage.jobs.results import record_done
from storage.jobs.sweeps import Sweep, find_sweep, save_sweep
from storage.sql.database import Database
from storage.sql.schema import jobs
from tests.builders import (
    ENVIRONMENT,
    make_job,
    make_planned,
    make_result,
    plan_seeds,
    submit,
    take,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def make(database: Database, count: int) -> None:
    done = {claim.id: make_result() for claim in take(database, limit=count)}
    record_done(database, done, worker="cpu0", environment=ENVIRONMENT)


def differ(database: Database, sweep: Sweep, *batches: list[PlannedJob]) -> Difference:
    return Comparison(database, sweep).compare(batches)


def test_what_comes_stays_and_leaves_is_counted_over_all_batches(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(1, 2, 3, 4, 5))
    submit(database, plan_seeds(7), name="other")
    make(database, 2)  # 1 and 2
    found = differ(database, sweep, plan_seeds(2, 3), plan_seeds(6, 7, 8))
    assert found == Difference(
        sweep="night", revision=1, come=3, stay=2, lost=2, kept=1
    )
    assert found.stored == 5


def test_a_job_under_a_former_key_stays(database: Database) -> None:
    sweep = submit(database, plan_seeds(1))
    now = make_planned(seed=2, former_keys=(make_job(seed=1).key,))
    found = differ(database, sweep, [now])
    assert (found.come, found.stay, found.lost, found.kept) == (0, 1, 0, 0)


def test_images_that_are_made_meanwhile_hide_no_job_that_is_lost(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(1, 2, 3))

    def batches():
        make(database, 2)  # 1 and 2, which stay
        yield plan_seeds(1, 2)

    found = Comparison(database, sweep).compare(batches())
    assert (found.stay, found.lost, found.kept) == (2, 1, 0)


def test_a_sweep_that_is_new_or_as_it_was_seen_is_stored(database: Database) -> None:
    save_sweep(database, "night", spec="one", axes={}, seen=0)
    second = save_sweep(database, "night", spec="two", axes={}, seen=1)
    assert second.revision == 2


@pytest.mark.parametrize("seen", [0, 1])
def test_a_sweep_that_somebody_changed_meanwhile_stays_as_it_is(
    database: Database, seen: int
) -> None:
    save_sweep(database, "night", spec="one", axes={})
    theirs = save_sweep(database, "night", spec="two", axes={})
    with pytest.raises(ChangedSweepError, match="night was submitted anew meanwhile"):
        save_sweep(database, "night", spec="three", axes={}, seen=seen)
    assert find_sweep(database, "night") == theirs


def test_two_that_submit_the_same_need_not_wait_for_each_other(
    database: Database,
) -> None:
    save_sweep(database, "night", spec="one", axes={}, seen=0)
    assert save_sweep(database, "night", spec="one", axes={}, seen=0).revision == 1


def test_a_comparison_changes_nothing(database: Database) -> None:
    sweep = submit(database, plan_seeds(1))
    differ(database, sweep, plan_seeds(2))
    with database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(jobs)) == 1
