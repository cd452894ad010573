"""Submitting: every job has a row and a way to a worker, however it was broken off."""

import itertools
import json
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner

from producer.cli import cli
from producer.commands.status_screen import choose
from producer.commands.submit import submit
from producer.expansion.expand import BATCH
from producer.submission import submission
from storage.broker.queue import QUEUE, waiting
from storage.errors import DatabaseError
from storage.jobs import membership
from storage.jobs.completeness import Incomplete, find_incomplete, note_complete
from storage.jobs.sweep_counts import count_states
from storage.jobs.sweeps import find_sweep, save_sweep
from storage.settings import Settings, read_settings
from storage.sql import engines
from storage.sql.database import Database, open_database
from tests.builders import job_rows, make_job, plan_seeds, take, take_these
from tests.builders import submit as submit_planned

#: Two batches, and a part of one.
COUNT = 2 * BATCH + 40


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "name: night\nbase: {model: 'builtin:shapes', prompt: a cat}\n"
        f"axes: {{seed: {{start: 0, count: {COUNT}}}}}\n"
    )
    return str(path)


def take_messages(app: Celery) -> Counter[str]:
    """Take every message; count how often each job is named."""
    named: Counter[str] = Counter()
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        while message := channel.basic_get(QUEUE, no_ack=True):
            named.update(message.payload[0][0])
    return named


def keys(database: Database) -> set[str]:
    return {row.key for row in job_rows(database)}


def test_every_job_has_a_row_and_is_named_once(
    spec: str, database: Database, app: Celery
) -> None:
    done = submit(spec)
    assert (done.total, done.new, done.existing) == (COUNT, COUNT, {})
    named = take_messages(app)
    assert set(named) == keys(database)
    assert set(named.values()) == {1}


def say(*words: str) -> str:
    said = CliRunner().invoke(cli, list(words))
    assert said.exit_code == 0, said.output
    return said.output


def break_off(spec: str, *, after: int = BATCH) -> None:
    def interrupt(stored: int, _total: int) -> None:
        if stored == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        submit(spec, progress=interrupt)


def completeness(database: Database) -> Incomplete | None:
    sweep = find_sweep(database, "night")
    assert sweep is not None
    return find_incomplete(database, sweep)


def incomplete_in_json() -> Any:
    return json.loads(say("status", "--json"))["incomplete"]


def test_a_sweep_that_was_cut_off_says_so_until_it_is_submitted(
    spec: str, app: Celery
) -> None:
    changes = [("resume", "night"), ("pause", "night"), ("priority", "night", "2")]
    break_off(spec)
    cut_off = f"cut off, or is still at work: {BATCH:,} of {COUNT:,} images stored"
    for words in [*changes, ("status",)]:
        assert cut_off in say(*words)
    assert incomplete_in_json() == {"stored": BATCH, "wanted": COUNT}
    for words in [("cancel", "night"), ("status",)]:
        assert "cut off" not in say(*words)  # no more of it is wanted

    submit("night")
    for words in [*changes, ("status",)]:
        assert "cut off" not in say(*words)
    assert incomplete_in_json() is None


def test_a_sweep_that_was_cut_off_with_no_job_is_shown_among_the_first(
    spec: str, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    def die(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(membership, "add_jobs", die)
        with pytest.raises(KeyboardInterrupt):
            submit(spec)
    sweep = find_sweep(database, "night")
    assert sweep is not None
    assert choose([sweep], {}) == ([sweep], [])
    assert completeness(database) == Incomplete(stored=0, wanted=COUNT)


def test_a_new_revision_that_was_cut_off_counts_what_it_came_to(
    spec: str, database: Database
) -> None:
    submit(spec)
    text = Path(spec).read_text()
    Path(spec).write_text(text.replace("start: 0", "start: 1000"))
    break_off(spec)
    assert completeness(database) == Incomplete(stored=BATCH, wanted=COUNT)
    submit(spec)
    assert completeness(database) is None


def test_a_kill_before_unwanted_jobs_left_is_no_complete_submission(
    spec: str, database: Database
) -> None:
    submit(spec)
    text = Path(spec).read_text()
    Path(spec).write_text(text.replace("start: 0", "start: 1000"))
    break_off(spec, after=COUNT)
    assert completeness(database) == Incomplete(stored=COUNT, wanted=COUNT)
    submit(spec)
    assert completeness(database) is None


def test_submitting_a_complete_sweep_again_leaves_it_complete_wherever_it_ends(
    spec: str, database: Database
) -> None:
    submit(spec)
    break_off(spec)
    assert completeness(database) is None


def test_a_producer_of_an_older_revision_completes_no_newer_one(
    database: Database,
) -> None:
    old = save_sweep(database, "night", spec="one", axes={}, submitting=5)
    save_sweep(database, "night", spec="two", axes={}, submitting=7)
    note_complete(database, old)
    assert completeness(database) == Incomplete(stored=0, wanted=7)


def test_what_goes_on_as_it_is_stored_says_that_it_is_not_whole(
    spec: str, database: Database
) -> None:
    break_off(spec)
    sweep = find_sweep(database, "night")
    assert sweep is not None
    with submission.submission_to(database, read_settings()) as under_way:
        done = under_way.go_on(sweep, why="its model is gone", retry=False)
    assert f"night has {BATCH:,} of its {COUNT:,} images" in done.warnings[1]


def test_a_run_of_what_is_stored_of_a_sweep_is_no_success(
    database: Database, app: Celery
) -> None:
    spec = "name: night\nbase: {model: /nowhere}\n"
    save_sweep(database, "night", spec=spec, axes={}, submitting=3)
    said = CliRunner().invoke(cli, ["run", "night"])
    assert said.exit_code == 1
    assert "still at work: 0 of 3 images stored; go on with" in said.output


def test_a_submission_broken_off_goes_on_where_it_stopped(
    spec: str, database: Database, app: Celery
) -> None:
    def interrupt(stored: int, _total: int) -> None:
        assert stored == BATCH
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        submit(spec, progress=interrupt)
    done = submit(spec)
    assert (done.new, done.existing) == (COUNT - BATCH, {"pending": BATCH})
    assert done.sweep.revision == 1
    assert count_states(database, done.sweep) == {"pending": COUNT}
    named = take_messages(app)
    assert set(named) == keys(database)
    assert set(named.values()) == {1}


def test_jobs_stored_but_never_sent_are_made_after_the_others(
    spec: str, database: Database, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, calls = submission.send, []

    def break_off(*args: Any, **options: Any) -> int:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return send(*args, **options)

    monkeypatch.setattr(submission, "send", break_off)
    with pytest.raises(KeyboardInterrupt):
        submit(spec)
    submit(spec)
    named = take_messages(app)
    assert len(named) == COUNT - BATCH
    take(database, group=job_rows(database)[0].group_key, limit=COUNT)
    sweep = find_sweep(database, "night")
    assert sweep is not None
    assert count_states(database, sweep) == {"leased": COUNT}


def test_submitting_again_sends_nothing_whether_the_first_messages_wait_or_not(
    spec: str, app: Celery
) -> None:
    submit(spec)
    before = waiting(app)
    assert submit(spec).existing == {"pending": COUNT}
    assert waiting(app) == before
    take_messages(app)
    assert submit(spec).new == 0
    assert waiting(app) == 0


def test_a_claim_comes_to_its_turn_while_a_producer_is_busy(
    database: Database,
) -> None:
    submit_planned(database, plan_seeds(10**9))
    is_over = threading.Event()

    def produce() -> None:
        seeds = itertools.count()
        while not is_over.is_set():
            submit_planned(database, plan_seeds(*itertools.islice(seeds, 100)))

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        taken = take_these(database, [make_job(seed=10**9).key])
    finally:
        is_over.set()
        producer.join()
    assert [claim.job.seed for claim in taken] == [10**9]


def test_a_writer_that_never_gets_the_lock_says_so(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_S", 0.05)
    submit_planned(database, plan_seeds(1))
    with closing(open_database(settings.database_url)) as other:
        with (
            database.write(),
            pytest.raises(DatabaseError, match="database is locked"),
        ):
            take(other)
        assert len(take(other)) == 1
