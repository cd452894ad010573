"""How long a seat stays empty, and when all is over."""

import time

import pytest
from click import BadParameter

from workers.durations import Duration
from workers.supervision.exit_rules import Leave
from workers.supervision.restart_backoff import BACK_OFF_S, MOST_BACK_OFF_S, Bench

SOME, OTHERS = frozenset({1, 2}), frozenset({3})


def test_a_pause_grows_with_each_end_up_to_the_most() -> None:
    bench = Bench()
    assert bench.is_empty
    pauses = [bench.sit(frozenset({number})) for number in range(9)]
    assert pauses[:3] == [BACK_OFF_S, 2 * BACK_OFF_S, 4 * BACK_OFF_S]
    assert pauses[-1] == MOST_BACK_OFF_S
    assert bench.ends == 9
    assert not bench.is_empty


def test_one_image_makes_up_for_all_ends_before() -> None:
    bench = Bench()
    for held in (SOME, OTHERS, frozenset()):
        bench.sit(held)
    bench.forgive()
    assert (bench.ends, bench.in_vain) == (0, 0)
    assert bench.sit(OTHERS) == BACK_OFF_S


def test_one_job_that_kills_again_and_again_is_not_the_devices_fault() -> None:
    bench = Bench()
    assert [bench.sit(OTHERS) for _ in range(3)] == [BACK_OFF_S] * 3
    assert bench.sit(SOME) == 2 * BACK_OFF_S


def test_ends_with_nothing_in_hand_are_in_vain() -> None:
    bench = Bench()
    bench.sit(frozenset())
    bench.sit(frozenset())
    assert bench.in_vain == 2
    bench.sit(None)  # the database was away: who knows
    assert bench.in_vain == 2
    bench.sit(SOME)
    assert bench.in_vain == 0


def test_a_seat_that_is_benched_for_days_waits_no_longer_than_the_most() -> None:
    bench = Bench(ends=5000)
    assert bench.sit(None) == MOST_BACK_OFF_S


def test_a_device_that_fails_has_more_ends_than_a_worker_in_vain() -> None:
    bench = Bench()
    for _ in range(3):
        bench.sit(None, is_unfit=True)
    assert not bench.is_hopeless(2)
    bench.sit(None, is_unfit=True)
    assert bench.is_hopeless(2)
    bench.forgive()
    for _ in range(9):
        bench.sit(None, is_unfit=True)
    assert not bench.is_hopeless(2)
    bench.sit(None, is_unfit=True)
    assert bench.is_hopeless(2)


def test_ends_while_loading_count_one_after_the_other_only() -> None:
    bench = Bench()
    for is_loading in (True, True, False, True):
        bench.sit(None, is_loading=is_loading)
    assert (bench.loading, bench.ends) == (1, 4)


def test_an_end_in_order_does_not_count() -> None:
    bench = Bench()
    assert bench.rest() == BACK_OFF_S
    assert not bench.is_empty
    assert bench.ends == 0


def test_nobody_leaves_without_a_reason() -> None:
    leave = Leave()
    assert not leave.is_due(is_idle=True)
    assert not leave.is_due(is_idle=False)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the time, which passes when the test says so."""
    seconds = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])
    return seconds


def test_all_is_over_after_its_time(now: list[float]) -> None:
    leave = Leave(after_s=60, _began=now[0])
    now[0] += 59
    assert not leave.is_due(is_idle=False)
    now[0] += 1
    assert leave.is_due(is_idle=False)


def test_all_is_over_when_nothing_was_to_do_for_a_while(now: list[float]) -> None:
    leave = Leave(when_idle_s=60)
    assert not leave.is_due(is_idle=True)
    now[0] += 61
    assert not leave.is_due(is_idle=False)
    assert not leave.is_due(is_idle=True)
    now[0] += 59
    assert not leave.is_due(is_idle=True)
    now[0] += 1
    assert leave.is_due(is_idle=True)


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
