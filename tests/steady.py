"""Repeated test runs, every second beside busy loops, to find tests that need speed.

python -m tests.steady --times 20 --busy 6 tests/faults
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import click

#: It also ends when its parent is killed.
LOOP = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Run `count` processes that keep a core busy each, within the block."""
    words = [sys.executable, "-c", LOOP, str(os.getpid())]
    loops = [subprocess.Popen(words) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def run(words: Sequence[str], report: Path) -> list[str]:
    """Run pytest once, and return the failed tests, or that pytest itself failed."""
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *words]
    code = subprocess.run(command, check=False).returncode
    cases = ElementTree.parse(report).iter("testcase") if report.exists() else ()  # noqa: S314 - our own
    failed = [
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    # 0: all passed. 1: some failed. Any other code: not all ran.
    is_whole = code == 0 or (code == 1 and failed)
    return failed if is_whole else [*failed, f"pytest (code {code})"]


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--times", default=20, show_default=True, help="Runs in all.")
@click.option("--busy", "loops", default=6, show_default=True, help="Busy loops.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def main(times: int, loops: int, words: Sequence[str]) -> None:
    """Run pytest with WORDS several times, and list all tests that failed."""
    quiet: Counter[str] = Counter()
    loaded: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(times):
            is_busy = bool(number % 2)
            began = time.monotonic()
            with busy(loops if is_busy else 0):
                failed = run(words, Path(folder, "report.xml"))
            (loaded if is_busy else quiet).update(set(failed))
            beside = f" beside {loops} busy loops" if is_busy else ""
            took_s = time.monotonic() - began
            load = os.getloadavg()[0]
            click.echo(
                f"Run {number + 1} of {times}{beside}, load {load:.1f}: "
                f"{len(failed)} failed in {took_s:.0f} s."
            )
    click.echo(f"\n{'quiet':>6} {'busy':>6}  failures in {times} runs")
    for name in sorted(quiet | loaded):
        click.echo(f"{quiet[name]:>6} {loaded[name]:>6}  {name}")
    if not quiet | loaded:
        click.echo(f"{0:>6} {0:>6}  in any test")
    sys.exit(1 if quiet | loaded else 0)


if __name__ == "__main__":
    main()
