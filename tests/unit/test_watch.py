"""How far a sweep is, in numbers and in words."""

from dataclasses import replace
from typing import Any

import pytest

from producer.amounts import duration
from producer.plan import size
from producer.progress import progress_shown
from producer.run import _News
from producer.watch import Standing, standing
from storage.claims import claim
from storage.database import Database
from storage.progress import Worker
from storage.results import record_done, record_failure
from tests.builders import ENVIRONMENT, make_result, plan_seeds, submit, take

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def make_standing(**changes: object) -> Standing:
    values = {
        "sweep": "night",
        "state": "active",
        "total": 10,
        "pending": 4,
        "leased": 2,
        "done": 3,
        "failed": 1,
        "quarantined": 0,
        "images_per_s": 0.5,
        "eta_s": 12.0,
    }
    return Standing(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (42, "42 s"),
        (420, "7 min"),
        (12_000, "3 h 20 min"),
        (190_000, "2 d 4 h"),
    ],
)
def test_seconds_are_said_as_people_say_them(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (812_000, "812 kB"),
        (3.1e9, "3.1 GB"),
        (2e15, "2,000 TB"),
    ],
)
def test_bytes_are_said_as_people_say_them(count: float, text: str) -> None:
    assert size(count) == text


def test_a_standing_counts_every_state(database: Database) -> None:
    sweep = submit(database, plan_seeds(0, 1, 2, 3))
    first, second, _ = take(database, limit=3)
    record_done(
        database, {first.id: make_result()}, worker="cpu0", environment=ENVIRONMENT
    )
    record_failure(database, second.id, owner="host:1:1", error="it is bad")
    now = standing(database, sweep)
    assert (now.total, now.pending, now.leased) == (4, 1, 1)
    assert (now.done, now.failed, now.quarantined) == (1, 1, 0)
    assert now.unmade == 2
    assert claim(database, owner="o", lease_s=9, limit=9, keys=[first.job.key]) == []


def test_progress_for_a_log_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress_shown(make_standing()) as show:
        show(make_standing())
        show(make_standing(done=4))
        show(make_standing(pending=0, leased=0, done=9))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("night: 4 of 10")
    assert lines[-1].startswith("night: 10 of 10")
    assert "1 failed" in lines[-1]
    assert len(lines) == 2


def test_a_log_says_once_that_the_model_is_loaded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.progress.LINE_S", 0.0)
    waiting = make_standing(done=0, failed=0, pending=8)
    with progress_shown(waiting) as show:
        show(waiting)
        show(waiting)
    assert capsys.readouterr().err.splitlines() == [
        "night: 0 of 10 loading the model",
        "night: 0 of 10",
    ]


def test_a_bar_has_room_beside_a_long_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    first = make_standing(sweep="a-very-long-name-of-a-sweep-that-goes-on-and-on")
    with progress_shown(first) as show:
        show(first)
    line = capsys.readouterr().err
    assert "a-very-long-name-of-a-s… " in line
    assert "━━━━━━━━━━" in line


def make_worker(**changes: Any) -> Worker:
    return replace(
        Worker(
            name="gpu0",
            host="night3",
            gpu="H200",
            phase="painting",
            detail="a model",
            images=7,
            images_per_s=None,
            silent_s=1.0,
        ),
        **changes,
    )


def test_who_is_benched_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    news = _News()
    benched = make_worker(phase="benched", detail="its device failed")
    for _ in range(2):
        news.tell([benched, make_worker(name="gpu1")])
        news.tell([make_worker()])
    said = capsys.readouterr().err
    assert said == "Worker gpu0 on night3 is benched: its device failed\n"


def test_an_outage_is_said_when_it_begins_and_when_it_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    news = _News()
    news.tell([make_worker()])
    news.tell_reason("the database is away")
    news.tell([make_worker(phase="waiting", detail="Redis is away")])
    news.tell([make_worker()])
    said = capsys.readouterr().err
    assert said == "Waiting: the database is away\nGoing on.\n"


def test_what_a_silent_worker_said_is_old(capsys: pytest.CaptureFixture[str]) -> None:
    news = _News()
    news.tell([make_worker(phase=each, silent_s=61) for each in ("benched", "waiting")])
    assert not capsys.readouterr().err
