"""The commands that change a sweep: what they do, and what they say."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from celery import Celery
from click.testing import CliRunner

from producer.cli import cli
from producer.commands.submit import submit
from storage.broker.embedded import is_running, stop
from storage.broker.queue import PRIORITY_STEPS, QUEUE, waiting
from storage.fleet import registry
from storage.fleet.registry import Entry
from storage.jobs.claims import free_owner
from storage.jobs.results import record_failure
from storage.jobs.sweep_counts import count_states
from storage.jobs.sweeps import find_sweep, retry
from storage.settings import Settings
from storage.sql.database import Database, utc_now
from storage.sql.leases import MAX_DEATHS
from storage.sql.schema import sweeps as sweeps_table
from tests.builders import job_rows, make_job, plan_seeds, states, take, take_these
from tests.builders import submit as submit_planned

pytestmark = pytest.mark.databases("sqlite", "postgresql")

WORKER = Entry(
    owner="night3.1f2e:4711:5025",
    name="gpu0",
    host="night3",
    gpu="H200",
    phase="idle",
    started_at=utc_now(),
    phase_at=utc_now(),
)
CHANGES = (("pause",), ("resume",), ("cancel",), ("retry",), ("priority", "2"))


def say(*words: str, code: int = 0) -> str:
    said = CliRunner().invoke(cli, list(words))
    assert said.exit_code == code, said.output
    return said.output


def write_spec(folder: Path, text: str = "") -> Path:
    path = folder / "night.yaml"
    path.write_text(
        text
        or "name: night\nbase: {model: 'builtin:shapes', prompt: a cat}\n"
        "axes: {steps: [8, 20], seed: {start: 0, count: 3}}\n"
    )
    return path


def drain(app: Celery) -> list[list[str]]:
    """Take every message, and give the keys of each."""
    found = []
    names = [QUEUE if not n else f"{QUEUE}\x06\x16{n}" for n in PRIORITY_STEPS]
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        for name in names:
            while message := channel.basic_get(name, no_ack=True):
                found.append(message.payload[0][0])
    return found


@contextmanager
def in_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as context:
        context.chdir(path)
        yield


def priorities(database: Database) -> set[int | None]:
    return {row.priority for row in job_rows(database)}


def test_a_sweep_is_paused_and_resumed_and_its_workers_are_woken(
    database: Database, app: Celery
) -> None:
    submit_planned(database, plan_seeds(1, 2))
    said = say("pause", "night")
    assert "night is paused: 2 images to make; go on with" in said
    assert priorities(database) == {None}
    assert drain(app) == []
    assert "night is active: 2 images to make." in say("resume", "night")
    assert drain(app) == [[make_job(seed=seed).key for seed in (1, 2)]]
    assert priorities(database) == {5}


def test_resuming_again_sends_no_more(database: Database, app: Celery) -> None:
    submit_planned(database, plan_seeds(1))
    say("pause", "night")
    say("resume", "night")
    say("resume", "night")
    assert waiting(app) == 1


def test_resuming_tells_of_what_failed(database: Database, app: Celery) -> None:
    submit_planned(database, plan_seeds(1, 2))
    record_failure(database, take(database)[0].id, owner="host:1:1", error="NaN")
    assert "1 failed, `" in say("resume", "night")


def test_resuming_sets_limits_and_keeps_those_that_are_not_reached(
    database: Database, app: Celery
) -> None:
    submit_planned(database, plan_seeds(*range(9)))
    say("pause", "night")
    said = say("resume", "night", "--gpu-hours", "0.5", "--stop-after", "2")
    assert "night stops after 0.5 GPU-hours, or after 2 images." in said
    assert len(take(database)) == 2
    say("pause", "night")
    assert "night stops after 0.5 GPU-hours, or after 2 images." in say(
        "resume", "night"
    )
    said = say("resume", "night", "--until", "25:00", code=2)
    assert "until must be a time such as 07:30" in said


def test_several_sweeps_change_at_once(database: Database) -> None:
    for number, name in enumerate(("one", "other", "third")):
        submit_planned(database, plan_seeds(number), name=name)
    said = say("cancel", "one", "third")
    assert "one is cancelled: 0 images made, 1 image left out unless" in said
    assert [claim.job.seed for claim in take(database)] == [1]


def test_a_priority_reaches_every_job(database: Database) -> None:
    submit_planned(database, plan_seeds(1, 2))
    assert "night has priority 1: 2 images to make." in say("priority", "night", "1")
    assert priorities(database) == {1}


@pytest.mark.parametrize("words", [["night"], ["2"], ["night", "10"], ["night", "x"]])
def test_a_priority_that_is_none_is_refused_with_an_example(
    database: Database, words: list[str]
) -> None:
    submit_planned(database, plan_seeds(1))
    said = say("priority", *words, code=2)
    assert "from 0, first, to 9, last, got" in said
    assert "write `nightsweep priority NAME 2`." in said


@pytest.mark.parametrize("words", CHANGES)
def test_an_unknown_sweep_changes_nothing_and_names_the_nearest(
    database: Database, words: tuple[str, ...]
) -> None:
    submit_planned(database, plan_seeds(1))
    command, *more = words
    # A query names one sweep; the other commands take several.
    names = ["nihgt"] if command == "retry" else ["night", "nihgt"]
    said = say(command, *names, *more, code=2)
    assert "sweep must be one that was submitted, got 'nihgt'" in said
    assert "did you mean 'night'?" in said
    assert priorities(database) == {5}


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("words", [*CHANGES, ("extend", "--axis", "steps+=4")])
def test_before_the_first_sweep_nothing_is_created(
    settings: Settings, words: tuple[str, ...]
) -> None:
    command, *more = words
    said = say(command, "night", *more, code=2)
    assert "start with `nightsweep run`" in said
    assert not (settings.home / "nightsweep.db").exists()


def test_without_redis_a_sweep_is_resumed_and_none_is_started(
    database: Database, settings: Settings
) -> None:
    submit_planned(database, plan_seeds(1))
    say("pause", "night")
    say("resume", "night")
    assert priorities(database) == {5}
    assert not is_running(settings)


@pytest.mark.databases("sqlite")
def test_a_redis_that_is_away_is_told_and_loses_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_planned(database, plan_seeds(1))
    say("pause", "night")
    monkeypatch.setenv("NIGHTSWEEP_REDIS_URL", "redis://127.0.0.1:1/0")
    said = say("resume", "night")
    assert "Redis cannot be reached; workers find these jobs when it can." in said
    assert priorities(database) == {5}


def test_failed_jobs_that_match_are_tried_again(
    database: Database, app: Celery
) -> None:
    submit_planned(database, [*plan_seeds(1), *plan_seeds(2, steps=30)])
    for claim in take(database):
        record_failure(database, claim.id, owner="host:1:1", error="NaN")
    said = say("retry", "night", "--steps", "25..40")
    assert "night: 1 image that failed is tried again." in said
    assert states(database) == {1: "failed", 2: "pending"}
    assert drain(app) == [[make_job(seed=2, steps=30).key]]
    assert "night: no failed job matches; `" in say("retry", "night", "--steps", "30")
    assert "No failed job matches; `" in say("retry", "steps:30")


def test_quarantined_jobs_can_be_left_alone(database: Database) -> None:
    submit_planned(database, plan_seeds(1, 2))
    for _ in range(MAX_DEATHS):
        take_these(database, [make_job(seed=1).key])
        free_owner(database, "host:1:1", died=True)
    say("retry", "night", "--state", "failed")
    assert states(database)[1] == "quarantined"
    said = say("retry", "night", "--state", "done", code=2)
    assert "state must be failed or quarantined, got 'done'" in said


def test_what_a_cancelled_sweep_retries_waits_until_it_is_resumed(
    database: Database, app: Celery
) -> None:
    submit_planned(database, plan_seeds(1))
    record_failure(database, take(database)[0].id, owner="host:1:1", error="NaN")
    say("cancel", "night")
    said = say("retry", "night")
    assert "1 image that failed is tried again once `" in said
    assert waiting(app) == 0
    assert take(database) == []


def test_a_submission_makes_a_cancelled_sweep_active_with_all_its_jobs(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    path = str(write_spec(tmp_path))
    submit(path)
    say("priority", "night", "3")
    say("cancel", "night")
    drain(app)
    said = say("submit", path)
    assert "night was cancelled; it is active again." in said
    assert priorities(database) == {3}
    assert sum(map(len, drain(app))) >= 6


def test_a_cancelled_submission_that_is_broken_off_has_jobs_to_claim(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    path = str(write_spec(tmp_path))
    submit(path)
    say("cancel", "night")

    def interrupt(_stored: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        submit(path, progress=interrupt)
    assert priorities(database) == {5}


def test_a_sweep_gets_more_values_and_only_new_jobs(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    submit(str(write_spec(tmp_path)))
    said = say("extend", "night", "--axis", "steps+=40,50", "--axis", "seed+=9")
    assert "night (revision 2): 16 images, 10 new, 0 made already; 16 to make." in said
    sweep = find_sweep(database, "night")
    assert sweep
    assert sweep.axes == {"steps": ["8", "20", "40", "50"], "seed": [*"0129"]}
    assert count_states(database, sweep) == {"pending": 16}


def test_extending_again_changes_nothing(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    submit(str(write_spec(tmp_path)))
    for _ in range(2):
        said = say("extend", "night", "--axis", "steps+=40,20")
    assert "night (revision 2): 9 images, 0 new, 0 made already; 9 to make." in said


def test_the_value_of_the_base_becomes_an_axis(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    text = "name: night\nbase: {model: 'builtin:shapes', prompt: 'a cat, red'}\n"
    submit(str(write_spec(tmp_path, text)))
    said = say("extend", "night", "--axis", "prompt+=a dog, blue")
    assert "night (revision 2): 2 images, 1 new, 0 made already; 2 to make." in said
    sweep = find_sweep(database, "night")
    assert sweep
    assert sweep.axes == {"prompt": ["a cat, red", "a dog, blue"]}


def test_what_has_no_value_to_add_to_is_refused(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    submit(str(write_spec(tmp_path)))
    said = say("extend", "night", "--axis", "guidance+=7", code=2)
    assert "`guidance+=` must add to values of the sweep file, got no guidance" in said
    said = say("extend", "night", "--axis", "steps=7", code=2)
    assert "--axis must add values here, got 'steps=7'; write `steps+=7`" in said
    assert len(job_rows(database)) == 6


def test_a_scheduler_may_be_shown_by_another_name_than_before(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    text = (
        "name: night\nbase: {model: 'builtin:shapes', prompt: a cat}\n"
        "axes: {scheduler: [PLMS, ddim], kind: [{set: {steps: 8}}]}\n"
    )
    submit(str(write_spec(tmp_path, text)))
    with database.write() as connection:  # as an older nightsweep called PLMS
        older = {"scheduler": ["pndm", "ddim"], "kind": ["steps=8"]}
        connection.execute(sa.update(sweeps_table).values(axes=json.dumps(older)))
    said = say("extend", "night", "--axis", "scheduler+=euler")
    assert "night (revision 2): 3 images, 1 new, 0 made already; 3 to make." in said


def test_files_of_prompts_are_found_from_the_folder_or_refused(
    database: Database,
    app: Celery,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = (
        "name: night\nbase: {model: 'builtin:shapes'}\n"
        "axes: {prompt: [{file: prompts.txt}], steps: [8]}\n"
    )
    (tmp_path / "prompts.txt").write_text("a cat\na dog\n")
    submit(str(write_spec(tmp_path, text)))
    other = tmp_path / "other"
    other.mkdir()
    more = ("extend", "night", "--axis", "steps+=20")
    with in_folder(other, monkeypatch):
        said = say(*more, code=2)
        assert "a prompt file must be a file that can be read" in said
        (other / "prompts.txt").write_text("a cat\n")
        said = say(*more, code=2)
        assert "night must keep its values, but its prompt 'a dog' is gone" in said
        said = say(*more, "--folder", str(tmp_path))
        assert "night (revision 2): 4 images, 2 new, 0 made already; 4 to make." in said
    assert len(job_rows(database)) == 4


def test_a_row_that_changed_under_its_label_is_refused_until_it_is_submitted(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    text = (
        "name: night\nbase: {model: 'builtin:shapes'}\n"
        "axes: {prompt: {file: p.csv}, steps: [8]}\n"
    )
    table = tmp_path / "p.csv"
    table.write_text("prompt,seed,label\na cat,1,one\na dog,2,two\n")
    file = write_spec(tmp_path, text)
    assert submit(str(file)).new == 2
    more = ("extend", "night", "--folder", str(tmp_path), "--yes", "--axis")
    said = say(*more, "steps+=20")
    assert "night (revision 2): 4 images, 2 new" in said
    table.write_text("prompt,seed,label\na cat,1,one\na dog,3,two\n")
    said = say(*more, "steps+=30", code=2)
    assert "it means something else by now, such as other rows of its table" in said
    done = submit(str(file))
    assert (done.sweep.revision, done.new, done.dropped) == (3, 1, 3)


def test_seeds_are_drawn_once_for_a_sweep(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    text = (
        "name: night\nbase: {model: 'builtin:shapes', prompt: a cat}\n"
        "axes: {seed: {random: 2}, steps: [8]}\n"
    )
    file = write_spec(tmp_path, text)
    first = submit(str(file)).sweep
    seeds = first.axes["seed"]
    again = submit(str(file))
    assert (again.new, again.sweep.revision) == (0, 1)
    said = say("extend", "night", "--axis", "seed+={random: 1}")
    assert "night (revision 2): 3 images, 1 new" in said
    extended = submit("night")
    assert (extended.new, extended.sweep.revision) == (0, 2)
    assert extended.sweep.axes["seed"][:2] == seeds
    assert str(extended.sweep.axes["seed"]).replace("'", "") in extended.sweep.spec
    copied = submit("night", sets=["name=copy"])
    assert (copied.new, copied.existing) == (0, {"pending": 3})


def test_values_are_added_to_a_file_from_the_command_line_too(
    app: Celery, tmp_path: Path
) -> None:
    done = submit(str(write_spec(tmp_path)), axes=["steps += 40"])
    assert (done.total, done.sweep.revision) == (9, 1)
    assert "steps: [8, 20, 40]" in done.sweep.spec


def test_extending_a_paused_sweep_says_that_it_goes_on(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    submit(str(write_spec(tmp_path)))
    say("pause", "night")
    said = say("extend", "night", "--axis", "steps+=40")
    assert "night was paused; it is active again." in said
    assert priorities(database) == {5}


def test_retrying_after_redis_was_stopped_starts_none(
    database: Database, app: Celery, settings: Settings
) -> None:
    sweep = submit_planned(database, plan_seeds(1))
    record_failure(database, take(database)[0].id, owner="host:1:1", error="NaN")
    stop(settings)
    say("retry", "night")
    assert retry(database, sweep) == {}
    assert not is_running(settings)


def test_where_nobody_works_it_is_said_what_to_start(
    database: Database, app: Celery, tmp_path: Path
) -> None:
    path, nobody = str(write_spec(tmp_path)), "Nobody works on it yet: no worker is "
    assert f"{nobody}alive on any host; start `" in say("submit", path)
    assert nobody in say("resume", "night")
    assert nobody in say("extend", "night", "--axis", "steps+=40")
    record_failure(
        database,
        take_these(database, [job_rows(database)[0].key])[0].id,
        owner="host:1:1",
        error="NaN",
    )
    said = say("retry", "night")
    assert nobody in said
    assert "run night`." in said
    registry.note(database, WORKER)
    for words in (("submit", path, "--yes"), ("resume", "night")):
        assert nobody not in say(*words)


def test_where_nothing_waits_nobody_is_missed(database: Database, app: Celery) -> None:
    submit_planned(database, plan_seeds(1))
    record_failure(database, take(database)[0].id, owner="host:1:1", error="NaN")
    assert "Nobody" not in say("resume", "night")
    say("pause", "night")
    assert "Nobody" not in say("retry", "night")
