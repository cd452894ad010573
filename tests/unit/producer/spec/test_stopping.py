"""What stops a sweep: limits as they are written, and the moment that a time means."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from producer.spec.stopping import StopRules, find_moment
from producer.spec.sweepfile import read_spec
from storage.errors import SpecError, UsageError
from storage.jobs.budgets import Limits

SPEC = """
name: night
base: {model: "builtin:shapes", prompt: a cat}
limits: {gpu_hours: 12.5, until: 07:30, stop_after_jobs: 1000}
"""


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def here(text: str) -> datetime:
    return utc(text).astimezone()


def write(folder: Path, text: str = SPEC) -> Path:
    path = folder / "night.yaml"
    path.write_text(text)
    return path


def test_a_sweep_file_has_limits_and_options_replace_them(tmp_path: Path) -> None:
    file = write(tmp_path)
    written = StopRules(gpu_hours=12.5, until="07:30", stop_after_jobs=1000)
    assert read_spec(file).stop == written
    changed = read_spec(file, sets=["limits.until=23:00"]).stop
    assert changed == StopRules(gpu_hours=12.5, until="23:00", stop_after_jobs=1000)
    assert read_spec(write(tmp_path, SPEC[: SPEC.index("limits")])).stop == StopRules()


def test_every_mistake_in_the_limits_is_told(tmp_path: Path) -> None:
    text = SPEC.replace("12.5", "0").replace("07:30", "24:30").replace("1000", "many")
    with pytest.raises(SpecError) as told:
        read_spec(write(tmp_path, text))
    rules = [problem.message.partition(",")[0] for problem in told.value.problems]
    assert rules == [
        "gpu_hours must be a number from 0.001 to 100000",
        "until must be a time such as 07:30",
        "stop_after_jobs must be an integer from 1 to 1000000000",
    ]


def test_limits_are_stored_as_seconds_and_a_moment() -> None:
    rules = StopRules(gpu_hours=0.5, until="07:30", stop_after_jobs=7)
    assert rules.limits(here("2026-11-27T21:00")) == Limits(
        gpu_s=1800.0, until=utc("2026-11-28T06:30").timestamp(), images=7
    )
    assert StopRules().limits() == Limits()


@pytest.mark.parametrize(
    ("now", "text", "moment"),
    [
        ("2026-11-28T05:00", "07:30", "2026-11-28T06:30"),  # 06:00 there: today
        ("2026-11-28T06:30", "7:30", "2026-11-29T06:30"),  # just then: tomorrow
        ("2026-11-28T22:00", "00:15", "2026-11-28T23:15"),
        ("2026-10-24T20:00", "07:30", "2026-10-25T06:30"),  # clocks go back at night
        ("2026-10-24T20:00", "02:30", "2026-10-25T00:30"),  # the first of two
        ("2026-03-28T20:00", "07:30", "2026-03-29T05:30"),  # clocks go forward
        ("2026-03-28T20:00", "02:30", "2026-03-29T00:30"),  # skipped: 01:30
        ("2026-11-28T05:00", "2026-12-01T07:30", "2026-12-01T06:30"),
        ("2026-11-28T05:00", "2026-12-01 07:30", "2026-12-01T06:30"),
        ("2026-11-28T05:00", "2026-12-01T07:30-05:00", "2026-12-01T12:30"),
        ("2026-11-28T05:00", "2026-12-01T07:30Z", "2026-12-01T07:30"),
    ],
)
def test_a_time_is_the_next_such_time_here(now: str, text: str, moment: str) -> None:
    assert find_moment(text, here(now)).astimezone(UTC) == utc(moment)


def test_a_date_that_is_over_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"must be in the future, got 2026-11-27T07:30"
    ):
        find_moment("2026-11-27T07:30", here("2026-11-28T05:00"))


@pytest.mark.parametrize("text", ["2026-11-29", "noon", "7", "07:60", "25:00", "1:2:3"])
def test_what_is_no_time_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpecError, match="until must be a time such as 07:30"):
        read_spec(write(tmp_path, SPEC.replace("07:30", text)))
