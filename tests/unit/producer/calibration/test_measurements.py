"""Measurements of a calibration: how busy the machine was, and what is stored."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from producer.calibration import busyness
from producer.calibration.busyness import Load, spread_of, why_busy
from producer.calibration.conclusions import speed_of
from producer.calibration.measurements import Measurements
from storage.host.worker_ids import my_name
from storage.jobs import speeds
from storage.jobs.batch_sizes import DatabaseWidths
from storage.sql.database import Database
from tests.builders import make_planned, plan_seeds, submit, take

pytestmark = pytest.mark.databases("sqlite")

#: What the process that measures says of a CPU, and of three images.
CPU = {"environment": {"gpu": "CPU", "host": "night3", "details": {"cuda": ""}}}
END: list[dict[str, Any]] = [{"speeds": "complete"}, {"width": 1, "images_per_s": 2.0}]


def images(*seconds: float) -> list[dict[str, Any]]:
    return [{"job": 0, "seconds": each, "evaluations": 20} for each in seconds]


@contextmanager
def measuring(*results: dict[str, Any]) -> Iterator[Iterator[dict[str, Any]]]:
    yield iter([CPU, *results, *END])


def measure(database: Database, *results: dict[str, Any], **changes: Any) -> int:
    values = {"count": len(results), "as_json": True, "even_if_busy": False}
    measurements = Measurements([make_planned()], database, **{**values, **changes})
    return measurements.run(measuring(*results))


@pytest.fixture
def _idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Load, "share", lambda _load: 0.1)


def width(database: Database) -> int | None:
    return DatabaseWidths(database).get(make_planned().job, "CPU")


@pytest.mark.usefixtures("_idle")
def test_figures_of_an_idle_machine_are_stored(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measure(database, *images(1.0, 1.1, 1.2)) == 0
    assert len(speeds.read(database)) == 1
    assert width(database) == 1
    said = capsys.readouterr().err
    assert "Speeds: 3 of 3\n" in said  # which a log has, too
    assert "busy" not in said


@pytest.mark.usefixtures("_idle")
def test_figures_that_differ_too_much_are_shown_and_not_stored(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measure(database, *images(1.0, 1.1, 1.5)) == 1
    assert speeds.read(database) == []
    assert width(database) is None
    said = capsys.readouterr()
    assert (
        "Warning: the figures are those of a busy machine, since the slowest image of "
        "a kind took 50% longer than the fastest; they are not stored: measure again "
        "when it is idle, or add --even-if-busy."
    ) in said.err
    speed, batch = map(json.loads, said.out.splitlines())
    assert speed["median_s"] == 1.1
    assert batch["noted"] is False


def test_figures_are_stored_while_others_work_if_that_is_asked_for(
    database: Database,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Load, "share", lambda _load: 0.83)
    submit(database, plan_seeds(1))
    take(database, my_name())
    assert measure(database, *images(1.0, 1.0, 1.0)) == 1
    assert speeds.read(database) == []
    assert measure(database, *images(1.0, 1.0, 1.0), even_if_busy=True) == 0
    assert len(speeds.read(database)) == 1
    assert width(database) == 1
    said = capsys.readouterr().err
    assert "since workers of this machine are at work (1), and other programs" in said
    assert "used 83% of the CPU; they are stored, as asked." in said


def test_a_gpu_leaves_more_of_the_cpu_to_others() -> None:
    busy = {"workers": 0, "others": 0.4, "spread": 0.0}
    assert list(why_busy(**busy, on_gpu=True)) == []
    assert list(why_busy(**busy, on_gpu=False)) == [
        "other programs used 40% of the CPU"
    ]


def test_one_kind_that_differs_is_no_sign_where_the_others_do_not() -> None:
    rest = {"gpu": "CPU", "evaluations": 20, "measured_at": "2026-01-02T03:04:05"}
    seconds = ([1.0, 1.0, 9.0], [1.0, 1.1, 1.1], [2.0, 2.1, 2.2])
    found = [speed_of(make_planned(), each, **rest) for each in seconds]
    assert spread_of(found) == pytest.approx(0.1)
    assert spread_of([]) == 0.0


def test_what_this_process_uses_is_no_load(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(
        busyness._Moment(*each) for each in ((100, 50, 9), (140, 80, 29), (100, 0, 0))
    )
    monkeypatch.setattr(busyness, "_now", lambda: next(moments))
    load = Load()
    assert load.share() == 0.25  # 10 of 40 seconds; 20 were ours
    assert load.share() == 0.0  # a clock that stands still is no load


def test_the_load_of_a_real_machine_is_a_share() -> None:
    load = Load()
    sum(range(100_000))
    assert 0.0 <= load.share() <= 1.0
