"""The screen of `run` and `status --watch`: it fits, and says what matters first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.cells import cell_len

from producer.dashboard.drawing import divide, draw
from producer.dashboard.view import (
    Failures,
    Message,
    Paces,
    Progress,
    View,
    notes,
    troubles,
)
from producer.running.sweep_state import Standing
from storage.fleet.progress import Worker
from storage.jobs.blocked_groups import Blocked

AT = datetime(2026, 11, 28, 22, 13, 5, tzinfo=UTC)
SIZES = [(80, 24), (120, 40), (200, 50), (40, 10)]
LONG = "pixels must be finite numbers, but " * 20


def make_progress(**changes: Any) -> Progress:
    counts = {"total": 100, "pending": 60, "leased": 10, "done": 27, "failed": 3}
    rates = {"images_per_s": 2.5, "left_s": 28.0}
    rates |= {name: changes.pop(name) for name in rates if name in changes}
    now = Standing(
        **{
            **counts,
            "sweep": "night",
            "state": "active",
            "quarantined": 0,
            "images_per_s": 2.5,
            "eta_s": 28.0,
            **changes,
        }
    )
    return Progress(now=now, ended=now.total - now.unmade + 0.5, **rates)


def make_worker(**changes: Any) -> Worker:
    values = {
        "name": "gpu0",
        "host": "night3",
        "gpu": "NVIDIA H200",
        "phase": "painting",
        "detail": "org/a-model · 16 rows, 48 % · 61.2 of 139 GB · 71 °C",
        "images": 1200,
        "images_per_s": 7.1,
        "silent_s": 1.0,
    }
    return Worker(**{**values, **changes})


def make_fleet(count: int) -> list[Worker]:
    return [
        make_worker(name=f"gpu{n % 8}", host=f"night{n // 8}") for n in range(count)
    ]


def lines(view: View, width: int = 80, height: int = 24) -> list[str]:
    return draw(view, width=width, height=height).plain.split("\n")


def column(found: list[str], of: str, sign: str) -> int:
    """Return the terminal's column in which a sign begins, in the line of a text."""
    (line,) = [each for each in found if of in each]
    return cell_len(line[: line.index(sign)])


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("workers", [0, 1, 8, 64])
@pytest.mark.parametrize("sweeps", [0, 1, 30])
def test_it_fits_whatever_there_is(
    width: int, height: int, workers: int, sweeps: int
) -> None:
    view = View(
        at=AT,
        sweeps=[make_progress(sweep=f"고양이-🐈-{n}" * 3) for n in range(sweeps)],
        others=12,
        others_by_state={"done": 12_000, "failed": 3},
        workers=make_fleet(workers),
        messages=[Message(text=f"night: 3 failed: {LONG}\x1b[2J", is_failure=True)] * 5,
    )
    found = lines(view, width, height)
    assert len(found) <= height
    assert max(map(cell_len, found)) <= width
    assert all(each.isprintable() for each in found)
    assert any("night: 3 failed: " in each for each in found)
    assert ("gpu" in "".join(found)) == bool(workers)


def test_a_line_says_how_far_a_sweep_is_and_when_it_is_about_to_be_done() -> None:
    head, _, names, night, *_ = lines(View(at=AT, sweeps=[make_progress()]))
    assert head == ("22:13:05 · done about 22:13 · 2.50 images/s · 70 images left")
    assert names.split() == [
        "sweep",
        "%",
        "made",
        "of",
        "failed",
        "images/s",
        "done",
        "about",
    ]
    name, bar, *rest = night.split()
    assert (name, rest) == ("night", ["30", "%", "27", "100", "3", "2.50", "22:13"])
    assert 0.25 < bar.count("━") / len(bar) < 0.31


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"left_s": 9_000.0}, "Sun 00:43"),
        ({"left_s": 14 * 86_400.0}, "12 Dec 22:13"),
        ({"left_s": 1e15}, "in over a year"),
        ({"left_s": None, "leased": 0}, "waits"),
        ({"left_s": None}, "under way"),
        ({"state": "paused"}, "paused"),
        ({"pending": 0, "leased": 0, "done": 97}, "finished"),
    ],
)
def test_the_end_is_said_by_the_clock_or_why_there_is_none(
    changes: dict[str, Any], said: str
) -> None:
    night = lines(View(at=AT, sweeps=[make_progress(**changes)]))[3]
    assert night.endswith(f"  {said}")


def test_paused_images_are_not_left() -> None:
    both = [make_progress(), make_progress(sweep="other", state="paused")]
    assert "70 images left · 2 sweeps" in lines(View(at=AT, sweeps=both))[0]


def test_wide_characters_do_not_break_columns() -> None:
    names = ("plain", "고양이", "🐈🐈")
    both = [make_progress(sweep=name) for name in names]
    found = lines(View(at=AT, sweeps=both))
    assert len({column(found, name, "━") for name in names}) == 1


def test_workers_say_their_model_width_memory_and_temperature() -> None:
    found = lines(View(at=AT, sweeps=[], workers=[make_worker()]))
    said = "painting  org/a-model  16 rows, 48 % · 61.2 of 139 GB · 71 °C      7.10"
    assert found[-1] == f"gpu0    {said}"


def test_a_worker_in_trouble_is_seen_among_many() -> None:
    fleet = make_fleet(64)
    fleet[40] = make_worker(name="gpu0", host="night5", phase="backoff", detail="hot")
    fleet[50] = make_worker(name="gpu2", host="night6", silent_s=300.0)
    found = lines(View(at=AT, sweeps=[], workers=fleet))
    assert found[5].startswith("night5 gpu0  backoff")
    assert found[6].startswith("night6 gpu2  silent 300 s")
    assert found[-1] == "46 more: 46 painting"
    assert [one.text for one in troubles(fleet)] == ["gpu0 on night5: hot"]


def test_many_workers_stand_in_two_halves_on_a_wide_screen() -> None:
    found = lines(View(at=AT, sweeps=[], workers=make_fleet(64)), 200, 50)
    assert found[4].count("worker") == 2
    assert sum(each.count("painting") for each in found) == 64


def test_an_outage_takes_the_place_of_old_numbers() -> None:
    view = View(at=AT, sweeps=[make_progress()], trouble="SQL is away")
    assert lines(view)[0] == "22:13:05 · Waiting: SQL is away"
    assert lines(replace(view, sweeps=())) == ["22:13:05 · Waiting: SQL is away"]


@pytest.mark.parametrize(
    ("room", "wanted", "got"),
    [
        (20, [2, 2, 3], [2, 2, 3]),
        (20, [30, 2, 90], [9, 2, 9]),
        (2, [5, 5, 5], [1, 1, 0]),
    ],
)
def test_small_wishes_are_met_and_large_ones_share(
    room: int, wanted: list[int], got: list[int]
) -> None:
    assert divide(room, wanted) == got


def test_a_failure_has_the_time_at_which_it_was_first_seen_to_grow() -> None:
    failures = Failures()
    later = AT + timedelta(minutes=4)
    assert [one.at for one in failures.look({"night": [("NaN", 2)]}, AT)] == [None]
    found = failures.look({"night": [("NaN", 2), ("no memory", 1)]}, later)
    assert [(one.text, one.at) for one in found] == [
        ("night: 1 failed: no memory", later),
        ("night: 2 failed: NaN", None),
    ]
    found = failures.look({"night": [("NaN", 3), ("no memory", 1)]}, AT)
    assert {one.text: one.at for one in found} == {
        "night: 3 failed: NaN": AT,
        "night: 1 failed: no memory": later,
    }


def test_a_sweep_that_nobody_works_on_has_no_end() -> None:
    now = replace(make_progress(leased=0).now, eta_s=None, images_per_s=0.0)
    (found,) = Paces().look([now], [make_worker(phase="idle")], leased=0)
    assert (found.images_per_s, found.left_s) == (0.0, None)


def test_what_many_sweeps_and_workers_suffer_from_is_told_once() -> None:
    reasons = {f"night{n}": [("latents are NaN", n + 1)] for n in range(4)}
    assert [one.text for one in Failures().look(reasons, AT)] == [
        "night0, night1 and 2 more: 10 failed: latents are NaN"
    ]
    blocked = Blocked(host="night3", workers=("gpu3",), reason="no model", images=8)
    both = [make_progress(sweep=name, blocked=[blocked]).now for name in ("a", "b")]
    assert [one.text for one in notes(both)] == [
        "a, b: 16 images cannot be made by gpu3 on night3: no model"
    ]
    full = [make_worker(name=f"gpu{n}", phase="waiting", detail="full") for n in (1, 2)]
    assert [one.text for one in troubles(full)] == [
        "gpu1 on night3, gpu2 on night3: full"
    ]
