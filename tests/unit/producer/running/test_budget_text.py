"""What stops a sweep is said in full, with what was used of it."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from producer.running.budget_text import describe_budget, describe_spent
from storage.jobs.budgets import Budget, Limits

NOW = datetime(2026, 3, 28, 21, 18, tzinfo=UTC)
UNTIL = datetime(2026, 3, 29, 5, 30, tzinfo=UTC).timestamp()


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_each_limit_is_said_with_what_was_used() -> None:
    limits = Limits(until=UNTIL, gpu_s=43200.0, images=1000)
    # Clocks go forward in between.
    time_said = "on Sun 29 Mar 07:30 CEST (in 8 h 12 min)"
    assert describe_budget(Budget(limits=limits), NOW) == (
        f"{time_said}, or after 12 GPU-hours, or after 1,000 images"
    )
    used = Budget(limits=limits, used_s=4500.0, made=340)
    assert describe_budget(used, NOW) == (
        f"{time_said}, or after 12 GPU-hours (1.25 used), or after 1,000 images "
        "(340 made)"
    )


def test_a_time_that_nobody_has_noticed_yet_is_said_to_be_over() -> None:
    later = datetime(2026, 3, 29, 5, 31, tzinfo=UTC)
    said = describe_budget(Budget(limits=Limits(until=UNTIL)), later)
    assert said == "on Sun 29 Mar 07:30 CEST (60 s ago)"


def test_what_was_spent_is_images_and_hours() -> None:
    assert describe_spent(Budget(limits=Limits(images=1))) == ""
    spent = Budget(limits=Limits(images=1), used_s=36000.0, made=1)
    assert describe_spent(spent) == "1 image made in 10.00 GPU-hours, "
