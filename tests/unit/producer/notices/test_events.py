"""What happens to a sweep is told once, when it begins."""

from dataclasses import replace

import pytest

from producer.notices.events import Events, describe_space, stopped
from producer.running.sweep_state import Standing
from storage.jobs.blocked_groups import Blocked
from storage.jobs.budgets import Budget, Limits
from storage.jobs.completeness import Incomplete

AT_WORK = Standing(
    sweep="night",
    state="active",
    total=100,
    pending=60,
    leased=10,
    done=30,
    failed=0,
    quarantined=0,
    images_per_s=1.0,
    eta_s=70.0,
)
FINISHED = replace(AT_WORK, pending=0, leased=0, done=98, failed=2)
REACHED = Budget(limits=Limits(until=0.0), reached="until")
BLOCKED = Blocked(host="a", workers=("gpu0", "gpu1"), reason="a red cat", images=1200)


@pytest.mark.parametrize(
    ("now", "event", "text"),
    [
        (
            replace(AT_WORK, quarantined=1),
            "failed",
            "night: an image failed; `nightsweep status night` says why.",
        ),
        (
            replace(AT_WORK, state="paused", reason="21 failed: a red cat"),
            "paused",
            "night has paused itself; `nightsweep status night` says why.",
        ),
        (
            replace(AT_WORK, state="paused", reason="its time is up", budget=REACHED),
            "limit",
            "night is at its limit, and 70 images are left: its time is up.",
        ),
        (
            replace(AT_WORK, blocked=[BLOCKED]),
            "blocked",
            "night: 1,200 images cannot be made by gpu0, gpu1 on a; `nightsweep status "
            "night` says why.",
        ),
        (
            replace(AT_WORK, pending=0, leased=0, done=100),
            "finished",
            "night is finished: 100 images made.",
        ),
    ],
)
def test_what_begins_is_told_once_and_without_an_error_or_prompt(
    now: Standing, event: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.notices.events.program", lambda: "nightsweep")
    events = Events(AT_WORK)
    assert [(one.event, one.text) for one in events.look(now)] == [(event, text)]
    assert list(events.look(now)) == []


def test_what_begins_again_is_told_again() -> None:
    events, blocked = Events(AT_WORK), replace(AT_WORK, blocked=[BLOCKED])
    looks = (blocked, AT_WORK, blocked)
    told = [one.event for now in looks for one in events.look(now)]
    assert told == ["blocked", "blocked"]


@pytest.mark.parametrize(
    "first",
    [
        FINISHED,
        replace(AT_WORK, state="paused", reason="21 failed"),
        replace(AT_WORK, blocked=[BLOCKED], failed=3),
    ],
)
def test_what_began_before_is_no_news(first: Standing) -> None:
    assert list(Events(first).look(first)) == []


def test_older_failures_are_no_news_but_a_new_one_is() -> None:
    events = Events(replace(AT_WORK, failed=3))
    assert list(events.look(replace(AT_WORK, failed=3))) == []
    told = events.look(replace(AT_WORK, failed=4))
    assert [one.event for one in told] == ["failed"]


@pytest.mark.parametrize(
    "now",
    [
        replace(FINISHED, open_scores=5),
        replace(FINISHED, references=5),
        replace(FINISHED, incomplete=Incomplete(stored=98, wanted=200)),
        replace(FINISHED, state="cancelled"),
        replace(AT_WORK, state="paused"),  # by a person
        replace(FINISHED, total=0, done=0, failed=0),
    ],
)
def test_a_sweep_with_something_left_is_not_finished(now: Standing) -> None:
    events = Events(replace(AT_WORK, failed=2))
    assert [one.event for one in events.look(now)] == []


def test_a_finished_sweep_that_is_extended_finishes_again() -> None:
    events = Events(AT_WORK)
    looks = (FINISHED, replace(AT_WORK, failed=2), replace(FINISHED, done=198))
    told = [one.text for now in looks for one in events.look(now)]
    assert told[1:] == [
        "night is finished: 98 images made, 2 images failed.",
        "night is finished: 198 images made, 2 images failed.",
    ]


def test_a_disk_that_lacks_space_is_told_with_what_is_needed() -> None:
    said = describe_space(AT_WORK, free_bytes=20_000_000, image_bytes=500_000)
    assert said == (
        "night: 20 MB are free for 70 images that are left, which need about 35 MB."
    )
    assert not describe_space(AT_WORK, free_bytes=35_000_000, image_bytes=500_000)
    told = Events(AT_WORK).look(AT_WORK, said)
    assert [(one.event, one.text) for one in told] == [("disk", said)]


def test_workers_that_end_too_soon_are_told_with_what_is_left() -> None:
    assert stopped(AT_WORK).text == (
        "night: its workers here ended, and 70 images are left."
    )
    assert "5 scores are left" in stopped(replace(FINISHED, open_scores=5)).text
