"""Several `run`s of one machine and state folder: placements, names and logs."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from producer.running.background import find_runs
from tests.faults.night import Night
from tests.processes import wait_until
from tests.stand_in import hold, let_go

CPU = ("--device", "cpu")


@pytest.fixture
def cores() -> Iterator[int]:
    """Let this process, and those that it starts, run on two cores at most."""
    before = os.sched_getaffinity(0)
    few = sorted(before)[:2]
    os.sched_setaffinity(0, few)
    yield len(few)
    os.sched_setaffinity(0, before)


def names(night: Night) -> Counter[str]:
    """Count the worker processes by name."""
    found: Counter[str] = Counter()
    for process in night.workers():
        with suppress(psutil.Error):  # it ends meanwhile
            words = process.cmdline()
            found[words[words.index("--name") + 1]] += 1
    return found


@pytest.mark.long
def test_a_second_run_has_no_workers_where_the_first_has_all_cores(
    night: Night, cores: int
) -> None:
    placements = [f"cpu{number}" for number in range(cores)]
    waits = f"Waiting for {', '.join(placements)}, which other workers serve"
    specs = [night.spec(count=12, first=12 * n, name=f"n{n}") for n in range(2)]
    seen = Counter[str]()

    def look() -> None:
        nonlocal seen
        seen |= names(night)

    hold()
    with (
        night.begin("run", str(specs[0]), *CPU) as first,
        night.begin("run", str(specs[1]), *CPU) as second,
    ):
        both = (first, second)
        wait_until(lambda: look() or waits in night.log())
        let_go()
        wait_until(lambda: look() or None not in [run.poll() for run in both])
        said = [run.communicate()[0] for run in both]
    assert [run.returncode for run in both] == [0, 0], said
    assert seen == dict.fromkeys(placements, 1)
    assert sorted(text.count(f"{waits}.") for text in said) == [0, 1]
    night.check(done=24)
    logs = sorted(path.name for path in night.settings.logs.glob("*.log"))
    assert logs == [
        *(f"{name}.log" for name in placements),
        "supervisor-2.log",
        "supervisor.log",
    ]


def test_a_run_takes_over_from_one_that_was_killed(night: Night, cores: int) -> None:
    with night.begin("run", str(night.spec(count=20, steps=20)), *CPU) as first:
        night.wait_for(1)
        hold()
        with night.begin("run", str(night.spec(count=20, steps=20)), *CPU) as second:
            wait_until(lambda: (night.settings.logs / "supervisor-2.log").exists())
            first.send_signal(signal.SIGKILL)
            let_go()
            said, _ = second.communicate()
        assert second.returncode == 0, said
    night.check(done=20)
    assert set(names(night)) <= {f"cpu{number}" for number in range(cores)}


def test_a_run_tells_the_last_words_of_its_own_workers_only(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = night.settings.logs / "supervisor.log"
    log.write_text("what an earlier run said\n")
    monkeypatch.setenv("NIGHTSWEEP_LIMITS_S", "painting=soon")
    said = night.run("run", str(night.spec(count=1)), *CPU, code=1)
    _, _, words = said.partition("The workers ended before the sweep did:\n")
    assert words.startswith("Error: NIGHTSWEEP_LIMITS_S must be ")
    assert "what an earlier run said" not in said
    assert log.read_text().startswith("what an earlier run said\nError: ")


@pytest.fixture
def in_background(night: Night) -> Iterator[Callable[[], int]]:
    """Yield what starts a run in the background; end the runs that are left."""

    def begin() -> int:
        said = night.run("run", str(night.spec(count=6)), *CPU, "--detach")
        assert "is made in the background from now on" in said
        (run,) = find_runs(night.settings)
        assert f"by process {run.pid}: " in said
        return run.pid

    yield begin
    for run in find_runs(night.settings):
        os.kill(run.pid, signal.SIGKILL)


def test_a_detached_run_outlives_a_hangup_and_goes_on_to_the_end(
    night: Night, in_background: Callable[[], int], tmp_path: Path
) -> None:
    told = tmp_path / "told"
    hold()
    on = ("--on", "finished", f"touch {told}")
    night.run("run", str(night.spec(count=6)), *CPU, "--detach", *on)
    (run,) = find_runs(night.settings)
    assert os.getsid(run.pid) == run.pid  # no terminal is its own
    os.kill(run.pid, signal.SIGHUP)
    for again in ((), ("--detach",)):
        said = night.run("run", str(night.spec(count=6)), *CPU, *again)
        assert f"night is under way in the background, by process {run.pid}" in said
    let_go()
    wait_until(lambda: not find_runs(night.settings))
    night.check(done=6)
    assert told.exists()
    said = night.run("logs", "run-night")
    assert " INFO run-night night - Made 6 images in " in said
    assert " INFO cpu0 night " not in said
    assert "Nothing was left to make." in night.run(
        "run", str(night.spec(count=6)), *CPU, "--detach"
    )


@pytest.mark.long
def test_a_detached_run_is_stopped_with_its_jobs_handed_back(
    night: Night, in_background: Callable[[], int]
) -> None:
    assert "No run is in the background" in night.run("stop")
    hold()
    pid = in_background()
    assert "got 'other'" in night.run("stop", "other", code=2)
    said = night.run("stop")
    assert f"Stopping night, process {pid};" in said
    assert "night is stopped; `" in said
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"
    said = night.run("logs", "run-night")
    assert "6 images unmade; go on with: " in said
    assert "run night --detach" in said


@pytest.mark.long
def test_a_detached_run_that_was_killed_is_no_longer_under_way(
    night: Night, in_background: Callable[[], int]
) -> None:
    hold()
    pid = in_background()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not find_runs(night.settings))
    assert in_background() != pid
    let_go()
    wait_until(lambda: not find_runs(night.settings))
    night.check(done=6)


def test_a_detached_run_that_cannot_begin_says_why(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_LIMITS_S", "painting=soon")
    said = night.run("run", str(night.spec(count=1)), *CPU, "--detach", code=1)
    assert "night has ended in the background with code 1; " in said
    assert "Error: NIGHTSWEEP_LIMITS_S must be " in said
