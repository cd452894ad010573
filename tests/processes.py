"""Processes that tests start, and waits for what they do."""

import os
import pty
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from storage.broker.servers import PROGRAMS

ROOT = Path(__file__).parents[1]
#: Seconds without progress after which a wait fails; long enough for a slow machine. A
#: test that passes hardly ever waits so long.
PATIENCE_S = 240


@contextmanager
def running(
    *words: str, said: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run one of our modules, and end it with the block.

    It paints with the stand-in unless the environment names another painter.

    Args:
        words: The module, and its arguments.
        said: File for its output.
        env: Changes to its environment.
    """
    painter = {"NIGHTSWEEP_PAINTER": "tests.stand_in:make_painter"}
    with (said or Path(os.devnull)).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", *words],
            env={**painter, **os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    with process:
        try:
            yield process
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE_S)
            hangs = process.poll() is None
            process.kill()
        assert not hangs  # not reached if the block raised


def at_terminal(
    *words: object, answer: str = "", columns: int = 80, is_piped: bool = False
) -> tuple[int, str]:
    """Run a command on its own terminal; return its exit code and its output there.

    Args:
        words: The command.
        answer: Text that is typed.
        columns: Width of the terminal.
        is_piped: Whether standard output is not the terminal.
    """
    screen, its = pty.openpty()
    termios.tcsetwinsize(its, (24, columns))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("COLUMNS", None)
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "nightsweep", *map(str, words)],
        stdin=its,
        stdout=subprocess.DEVNULL if is_piped else its,
        stderr=its,
        env=environment,
    ) as process:
        os.close(its)
        os.write(screen, answer.encode())
        said = b""
        while more := _read(screen):
            said += more
    os.close(screen)
    return process.returncode, said.decode().replace("\r\n", "\n")


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 4096)
    except OSError:  # the command has ended
        return b""


def wait_until(
    is_so: Callable[[], object], *, moving: Callable[[], object] = lambda: None
) -> None:
    """Wait until a condition holds, as long as there is progress.

    Args:
        is_so: The condition.
        moving: Returns a value that changes with progress; by default there is none.
    """
    seen, deadline = moving(), time.monotonic() + PATIENCE_S
    asked = time.thread_time()
    while not is_so():
        if time.monotonic() > deadline:
            before, seen = seen, moving()
            assert seen != before, f"nothing moved: {seen}"
            deadline = time.monotonic() + PATIENCE_S
        # What is waited for needs the cores more than the question does.
        time.sleep(max(0.02, 5 * (time.thread_time() - asked)))
        asked = time.thread_time()


def children() -> list[psutil.Process]:
    """Find the workers of this test; other tests may have some too."""
    return find_workers(Path(os.environ["NIGHTSWEEP_HOME"]))


def find_servers(folder: Path) -> list[psutil.Process]:
    """Find the Redis and Valkey servers that run in a folder."""
    found = []
    for process in psutil.process_iter(["name"]):
        with suppress(psutil.Error):  # it has ended
            is_server = process.info["name"] in PROGRAMS
            if is_server and process.cwd() == str(folder):
                found.append(process)
    return found


def find_workers(home: Path) -> list[psutil.Process]:
    """Find the running workers of a state folder, orphans included."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has ended
            if "workers.process.main" not in process.cmdline():
                continue
            if process.environ().get("NIGHTSWEEP_HOME") == str(home):
                found.append(process)
    return found
