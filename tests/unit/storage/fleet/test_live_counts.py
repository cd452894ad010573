"""Counts that are kept current: what the count of all jobs says, without counting."""

from collections.abc import Iterator

import pytest

from storage.fleet.live_counts import COST_FACTOR, RECOUNT_S, LiveCounts
from storage.jobs.results import record_done, record_failure
from storage.jobs.sweep_counts import count_all_states
from storage.sql.database import Database, utc_now
from tests.builders import ENVIRONMENT, make_result, plan_seeds, submit, take

pytestmark = pytest.mark.databases("sqlite", "postgresql")


class Clock:
    """Counts a second for each question, and what a test adds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Yield a list that gets an entry for each count of all jobs."""
    counts: list[int] = []

    def count(database: Database) -> dict[int, dict[str, int]]:
        counts.append(1)
        return count_all_states(database)

    monkeypatch.setattr("storage.fleet.live_counts.count_all_states", count)
    return counts


def finish(database: Database, *, failed: int = 0) -> None:
    """Take two jobs; finish both, or fail one of them."""
    claims = take(database, limit=2)
    for claim in claims[:failed]:
        record_failure(database, claim.id, owner="host:1:1", error="NaN")
    done = {claim.id: make_result(finished_at=utc_now()) for claim in claims[failed:]}
    record_done(database, done, worker="cpu0", environment=ENVIRONMENT)


def test_what_changes_is_counted_without_a_count_of_all(
    database: Database, counted: list[int]
) -> None:
    submit(database, plan_seeds(*range(8)), name="night")
    submit(database, plan_seeds(*range(4, 12)), name="overlapping")
    live = LiveCounts()
    for step in (
        lambda: None,
        lambda: finish(database),
        lambda: take(database, limit=1),
    ):
        step()
        assert live.look(database) == count_all_states(database)
    finish(database, failed=1)
    assert live.look(database) == count_all_states(database)
    assert len(counted) == 1


def test_all_are_counted_again_after_a_minute_and_if_a_sweep_changes(
    database: Database, counted: list[int]
) -> None:
    submit(database, plan_seeds(1), name="night")
    clock = Clock()
    live = LiveCounts(clock)
    live.look(database)
    clock.now += RECOUNT_S
    live.look(database)
    assert len(counted) == 2
    submit(database, plan_seeds(1, 2, 3), name="other")
    live.look(database)
    assert len(counted) == 2  # the last count is too young for what it took
    clock.now += 2 * COST_FACTOR
    assert sum(live.look(database)[2].values()) == 3
    assert len(counted) == 3
