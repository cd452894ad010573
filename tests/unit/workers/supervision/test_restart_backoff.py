"""How long a placement stays empty, and when all is over."""

import time

import pytest
from click import BadParameter

from workers.durations import Duration
from workers.supervision.exit_rules import ExitRules
from workers.supervision.restart_backoff import (
    BACK_OFF_S,
    MOST_BACK_OFF_S,
    RestartBackoff,
)

SOME, OTHERS = frozenset({1, 2}), frozenset({3})


def test_a_pause_grows_with_each_end_up_to_the_most() -> None:
    backoff = RestartBackoff()
    assert backoff.is_over
    pauses = [backoff.begin(frozenset({number})) for number in range(9)]
    assert pauses[:3] == [BACK_OFF_S, 2 * BACK_OFF_S, 4 * BACK_OFF_S]
    assert pauses[-1] == MOST_BACK_OFF_S
    assert backoff.ends == 9
    assert not backoff.is_over


def test_one_image_makes_up_for_all_ends_before() -> None:
    backoff = RestartBackoff()
    for held in (SOME, OTHERS, frozenset()):
        backoff.begin(held)
    backoff.forgive()
    assert (backoff.ends, backoff.in_vain) == (0, 0)
    assert backoff.begin(OTHERS) == BACK_OFF_S


def test_one_job_that_kills_again_and_again_is_not_the_devices_fault() -> None:
    backoff = RestartBackoff()
    assert [backoff.begin(OTHERS) for _ in range(3)] == [BACK_OFF_S] * 3
    assert backoff.begin(SOME) == 2 * BACK_OFF_S


def test_ends_with_nothing_in_hand_are_in_vain() -> None:
    backoff = RestartBackoff()
    backoff.begin(frozenset())
    backoff.begin(frozenset())
    assert backoff.in_vain == 2
    backoff.begin(None)  # the database was away: who knows
    assert backoff.in_vain == 2
    backoff.begin(SOME)
    assert backoff.in_vain == 0


def test_a_placement_that_is_backoff_for_days_waits_no_longer_than_the_most() -> None:
    backoff = RestartBackoff(ends=5000)
    assert backoff.begin(None) == MOST_BACK_OFF_S


def test_a_device_that_fails_has_more_ends_than_a_worker_in_vain() -> None:
    backoff = RestartBackoff()
    for _ in range(3):
        backoff.begin(None, is_unfit=True)
    assert not backoff.is_hopeless(2)
    backoff.begin(None, is_unfit=True)
    assert backoff.is_hopeless(2)
    backoff.forgive()
    for _ in range(9):
        backoff.begin(None, is_unfit=True)
    assert not backoff.is_hopeless(2)
    backoff.begin(None, is_unfit=True)
    assert backoff.is_hopeless(2)


def test_ends_while_loading_count_one_after_the_other_only() -> None:
    backoff = RestartBackoff()
    for is_loading in (True, True, False, True):
        backoff.begin(None, is_loading=is_loading)
    assert (backoff.loading, backoff.ends) == (1, 4)


def test_an_end_in_order_does_not_count() -> None:
    backoff = RestartBackoff()
    assert backoff.begin_short() == BACK_OFF_S
    assert not backoff.is_over
    assert backoff.ends == 0


def test_nobody_leaves_without_a_reason() -> None:
    exit_rules = ExitRules()
    assert not exit_rules.is_due(is_idle=True)
    assert not exit_rules.is_due(is_idle=False)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the time, which passes when the test says so."""
    seconds = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])
    return seconds


def test_all_is_over_after_its_time(now: list[float]) -> None:
    exit_rules = ExitRules(after_s=60, _began=now[0])
    now[0] += 59
    assert not exit_rules.is_due(is_idle=False)
    now[0] += 1
    assert exit_rules.is_due(is_idle=False)


def test_all_is_over_when_nothing_was_to_do_for_a_while(now: list[float]) -> None:
    exit_rules = ExitRules(when_idle_s=60)
    assert not exit_rules.is_due(is_idle=True)
    now[0] += 61
    assert not exit_rules.is_due(is_idle=False)
    assert not exit_rules.is_due(is_idle=True)
    now[0] += 59
    assert not exit_rules.is_due(is_idle=True)
    now[0] += 1
    assert exit_rules.is_due(is_idle=True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("8h", 28800),
        ("1h30m", 5400),
        ("45", 45),
        ("1d", 86400),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5", "8 hours", "m30", "1w"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BadParameter, match="a duration is 90s, 30m, 8h or 1h30m, got"):
        Duration().convert(text, None, None)
