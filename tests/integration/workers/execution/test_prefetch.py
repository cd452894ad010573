"""The feed and the finisher behind it, asked as a painter asks: real SQL and files."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image

from storage.errors import DatabaseError, DeviceError, JobError
from storage.host.environment import Environment
from storage.job import Job
from storage.jobs import claims, lifecycle
from storage.jobs.results import record_done
from storage.settings import Settings
from storage.sql.database import Database
from storage.sql.schema import results
from tests.builders import (
    job_rows,
    make_job,
    make_planned,
    plan_seeds,
    states,
    submit,
    take,
    take_these,
)
from tests.contexts import OWNER, make_context
from tests.processes import PATIENCE_S, wait_until
from workers.execution import cancellation as cancellation_module
from workers.execution import prefetch as prefetch_module
from workers.execution import recording
from workers.execution import result_writer as writer_module
from workers.execution.prefetch import Prefetch
from workers.execution.result_writer import ResultWriter
from workers.painting import Painting, StoppedError
from workers.vitals.recent import Recent

pytestmark = pytest.mark.databases("sqlite", "postgresql")

SMALL = {"width": 8, "height": 8}
GROUP = make_job(**SMALL).group

Open = Callable[..., Any]


@pytest.fixture
def opened(database: Database, settings: Settings) -> Open:
    """Give what opens a feed, with its finisher, for the group of `SMALL`."""

    @contextmanager
    def open_feed(
        *,
        recent: Recent | None = None,
        is_over: Callable[[], bool] = lambda: False,
        **changes: Any,
    ) -> Iterator[Prefetch]:
        context = make_context(database, settings, **changes)
        recent = recent or Recent()
        writer = ResultWriter(context, recent)
        prefetch = Prefetch(
            context, GROUP, writer=writer, recent=recent, is_over=is_over
        )
        with writer, prefetch:
            yield prefetch

    return open_feed


def picture(job: Job, **changes: Any) -> Painting:
    values = {
        "image": Image.new("RGB", (job.width, job.height)),
        "environment": Environment(gpu="none", host="test"),
        "evaluations": job.steps,
    }
    return Painting(**{**values, **changes})


def keep(prefetch: Prefetch, *jobs: Job) -> None:
    for job in jobs:
        prefetch.keep(job, partial(picture, job))


def seeds(jobs: list[Job]) -> list[int]:
    return [job.seed for job in jobs]


def count(database: Database, state: str) -> int:
    return list(states(database).values()).count(state)


def die(database: Database, *wanted: int) -> None:
    keys = [make_job(seed=seed, **SMALL).key for seed in wanted]
    take_these(database, keys, "host:9:9")
    claims.free_owner(database, "host:9:", died=True)


def test_a_width_is_kept_ready_beside_what_is_in_hand(
    opened: Open, database: Database
) -> None:
    submit(database, plan_seeds(*range(40), **SMALL))
    with opened() as prefetch:
        prefetch.expect(4)
        jobs = prefetch.gather(4)
        assert seeds(jobs) == [0, 1, 2, 3]
        wait_until(lambda: prefetch._prefetched.waiting == 4)
        assert count(database, "leased") == 8
        keep(prefetch, *jobs)
        refill = [prefetch.take() for _ in jobs]
        assert [job.seed for job in refill if job] == [4, 5, 6, 7]
        wait_until(lambda: count(database, "done") == 4)
    assert count(database, "leased") == 0
    assert {row.attempts for row in job_rows(database)} == {0, 1}


def test_what_is_ready_is_about_a_minutes_work(
    opened: Open, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recent, "made_within", lambda _self, _seconds: 2)
    submit(database, plan_seeds(*range(40), **SMALL))
    with opened() as prefetch:
        prefetch.expect(8)
        assert len(prefetch.gather(8)) == 8
        wait_until(lambda: count(database, "leased") == 10)
        time.sleep(0.3)
        assert count(database, "leased") == 10


def test_near_the_end_a_worker_leaves_others_their_share(
    opened: Open, database: Database
) -> None:
    submit(database, plan_seeds(*range(12), **SMALL))
    with opened(peers=3) as prefetch:
        prefetch.expect(8)
        assert seeds(prefetch.gather(8)) == [0, 1, 2, 3]
        time.sleep(0.3)
        assert count(database, "leased") == 4


def test_who_is_seen_at_work_counts_as_one_that_shares(
    opened: Open, database: Database
) -> None:
    submit(database, plan_seeds(*range(13), **SMALL))
    take(database, "host:8:8", limit=1, group=GROUP)
    with opened() as prefetch:
        prefetch.expect(8)
        assert len(prefetch.gather(8)) == 6


def test_the_last_two_widths_go_longest_first(opened: Open, database: Database) -> None:
    lengths = [5, 9, 2, 7, 1, 8, 6, 4]
    planned = [
        make_planned(seed=n, position=n, evaluations=length, **SMALL)
        for n, length in enumerate(lengths)
    ]
    submit(database, planned)
    left = []
    with opened() as prefetch:
        prefetch.expect(2)
        while jobs := prefetch.gather(2):
            keep(prefetch, *jobs)
            left += [lengths[job.seed] for job in jobs]
    assert left == [5, 9, 2, 7, 8, 6, 4, 1]


def test_a_batch_that_grows_during_a_look_is_not_taken_for_the_last(
    opened: Open, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = [
        make_planned(seed=n, position=n, evaluations=n + 1, **SMALL) for n in range(12)
    ]
    submit(database, planned)
    count, feeds, looks, taken = claims.count_runnable, [], [], []

    def grow(*args: Any, **options: Any) -> int:
        left = count(*args, **options)
        wait_until(lambda: bool(taken if looks else feeds))
        looks.append(left)
        feeds[0].expect(8)
        return left

    monkeypatch.setattr(claims, "count_runnable", grow)
    with opened() as prefetch:
        feeds.append(prefetch)
        taken += prefetch.gather(1)
        assert taken[0].seed == 0
        keep(prefetch, *taken)


def test_a_dry_group_is_looked_at_again_while_jobs_are_painted(
    opened: Open, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch_module, "DRY_S", 0.05)
    submit(database, plan_seeds(0, **SMALL))
    with opened() as prefetch:
        prefetch.expect(4)
        (job,) = prefetch.gather(4)
        assert prefetch.take() is None
        submit(database, plan_seeds(1, **SMALL), name="other")
        found: list[Job | None] = []
        wait_until(lambda: found.append(prefetch.take()) or bool(found[-1]))  # type: ignore[func-returns-value]
        assert found[-1] == make_job(seed=1, **SMALL)
        keep(prefetch, job, make_job(seed=1, **SMALL))
        assert prefetch.gather(4) == []


def test_asking_for_more_beside_a_job_in_hand_never_waits_for_them(
    opened: Open, database: Database
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    with opened() as prefetch:
        (job,) = prefetch.gather(1)
        prefetch.expect(4)
        assert prefetch.gather(3) == []
        keep(prefetch, job)


def test_a_job_that_may_have_killed_a_worker_comes_last_and_is_alone_to_its_row(
    opened: Open, database: Database
) -> None:
    submit(database, plan_seeds(0, 1, 2, 3, **SMALL))
    die(database, 0, 1)
    may_end = threading.Event()

    def fetch(job: Job) -> Painting:
        may_end.wait(PATIENCE_S)
        return picture(job)

    with opened() as prefetch:
        prefetch.expect(4)
        jobs = prefetch.gather(4)
        assert seeds(jobs) == [2, 3]
        assert prefetch.take() is None
        keep(prefetch, *jobs)
        (suspect,) = prefetch.gather(4)
        assert suspect.seed == 0
        assert set(states(database).values()) == {"done", "leased", "pending"}
        submit(database, plan_seeds(9, **SMALL), name="other")
        assert prefetch.take() is None
        assert prefetch.gather(3) == []
        prefetch.keep(suspect, lambda: fetch(suspect))
        assert prefetch.take() is None
        time.sleep(0.3)
        assert count(database, "leased") == 1
        may_end.set()
        assert seeds(prefetch.gather(4)) == [9]
        assert states(database)[0] == "done"
        keep(prefetch, make_job(seed=9, **SMALL))
        assert seeds(prefetch.gather(4)) == [1]


def test_a_suspect_that_is_found_before_more_was_asked_for_is_given(
    opened: Open, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    die(database, 0)
    asks = threading.Event()
    claim = claims.claim

    def claim_when_asked(*args: Any, **others: Any) -> list[claims.Claim]:
        asks.wait(PATIENCE_S)
        time.sleep(0.1)
        return claim(*args, **others)

    monkeypatch.setattr(claims, "claim", claim_when_asked)
    with opened() as prefetch:
        time.sleep(0.1)
        asks.set()
        (job,) = prefetch.gather(4)
        keep(prefetch, job)


def test_jobs_that_are_put_back_come_again_and_count_no_attempt(
    opened: Open, database: Database
) -> None:
    submit(database, plan_seeds(*range(6), **SMALL))
    with opened() as prefetch:
        prefetch.expect(4)
        jobs = prefetch.gather(4)
        prefetch.put_back(jobs)
        prefetch.expect(2)
        assert prefetch.gather(2) == jobs[:2]
        assert prefetch.take() == jobs[2]
    assert {row.attempts for row in job_rows(database)} == {0}


def test_a_turn_that_is_over_claims_no_more_but_gives_what_it_has(
    opened: Open, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch_module, "PEERS_POLL_S", 0.0)
    submit(database, plan_seeds(*range(9), **SMALL))
    over = threading.Event()
    with opened(is_over=over.is_set) as prefetch:
        prefetch.expect(2)
        jobs = prefetch.gather(2)
        wait_until(lambda: count(database, "leased") == 4)
        over.set()
        keep(prefetch, *jobs)
        assert seeds(jobs + prefetch.gather(2)) == [0, 1, 2, 3]
        keep(prefetch, *[make_job(seed=seed, **SMALL) for seed in (2, 3)])
        assert prefetch.gather(2) == []
    assert count(database, "pending") == 5


def test_a_failed_job_says_why(opened: Open, database: Database) -> None:
    submit(database, plan_seeds(0, 1, **SMALL))

    def not_finite() -> Painting:
        msg = "pixels are NaN"
        raise JobError(msg)

    with opened() as prefetch:
        prefetch.expect(2)
        one, other = prefetch.gather(2)
        prefetch.fail(one, JobError("no such thing"))
        prefetch.keep(other, not_finite)
    errors = [(row.state, row.error) for row in job_rows(database)]
    assert errors == [("failed", "no such thing"), ("failed", "pixels are NaN")]


def test_a_result_says_in_what_batch_it_was_made(
    opened: Open, database: Database
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    facts = {
        "engine": "slots",
        "batch_width": 16,
        "slot": 3,
        "decode_dtype": "float32",
        "warm_up": True,
        "peak_bytes": 5,
        "load_s": 2.0,
    }
    with opened() as prefetch:
        (job,) = prefetch.gather(1)
        prefetch.keep(job, lambda: picture(job, **facts))
    with database.read() as connection:
        row = connection.execute(sa.select(results)).mappings().one()
    assert {name: row[name] for name in facts} == facts
    assert row["queue_s"] >= 0


def test_rows_are_written_together(
    opened: Open, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "LINGER_S", PATIENCE_S)
    written: list[int] = []

    def note(_database: Database, done: dict[int, Any], **others: Any) -> set[int]:
        written.append(len(done))
        return record_done(_database, done, **others)

    monkeypatch.setattr(recording, "record_done", note)
    submit(database, plan_seeds(*range(6), **SMALL))
    with opened() as prefetch:
        prefetch.expect(6)
        jobs = prefetch.gather(6)
        strict = Environment(gpu="none", host="test", details={"threads": 2})
        prefetch.keep(jobs[0], lambda: picture(jobs[0], environment=strict))
        keep(prefetch, *jobs[1:])
    assert sorted(written) == [1, 5]
    assert count(database, "done") == 6


def test_a_slow_disk_makes_the_painter_wait(opened: Open, database: Database) -> None:
    submit(database, plan_seeds(*range(9), **SMALL))
    may_go_on = threading.Event()

    def fetch(job: Job) -> Painting:
        may_go_on.wait(PATIENCE_S)
        return picture(job)

    kept: list[int] = []
    with opened() as prefetch:
        prefetch.expect(3)
        jobs = [*prefetch.gather(3), *prefetch.gather(3), *prefetch.gather(3)]

        def paint() -> None:
            for job in jobs:
                prefetch.keep(job, partial(fetch, job))
                kept.append(job.seed)

        painter = threading.Thread(target=paint)
        painter.start()
        wait_until(lambda: len(kept) == 6)
        time.sleep(0.2)
        assert len(kept) == 6
        may_go_on.set()
        painter.join(PATIENCE_S)
    assert count(database, "done") == 9


def test_a_device_that_fails_while_fetching_ends_the_work(
    opened: Open, database: Database
) -> None:
    submit(database, plan_seeds(0, 1, **SMALL))

    def broken() -> Painting:
        msg = "the GPU is gone"
        raise DeviceError(msg)

    def work() -> None:
        with opened() as prefetch:
            (job,) = prefetch.gather(1)
            prefetch.keep(job, broken)
            while True:
                prefetch.check()

    with pytest.raises(DeviceError, match="the GPU is gone"):
        work()
    assert states(database) == {0: "pending", 1: "pending"}
    assert {row.attempts for row in job_rows(database)} == {0}


def test_a_thread_that_fails_ends_the_work_and_leaves_nothing_leased(
    opened: Open, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(database, plan_seeds(0, 1, **SMALL))

    def fail(*_args: object, **_others: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(recording, "record_done", fail)
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(DeviceError, match="ZeroDivisionError"))
        prefetch = stack.enter_context(opened())
        keep(prefetch, *prefetch.gather(1))
    assert states(database) == {0: "pending", 1: "pending"}
    monkeypatch.setattr(claims, "count_runnable", fail)
    with pytest.raises(DeviceError, match="ZeroDivisionError"), opened() as prefetch:
        prefetch.gather(1)
    assert states(database) == {0: "pending", 1: "pending"}


def test_a_stop_ends_a_wait_for_jobs(
    opened: Open, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(database, plan_seeds(0, **SMALL))

    def away(*_args: object, **_others: object) -> int:
        msg = "the database is away"
        raise DatabaseError(msg)

    monkeypatch.setattr(claims, "count_runnable", away)
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(StoppedError), opened(should_stop=stop.is_set) as prefetch:
        prefetch.gather(1)
    assert states(database) == {0: "pending"}


def test_a_job_that_was_lost_while_it_was_painted_leaves_no_file(
    opened: Open, database: Database, settings: Settings
) -> None:
    submit(database, plan_seeds(0, 1, **SMALL))
    with opened(peers=1) as prefetch:
        prefetch.expect(2)
        jobs = prefetch.gather(2)
        with database.write() as connection:
            connection.exec_driver_sql("UPDATE jobs SET owner='host:8:8' WHERE id=1")
        prefetch._context.heartbeat._keep_leases()
        keep(prefetch, *jobs)
    assert states(database) == {0: "leased", 1: "done"}
    files = [file.stem for file in settings.images.rglob("*.png")]
    assert files == [jobs[1].key]


def test_a_job_that_was_lost_while_it_was_ready_is_not_given(
    opened: Open, database: Database
) -> None:
    submit(database, plan_seeds(*range(6), **SMALL))
    with opened(peers=1) as prefetch:
        prefetch.expect(2)
        jobs = prefetch.gather(2)
        wait_until(lambda: prefetch._prefetched.waiting == 2)
        with database.write() as connection:
            connection.exec_driver_sql("UPDATE jobs SET owner='host:8:8' WHERE id=3")
        prefetch._context.heartbeat._keep_leases()
        given = prefetch.take()
        assert given == make_job(seed=3, **SMALL)
        keep(prefetch, *jobs)
    row = job_rows(database)[2]
    assert (row.state, row.owner) == ("leased", "host:8:8")
    assert OWNER not in {row.owner for row in job_rows(database)}


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancellation_module, "CANCEL_POLL_S", 0.02)


@pytest.mark.usefixtures("looks_often")
def test_what_nobody_wants_goes_back_as_if_never_begun(
    opened: Open, database: Database
) -> None:
    night = submit(database, plan_seeds(*range(4), **SMALL))
    submit(database, plan_seeds(3, *range(10, 14), **SMALL), name="other", priority=9)
    withdrawn: list[Job] = []
    with opened() as prefetch:
        prefetch.expect(4)
        jobs = prefetch.gather(4)
        wait_until(lambda: count(database, "leased") == 8)
        assert prefetch.withdraw() == []
        lifecycle.set_state(database, night, "cancelled")
        wait_until(lambda: withdrawn.extend(prefetch.withdraw()) or len(withdrawn) == 3)  # type: ignore[func-returns-value]
        assert withdrawn == jobs[:3]
        assert prefetch.in_hand == 1
        keep(prefetch, jobs[3])
        wait_until(lambda: count(database, "pending") == 3)
        wait_until(lambda: prefetch._prefetched.waiting == 4)
        others = [prefetch.take() for _ in range(4)]
        assert [job.seed for job in others if job] == [10, 11, 12, 13]
        keep(prefetch, *(job for job in others if job))
        assert prefetch.gather(4) == []
    made = dict.fromkeys((3, 10, 11, 12, 13), "done")
    assert states(database) == {**made, 0: "pending", 1: "pending", 2: "pending"}
    assert {row.attempts for row in job_rows(database)} == {0, 1}


@pytest.mark.usefixtures("looks_often")
def test_what_only_waits_goes_back_while_the_painter_is_in_its_step(
    opened: Open, database: Database
) -> None:
    night = submit(database, plan_seeds(*range(20), **SMALL))
    with opened() as prefetch:
        prefetch.expect(4)
        jobs = prefetch.gather(4)
        wait_until(lambda: count(database, "leased") == 8)
        lifecycle.set_state(database, night, "paused")
        wait_until(lambda: count(database, "leased") == 4)
        assert prefetch.take() is None
        keep(prefetch, *jobs[:1])
        wait_until(lambda: count(database, "done") == 1)
    assert count(database, "pending") == 19


@pytest.mark.usefixtures("looks_often")
def test_what_is_wanted_again_in_time_is_painted_on(
    opened: Open, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = submit(database, plan_seeds(0, 1, **SMALL))
    looks: list[set[int]] = [set()]
    unwanted = claims.unwanted

    def note(*args: Any) -> set[int]:
        looks.append(unwanted(*args))
        return looks[-1]

    monkeypatch.setattr(claims, "unwanted", note)
    with opened() as prefetch:
        prefetch.expect(2)
        jobs = prefetch.gather(2)
        lifecycle.set_state(database, night, "paused")
        wait_until(lambda: len(looks[-1]) == 2)
        lifecycle.set_state(database, night, "active")
        wait_until(lambda: not looks[-1] and not looks[-2])
        assert prefetch.withdraw() == []
        keep(prefetch, *jobs)
    assert count(database, "done") == 2


@pytest.mark.usefixtures("looks_often")
def test_an_outage_of_sql_withdraws_nothing(
    opened: Open, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    asked: list[int] = []

    def away(*_args: object) -> set[int]:
        asked.append(1)
        msg = "the database is away"
        raise DatabaseError(msg)

    monkeypatch.setattr(claims, "unwanted", away)
    with opened() as prefetch:
        jobs = prefetch.gather(1)
        wait_until(lambda: len(asked) > 2)
        prefetch.check()
        keep(prefetch, *jobs)
    assert count(database, "done") == 1


@pytest.mark.usefixtures("looks_often")
def test_a_fault_in_looking_ends_the_work(
    opened: Open, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(database, plan_seeds(0, **SMALL))

    def fail(*_args: object) -> set[int]:
        raise ZeroDivisionError

    def work() -> None:
        with opened() as prefetch:
            prefetch.gather(1)
            while True:
                prefetch.check()

    monkeypatch.setattr(claims, "unwanted", fail)
    with pytest.raises(DeviceError, match="ZeroDivisionError"):
        work()
    assert states(database) == {0: "pending"}
