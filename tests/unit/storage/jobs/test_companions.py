"""The sweep of references: made once, paused and cancelled with its sweep."""

import pytest

from storage.errors import UsageError
from storage.jobs import lifecycle
from storage.jobs.companions import (
    companion_name,
    companion_of,
    find_companion,
    refuse_companion,
)
from storage.jobs.membership import add_jobs
from storage.jobs.sweep_counts import count_states
from storage.jobs.sweeps import find_sweep, save_sweep
from storage.sql.database import Database
from tests.builders import job_rows, plan_seeds, submit

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def priorities(database: Database) -> dict[int, int | None]:
    return {row.seed: row.priority for row in job_rows(database)}


def test_references_are_made_paused_and_resumed_with_their_sweep(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(1), priority=3)
    companion = companion_of(database, sweep)
    add_jobs(database, companion, plan_seeds(7))
    assert companion.name == "night.reference"
    assert companion_of(database, sweep) == companion
    assert companion_of(database, companion) == companion
    assert find_companion(database, sweep) == companion
    assert priorities(database) == {1: 3, 7: 3}
    assert count_states(database, sweep) == {"pending": 1}
    for state, expected in (("paused", None), ("active", 3), ("cancelled", None)):
        lifecycle.set_state(database, sweep, state)
        assert set(priorities(database).values()) == {expected}
        found = find_sweep(database, "night.reference")
        assert found is not None
        assert found.state == state
    # Submitted again, a cancelled sweep is active, and so are its references.
    again = save_sweep(database, "night", spec="one", axes={})
    lifecycle.settle(database, again)
    assert priorities(database) == {1: 3, 7: 3}
    lifecycle.set_priority(database, again, 8)
    assert priorities(database) == {1: 8, 7: 8}


def test_references_of_a_paused_sweep_wait(database: Database) -> None:
    sweep = submit(database, plan_seeds(1))
    lifecycle.set_state(database, sweep, "paused")
    add_jobs(database, companion_of(database, sweep), plan_seeds(7))
    assert priorities(database) == {1: None, 7: None}


def test_a_name_that_somebody_has_is_refused(database: Database) -> None:
    sweep = submit(database, plan_seeds(1))
    submit(database, plan_seeds(2), name="night.reference")
    with pytest.raises(UsageError) as caught:
        companion_of(database, sweep)
    assert str(caught.value) == (
        "the references of night need the name night.reference, but another sweep has "
        "it; submit that one under another name."
    )
    assert find_companion(database, sweep) is None


def test_a_spec_may_not_take_the_name_of_references(database: Database) -> None:
    sweep = submit(database, plan_seeds(1))
    refuse_companion("night", sweep)
    with pytest.raises(UsageError) as caught:
        refuse_companion("night.reference", companion_of(database, sweep))
    assert str(caught.value) == (
        "name must not be that of the references of another sweep, got "
        "night.reference; choose another name."
    )


def test_a_long_name_is_cut_and_stays_its_own() -> None:
    one, other = (companion_name("n" * 63 + end) for end in "ab")
    assert len(one) == len(other) == 64
    assert one != other
