"""Several `run`s of one machine and state folder: placements, names and logs."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

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
