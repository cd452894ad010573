"""The tool that runs tests again and again."""

import subprocess
import sys
from pathlib import Path

import psutil

from tests.processes import ROOT
from tests.steady import busy

FAILS_AT_TIMES = """
from pathlib import Path

def test_what_passes():
    pass

def test_what_passes_once():
    mark = Path(__file__).with_name("mark")
    was_there = mark.exists()
    mark.touch()
    assert not was_there
"""


def steady(file: Path, *, times: int) -> "subprocess.CompletedProcess[str]":
    options = ("--times", str(times), "--busy", "1")
    return subprocess.run(
        [sys.executable, "-m", "tests.steady", *options, "-p", "no:xdist", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_failed_is_told_with_how_often(tmp_path: Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(FAILS_AT_TIMES)
    said = steady(file, times=3)
    assert said.returncode == 1
    assert "Run 2 of 3 beside 1 busy loops, load " in said.stdout
    table = said.stdout.partition("failures in 3 runs\n")[2]
    assert [line.split()[:2] for line in table.splitlines()] == [["1", "1"]]
    assert table.strip().endswith("test_it::test_what_passes_once")


def test_what_never_failed_is_told_too(tmp_path: Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(FAILS_AT_TIMES)
    said = steady(file, times=1)
    assert said.returncode == 0, said.stdout
    assert said.stdout.endswith("     0      0  in any test\n")


def test_a_run_that_tried_nothing_is_no_green_one(tmp_path: Path) -> None:
    said = steady(tmp_path / "test_gone.py", times=1)
    assert said.returncode == 1
    assert said.stdout.endswith("     1      0  pytest (code 4)\n")


def test_busy_loops_end_with_the_block() -> None:
    before = set(psutil.Process().children())
    with busy(2):
        assert len(set(psutil.Process().children()) - before) == 2
    assert set(psutil.Process().children()) <= before
