"""`nightsweep status`: how far sweeps are, and who is at work."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from rich.console import Console

from producer.cli import cli
from producer.commands.status import _Question
from storage.errors import DatabaseError
from storage.jobs import lifecycle
from storage.jobs.blocked_groups import block
from storage.jobs.membership import add_jobs
from storage.jobs.results import record_done, record_failure
from storage.jobs.sweeps import Sweep, find_sweep, save_sweep
from storage.sql.database import Database
from storage.sql.schema import sweeps, workers
from tests.builders import (
    ENVIRONMENT,
    make_job,
    make_planned,
    make_result,
    plan_seeds,
    submit,
    take,
)
from tests.matrices import shorten

NAME = "portraits-of-cats-in-the-rain-"

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def ask(*words: str) -> list[dict[str, Any]]:
    said = CliRunner().invoke(cli, ["status", "--json", *words])
    assert said.exit_code == 0, said.output
    return [json.loads(line) for line in said.output.splitlines()]


def shown(database: Database, **asked: Any) -> str:
    question = _Question((), **{"by": None, "workers": False, **asked})
    return screen(database, question, width=120)


def screen(
    database: Database, question: _Question, *, width: int, height: int | None = None
) -> str:
    console = Console(width=width, markup=False, emoji=False)
    with console.capture() as captured:
        shown = question.shown(database, width=width, height=height)
        console.print(shown, crop=False)
    return captured.get()


def add_sweeps(database: Database) -> None:
    """Submit 26 sweeps with names of one beginning; the last four are not made."""
    for number in range(26):
        name = f"{NAME}{number:02}"
        submit(database, plan_seeds(number), name=name, priority=9 - number // 10)
        if number < 22:
            done = {claim.id: make_result() for claim in take(database)}
            record_done(database, done, worker="cpu0", environment=ENVIRONMENT)


def submit_axes(database: Database) -> None:
    """Submit two steps by two seeds, and make three of the four images."""
    sweep = save_sweep(
        database, "night", spec="", axes={"steps": ["20", "8"], "seed": ["0", "1"]}
    )
    planned = [
        make_planned(
            seed=seed,
            steps=steps,
            position=2 * seed + (steps == 8),
            cell={"steps": str(steps), "seed": str(seed)},
        )
        for steps in (8, 20)
        for seed in (0, 1)
    ]
    add_jobs(database, sweep, planned)
    *made, failed = take(database)
    done = {claim.id: make_result() for claim in made}
    record_done(database, done, worker="cpu0", environment=ENVIRONMENT)
    record_failure(database, failed.id, owner="host:1:1", error="latents are NaN")


def add_worker(database: Database, name: str, *, silent_s: float = 0) -> None:
    seen = datetime.now(UTC) - timedelta(seconds=silent_s)
    row = {
        "owner": f"night3:{name}:1",
        "name": name,
        "host": "night3",
        "gpu": "NVIDIA H200",
        "phase": "painting",
        "detail": "[red] builtin:shapes",
        "images": 1200,
        "images_per_s": 12.345,
        **dict.fromkeys(
            ("started_at", "phase_at", "seen_at"), seen.isoformat(timespec="seconds")
        ),
    }
    with database.write() as connection:
        connection.execute(sa.insert(workers).values(row))


def test_every_state_and_the_hours_are_told(database: Database) -> None:
    submit_axes(database)
    (row,) = ask()
    assert {name: row[name] for name in ("done", "failed", "pending", "total")} == {
        "done": 3,
        "failed": 1,
        "pending": 0,
        "total": 4,
    }
    assert (row["sweep"], row["state"], row["priority"]) == ("night", "active", 5)
    # A second each.
    assert row["gpu_hours"] == pytest.approx(3 / 3600, abs=1e-4)


def test_the_values_of_an_axis_are_counted_in_order_of_display(
    database: Database,
) -> None:
    submit_axes(database)
    submit(database, plan_seeds(7), name="without")
    rows = ask("--by", "steps")
    assert [(row["value"], row["total"], row["done"]) for row in rows] == [
        (20, 2, 2),
        (8, 2, 1),
    ]
    assert [row["failed"] for row in rows] == [0, 1]
    text = shown(database, by="steps")
    assert text.split()[:7] == [
        *("night", "steps", "images", "pending", "leased", "done", "failed")
    ]
    assert "quarantined" not in text


def test_labels_that_read_alike_are_counted_together(database: Database) -> None:
    labels = ["a, b", "a", "b"]
    sweep = save_sweep(database, "night", spec="", axes={"prompt": labels})
    cells = [{"prompt": "a, b"}, {"prompt": ["a", "b"]}]
    add_jobs(
        database,
        sweep,
        [make_planned(seed=n, position=n, cell=cell) for n, cell in enumerate(cells)],
    )
    (row,) = ask("--by", "prompt")
    assert (row["value"], row["total"]) == ("a, b", 2)


@pytest.mark.parametrize("words", [["--sweep", "night"], []])
def test_an_unknown_axis_names_those_that_exist(
    database: Database, words: list[str]
) -> None:
    submit_axes(database)
    said = CliRunner().invoke(cli, ["status", "--by", "stps", *words])
    assert said.exit_code == 2
    assert "--by must name an axis of" in said.output
    assert "steps" in said.output
    assert "got 'stps'." in said.output


def test_a_paused_sweep_says_why(database: Database) -> None:
    sweep = submit(database, plan_seeds(1))
    lifecycle.set_state(database, sweep, "paused")
    with database.write() as connection:
        connection.execute(sa.update(sweeps).values(reason="[bold]21 failed"))
    assert ask()[0]["reason"] == "[bold]21 failed"
    text = shown(database)
    assert "night (paused)" in text
    assert "night is paused: [bold]21 failed" in text


def test_status_is_whole_in_a_pipe(database: Database) -> None:
    name = "n" * 64
    sweep = submit(database, plan_seeds(1), name=name)
    lifecycle.set_state(database, sweep, "paused")
    reason = "more than a fifth of the first hundred failed, " * 4 + "as was seen"
    with database.write() as connection:
        connection.execute(sa.update(sweeps).values(reason=reason))
    add_worker(database, "gpu0")
    lines = CliRunner().invoke(cli, ["status"]).output.splitlines()
    assert any(line.split()[:3] == [name, "(paused)", "1"] for line in lines)
    assert f"{name} is paused: {reason}" in map(str.strip, lines)
    assert not any("…" in line for line in lines)
    (line,) = (line for line in lines if "gpu0" in line)
    assert "[red] builtin:shapes" in line


def test_what_holds_jobs_up_is_told(database: Database) -> None:
    submit(database, plan_seeds(1, 2))
    for worker in ("cpu0", "cpu1"):
        about = {"host": "night3", "worker": worker, "reason": "no such model"}
        block(database, make_job().group, **about)
    assert ask()[0]["blocked"] == [
        {
            "host": "night3",
            "workers": ["cpu0", "cpu1"],
            "reason": "no such model",
            "images": 2,
        }
    ]
    assert (
        "night: 2 images cannot be made by cpu0, cpu1 on night3: no such model"
        in shown(database)
    )


def test_workers_are_shown_with_their_silence(database: Database) -> None:
    submit(database, plan_seeds(1))
    add_worker(database, "gpu0")
    add_worker(database, "gpu1", silent_s=2000)
    add_worker(database, "gpu2", silent_s=3700)
    rows = ask("--workers")
    assert [row["name"] for row in rows] == ["gpu0", "gpu1"]
    assert rows[1]["silent_s"] >= 2000
    for text in (shown(database), shown(database, workers=True)):
        (line,) = (line for line in text.splitlines() if "gpu0" in line)
        assert line.split()[1:5] == ["night3", "NVIDIA", "H200", "painting"]
        assert "[red] builtin:shapes" in line
        assert "1,200" in text
        assert text.count("silent for 20") == 1
        assert "gpu2" not in text


def test_without_workers_it_says_so(database: Database) -> None:
    submit(database, plan_seeds(1, 2))
    assert "No worker is at work." in shown(database)
    take(database, "night3:1:2", limit=1)
    assert "1 worker is at work on night3." in shown(database)


def test_several_sweeps_may_be_named(database: Database) -> None:
    for name in ("one", "other", "third"):
        submit(database, plan_seeds(1), name=name)
    for words in (["third", "one"], ["--sweep", "third", "--sweep", "one"]):
        assert [row["sweep"] for row in ask(*words)] == ["third", "one"]
    assert [row["sweep"] for row in ask("one", "--sweep", "other")] == ["one", "other"]


def test_status_before_the_first_sweep_says_how_to_start() -> None:
    said = CliRunner().invoke(cli, ["status"])
    assert said.exit_code == 2
    assert "start with `nightsweep run`" in said.output


def test_status_of_an_unknown_sweep_names_the_nearest(database: Database) -> None:
    submit(database, plan_seeds(0))
    said = CliRunner().invoke(cli, ["status", "--sweep", "nihgt"])
    assert said.exit_code == 2
    assert (
        "sweep must be one that was submitted, got 'nihgt'; did you mean 'night'?"
        in said.output
    )


@pytest.mark.databases("sqlite")
def test_a_watch_outlives_an_outage(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(database, plan_seeds(1))
    looks: list[float] = []

    choose = _Question._chosen

    def fail_once(question: _Question, database: Database) -> list[Sweep]:
        if len(looks) == 1:
            msg = "the database must be reachable"
            raise DatabaseError(msg)
        return choose(question, database)

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(_Question, "_chosen", fail_once)
    monkeypatch.setattr(time, "sleep", sleep)
    said = CliRunner().invoke(cli, ["status", "--watch"])
    assert said.exit_code == 0, said.output
    assert len(looks) == 3
    assert "night" in said.output


@pytest.mark.parametrize(
    ("width", "height"), shorten([(80, 24), (200, 50), (60, 16)], [(80, 24)])
)
def test_many_sweeps_and_workers_fit_on_a_screen(
    database: Database, width: int, height: int
) -> None:
    add_sweeps(database)
    for number in range(16):
        add_worker(database, f"gpu{number}")
    lines = screen(
        database,
        _Question((), by=None, workers=False),
        width=width,
        height=height,
    ).splitlines()
    assert len(lines) < height  # the prompt has one, too
    assert [line for line in lines if len(line) > width] == []
    text = "\n".join(lines)
    assert "gpu0" in text
    assert f"{NAME}22 " in text or re.search(r"portr\S*…\S*-22 ", text)
    assert ("more: " in text) == (height < 50)


def test_what_is_left_to_make_comes_first_and_what_is_done_is_folded(
    database: Database,
) -> None:
    add_sweeps(database)
    for number, state in ((24, "cancelled"), (23, "paused")):
        sweep = find_sweep(database, f"{NAME}{number}")
        assert sweep
        lifecycle.set_state(database, sweep, state)
    text = shown(database)
    found = re.findall(r"rain-(\d\d)(?: \((\w+)\))?", text)
    assert found == [
        *(("22", ""), ("25", ""), ("23", "paused")),
        *(("21", ""), ("20", ""), ("19", "")),
    ]
    assert "20 more sweeps: 19 images made, 1 unmade; --all shows them." in text
    every = re.findall(r"rain-(\d\d)", shown(database, shows_all=True))
    assert every == [f"{number:02}" for number in range(26)]
    assert len(ask()) == 26


def test_a_few_sweeps_are_all_shown(database: Database) -> None:
    submit_axes(database)
    assert "night" in shown(database)
    assert "more sweep" not in shown(database)
