"""The terminal: taken as a whole, and left as it was, however the command ends."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from producer.dashboard.full_screen import can_draw, full_screen
from producer.dashboard.view import View
from producer.display.messages import talk
from storage.sql.database import Database
from tests.builders import plan_seeds, submit
from tests.processes import ROOT
from tests.unit.producer.dashboard.test_drawing import make_progress

ENTERED, LEFT = "\x1b[?1049h", "\x1b[?1049l"
HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"

pytestmark = pytest.mark.databases("sqlite")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Open a terminal of 80x24; return both of its ends."""
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    screen, its = pty.openpty()
    resize(its, columns=80, lines=24)
    yield screen, its
    os.close(screen)
    os.close(its)


def resize(terminal: int, *, columns: int, lines: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@contextmanager
def watching(its: int) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-P", "-m", "nightsweep", "status", "--watch"]
    with subprocess.Popen(
        command,
        stdin=its,
        stdout=its,
        stderr=its,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(screen: int, *texts: str) -> str:
    """Read until texts have come, one after the other; return all of it."""
    wanted, said = ".*".join(map(re.escape, texts)), b""
    while not re.search(wanted, said.decode(errors="replace"), re.DOTALL):
        said += os.read(screen, 4096)
    return said.decode(errors="replace")


def test_ctrl_c_leaves_the_terminal_as_it_was_with_the_sweeps_in_its_history(
    terminal: tuple[int, int], database: Database
) -> None:
    screen, its = terminal
    submit(database, plan_seeds(3), name="고양이")
    before = termios.tcgetattr(its)
    with watching(its) as process:
        drawn = read_until(screen, "No worker is at work.")
        assert ENTERED in drawn
        assert HIDDEN in drawn
        assert "고양이" in drawn
        resize(its, columns=120, lines=30)
        read_until(screen, "No worker is at work.")  # drawn again, as wide as it is now
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
    read_until(screen, SHOWN, LEFT, "고양이", "waits")
    assert termios.tcgetattr(its) == before


def test_what_is_said_meanwhile_is_on_the_screen_and_stays_in_the_history(
    terminal: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    screen, its = terminal
    view = View(at=datetime(2026, 11, 28, tzinfo=UTC), sweeps=[make_progress()])
    with os.fdopen(os.dup(its), "w", encoding="utf-8") as stream:
        with full_screen(stream) as shown:
            talk("Waiting: the disk is full")
            shown.show(view)
            drawn = read_until(screen, ENTERED, "Waiting: the disk is full")
            assert "night" in drawn
            assert not capsys.readouterr().err
        stream.flush()
    assert capsys.readouterr().err == "Waiting: the disk is full\n"
    read_until(screen, LEFT, "night", "30 %")


def test_a_signal_that_ends_the_command_gives_the_terminal_back(
    terminal: tuple[int, int], database: Database
) -> None:
    screen, its = terminal
    submit(database, plan_seeds(1))
    with watching(its) as process:
        read_until(screen, "No worker is at work.")
        process.terminate()
        assert process.wait() == 128 + signal.SIGTERM
    read_until(screen, SHOWN, LEFT)


@pytest.mark.parametrize(
    ("name", "value", "can"),
    [
        ("TERM", "xterm", True),
        ("TERM", "dumb", False),
        ("TERM", "", False),
        ("NO_COLOR", "1", False),
        ("NO_COLOR", "", True),
    ],
)
def test_who_wants_plain_lines_gets_them(
    terminal: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    *,
    can: bool,
) -> None:
    monkeypatch.setenv(name, value)
    with os.fdopen(os.dup(terminal[1]), "w", encoding="utf-8") as stream:
        assert can_draw(stream) == can


def test_a_pipe_a_small_terminal_and_another_encoding_get_lines(
    terminal: tuple[int, int],
) -> None:
    _, its = terminal
    with os.fdopen(os.dup(its), "w", encoding="ascii") as stream:
        assert not can_draw(stream)
    resize(its, columns=39, lines=24)
    with os.fdopen(os.dup(its), "w", encoding="utf-8") as stream:
        assert not can_draw(stream)
    with open(os.devnull, "w", encoding="utf-8") as stream:  # noqa: PTH123
        assert not can_draw(stream)
