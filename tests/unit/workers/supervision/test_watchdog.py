"""Phases, what is told of them, and how long each may last."""

import os
import threading
import time
from collections.abc import Iterator

import pytest

from storage.errors import UsageError
from tests.processes import PATIENCE_S
from workers.supervision.watchdog import LIMITS_S, Watchdog, read_limits
from workers.vitals import phases
from workers.vitals.phases import DOWNLOADING, LOADING, PAINTING, STORING, WAITING
from workers.vitals.recent import Recent
from workers.vitals.reports import Listener, Report, Reporter


@pytest.fixture
def other_thread() -> Iterator[None]:
    """Have another thread store something for as long as the test lasts."""
    began, ended = threading.Event(), threading.Event()

    def store() -> None:
        with phases.during(STORING, "an image"):
            began.set()
            ended.wait(PATIENCE_S)

    thread = threading.Thread(target=store)
    thread.start()
    began.wait(PATIENCE_S)
    yield
    ended.set()
    thread.join()


def doing() -> list[str]:
    return sorted(one.phase for one in phases.under_way())


def test_a_process_does_nothing_until_it_says_so() -> None:
    assert phases.under_way() == []
    assert phases.most_telling([]).phase == "idle"
    phases.progress()
    phases.describe("nothing")
    assert phases.under_way() == []


def test_what_is_within_a_phase_counts_until_it_ends() -> None:
    with phases.during(PAINTING):
        phases.describe("a model")
        with phases.during(LOADING, "another"):
            assert [(one.phase, one.detail) for one in phases.under_way()] == [
                (LOADING, "another")
            ]
        assert [(one.phase, one.detail) for one in phases.under_way()] == [
            (PAINTING, "a model")
        ]
    assert doing() == []


def test_a_phase_that_goes_on_after_another_has_made_progress() -> None:
    with phases.during(PAINTING):
        began = phases.under_way()[0].since
        with phases.during(LOADING):
            time.sleep(0.01)
        assert phases.under_way()[0].since > began


@pytest.mark.usefixtures("other_thread")
def test_every_thread_has_a_phase_and_the_most_telling_is_shown() -> None:
    with phases.during(PAINTING):
        assert doing() == [PAINTING, STORING]
        assert phases.most_telling(phases.under_way()).phase == PAINTING
        with phases.during(WAITING, "the disk is full"):
            shown = phases.most_telling(phases.under_way())
            assert (shown.phase, shown.detail) == (WAITING, "the disk is full")
    assert doing() == [STORING]


def test_what_grows_is_progress() -> None:
    sizes = iter([10, 10, 20])
    with phases.during(DOWNLOADING, measure=lambda: next(sizes)):
        moments = [phases.under_way()[0].since for _ in range(3)]
    assert moments[0] == moments[1] < moments[2]


def test_the_supervisor_hears_what_changes() -> None:
    ours, its = os.pipe()
    listener, recent = Listener(ours), Recent()
    listener.listen()
    assert listener.report is None
    Reporter(its, recent).start()
    wait_for(listener, Report())
    recent.made_one()
    with phases.during(PAINTING):
        since = round(phases.under_way()[0].since, 1)
        wait_for(listener, Report(images=1, under_way=((PAINTING, since),)))
    listener.close()  # and the reporter ends


def wait_for(listener: Listener, report: Report) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while listener.report != report:
        assert time.monotonic() < deadline, listener.report
        time.sleep(0.01)
        listener.listen()


def test_a_supervisor_that_does_not_listen_holds_nobody_up() -> None:
    ours, its = os.pipe()
    reporter = Reporter(its, Recent())
    while reporter._write(b"x" * 4095 + b"\n"):
        pass
    listener = Listener(ours)
    assert not reporter._write(b"more\n")
    os.read(ours, 65536)
    line = b'{"images": 2, "under_way": []}\n'
    assert reporter._write(line[:9])
    assert reporter._write(line[9:])
    listener.listen()
    assert listener.report == Report(images=2)
    listener.close()
    os.close(its)


def test_a_phase_without_progress_is_found_after_its_limit() -> None:
    now = time.monotonic()
    under_way = [(PAINTING, now - 50), (LOADING, now - 50), (WAITING, now - 9999)]
    limits = {PAINTING: 60.0, LOADING: 40.0}
    stuck = watchdog(limits).find_stuck(under_way)
    assert stuck is not None
    assert stuck.phase == LOADING
    assert stuck.seconds >= 50
    assert watchdog({**limits, LOADING: 60.0}).find_stuck(under_way) is None
    assert watchdog(limits).find_stuck([]) is None


def watchdog(limits: dict[str, float]) -> Watchdog:
    made = Watchdog(limits)
    made._awake_since -= 3600
    return made


def test_while_the_supervisor_is_stopped_no_time_passes_for_its_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, under_way = watchdog({PAINTING: 60.0}), [(PAINTING, time.monotonic() - 50)]
    monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + 100)
    assert made.find_stuck(under_way) is not None
    made.look()
    assert made.find_stuck(under_way) is None


def test_limits_can_be_changed_or_lifted() -> None:
    assert read_limits({}) == LIMITS_S
    assert read_limits({"NIGHTSWEEP_LIMITS_S": ""}) == LIMITS_S
    found = read_limits({"NIGHTSWEEP_LIMITS_S": "painting=2.5, loading=0"})
    assert found == {**LIMITS_S, PAINTING: 2.5, LOADING: float("inf")}


@pytest.mark.parametrize(
    "text", ["60", "step=60", "painting=", "painting=-1", "idle=1"]
)
def test_limits_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_limits({"NIGHTSWEEP_LIMITS_S": text})
    assert str(caught.value) == (
        "NIGHTSWEEP_LIMITS_S must be phases with seconds, painting=3600,loading=7200 "
        "(0 for no limit), of starting, downloading, loading, compiling, painting, "
        f"scoring, storing; got {text!r}."
    )
