"""What a supervisor tells people of its workers."""

import subprocess
import sys

import pytest

from workers.supervision.child import Process
from workers.supervision.summary import Summary
from workers.vitals.reports import Listener, Report


@pytest.fixture
def process() -> Process:
    """Give a process that has ended; what it said is set by the test."""
    with subprocess.Popen([sys.executable, "-c", ""]) as popen:
        pass
    return Process(popen=popen, listener=Listener.__new__(Listener))


def look(summary: Summary, process: Process, *reports: Report) -> None:
    for report in reports:
        process.listener.report = report
        summary.look("gpu0", process)


def test_each_turn_is_one_line_with_its_rate(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    summary = Summary()
    look(
        summary,
        process,
        Report(images=3),  # in the midst of a turn
        Report(images=8, made=8, worked_s=4.0),
        Report(images=8, made=8, worked_s=4.1),  # a turn in which all was made already
        Report(images=9, made=9, failed=2, worked_s=6.1),
    )
    summary.close("it was told to")
    *turns, end = caplog.messages
    assert turns == [
        "gpu0: 8 images in 4.0 s, 2.00 images/s",
        "gpu0: 1 image, 2 failed, in 2.0 s, 0.50 images/s",
    ]
    assert end == "Ended, since it was told to: 9 images, 2 failed, in 0:00:00."


def test_a_model_is_told_of_once_and_only_if_it_takes_a_while(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    downloading, loading = "downloading a/b", "loading a/b"
    look(
        Summary(),
        process,
        *(Report(preparing=what) for what in (downloading, loading, loading, loading)),
        *(Report(preparing=what) for what in ("", loading, loading)),
    )
    assert caplog.messages == ["gpu0: loading a/b"] * 2


def test_what_a_worker_made_before_it_died_counts(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    summary = Summary()
    look(summary, process, Report(images=3))
    process.told = Report()  # as of the next process on that placement
    look(summary, process, Report(images=2))
    assert summary.images == 5
