"""Sweeps: revisions, counts, costs, and reasons of failure."""

import threading

import pytest
import sqlalchemy as sa

from storage.jobs import sweep_counts
from storage.jobs.results import record_done, record_failure
from storage.jobs.sweep_counts import (
    Cost,
    count_states,
    failures,
    measured_costs,
    recent_rate,
)
from storage.jobs.sweeps import find_sweep, list_sweeps, save_sweep
from storage.settings import Settings
from storage.sql.database import Database, open_database, utc_now
from storage.sql.schema import sweeps as table
from tests.builders import (
    ENVIRONMENT,
    SHAPES,
    make_result,
    plan_seeds,
    submit,
    take,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def test_a_new_sweep_has_the_first_revision(database: Database) -> None:
    sweep = save_sweep(database, "night", spec="one", axes={"steps": ["8", "20"]})
    assert (sweep.revision, sweep.state, sweep.priority) == (1, "active", 5)
    assert find_sweep(database, "night") == sweep


def test_the_same_spec_is_the_same_revision(database: Database) -> None:
    first = save_sweep(database, "night", spec="one", axes={})
    assert save_sweep(database, "night", spec="one", axes={}) == first


def test_each_changed_spec_is_a_revision(database: Database) -> None:
    first = save_sweep(database, "night", spec="one", axes={})
    second = save_sweep(database, "night", spec="two", axes={})
    third = save_sweep(database, "night", spec="one", axes={})
    assert (second.id, second.revision, second.spec) == (first.id, 2, "two")
    assert third.revision == 3


@pytest.mark.parametrize("state", ["paused", "cancelled"])
def test_a_sweep_that_was_stopped_is_active_again(
    database: Database, state: str
) -> None:
    save_sweep(database, "night", spec="one", axes={})
    with database.write() as connection:
        connection.execute(sa.update(table).values(state=state))
    assert save_sweep(database, "night", spec="one", axes={}).state == "active"


def test_the_order_of_the_axes_is_kept(database: Database) -> None:
    axes = {"steps": ["8"], "prompt": ["ein Kätzchen"], "guidance": ["7"]}
    save_sweep(database, "night", spec="one", axes=axes)
    found = find_sweep(database, "night")
    assert found is not None
    assert list(found.axes) == ["steps", "prompt", "guidance"]
    assert found.axes == axes


def test_producers_may_submit_one_sweep_at_once(settings: Settings) -> None:
    open_database(settings.database_url).close()
    found = []

    def work() -> None:
        own = open_database(settings.database_url)
        found.append(submit(own, plan_seeds(*range(50))))
        own.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(sweep.id, sweep.revision) for sweep in found} == {(1, 1)}


def test_an_unknown_sweep_is_none(database: Database) -> None:
    assert find_sweep(database, "night") is None


def test_sweeps_are_listed_from_the_oldest(database: Database) -> None:
    for name in ("b", "a"):
        save_sweep(database, name, spec="one", axes={})
    assert [sweep.name for sweep in list_sweeps(database)] == ["b", "a"]


def test_states_are_counted_by_membership(database: Database) -> None:
    one = submit(database, plan_seeds(1, 2, 3), name="one")
    other = submit(database, plan_seeds(3, 4), name="other")
    take(database, limit=1)
    assert count_states(database, one) == {"leased": 1, "pending": 2}
    assert count_states(database, other) == {"pending": 2}


def test_costs_are_measured_by_model_and_size_without_warm_ups(
    database: Database,
) -> None:
    submit(database, plan_seeds(1, 2, 3))
    first, second, third = take(database)
    done = {
        first.id: make_result(warm_up=True, size_bytes=9_000_000),
        second.id: make_result(size_bytes=1000),
        third.id: make_result(size_bytes=3000),
    }
    record_done(database, done, worker="cpu0", environment=ENVIRONMENT)
    # A second each, and 20 evaluations.
    kind = (SHAPES.fingerprint, "float16", 512, 512, "", "")
    cost = Cost(evaluation_s=0.05, image_bytes=2000)
    assert measured_costs(database) == {kind: cost}


def test_without_an_image_no_cost_is_known(database: Database) -> None:
    submit(database, plan_seeds(1))
    assert measured_costs(database) == {}


def test_the_rate_counts_what_was_finished_of_late(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = submit(database, plan_seeds(1, 2, 3))
    submit(database, plan_seeds(4), name="other")
    one, two, three, four = take(database)
    done = {job.id: make_result(finished_at=utc_now()) for job in (one, two, four)}
    record_done(
        database,
        {**done, three.id: make_result(finished_at="2001-01-01T00:00:00.000000+00:00")},
        worker="cpu0",
        environment=ENVIRONMENT,
    )
    monkeypatch.setattr(sweep_counts, "RATE_WINDOW_S", 1000)
    assert recent_rate(database, sweep) == 2 / 1000


def test_the_most_frequent_reasons_come_first(database: Database) -> None:
    reasons = (*["black"] * 2, *["NaN"] * 4, *["huge"] * 3, "early")
    sweep = submit(database, plan_seeds(*range(len(reasons))))
    for claim, reason in zip(take(database, limit=len(reasons)), reasons, strict=True):
        record_failure(database, claim.id, owner="host:1:1", error=reason)
    assert failures(database, sweep) == [("NaN", 4), ("huge", 3), ("black", 2)]
