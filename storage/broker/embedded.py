"""The embedded Redis: one private server per state folder, started when needed.

It listens on a unix socket only, keeps an append-only file, outlives the command that
started it (it is the queue), and is shared by every command of the same state folder.
The folder `redis` of the state folder holds

| file | what it is |
|---|---|
| `lock` | locked by a command while it starts or stops the server |
| `server` | locked by the server while it runs; says which server wrote the queue |
| `appendonlydir` or `appendonly.aof` | the queue, as the server keeps it |
| `set-aside` | the last queue that a server could not read |
| `redis.sock` | where it listens; in `/tmp` where that path is too long |
| `redis.log` | the server's log |
"""

import fcntl
import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

from storage.broker import append_only
from storage.broker.server_socket import (
    LONGEST_HOME,
    SHORT_FOLDER,
    answers,
    find_pid,
    is_listening,
    lies_in_home,
    make_private,
    socket_path,
)
from storage.broker.servers import Server, find_server
from storage.errors import QueueError
from storage.settings import Settings

log = logging.getLogger(__name__)

#: Seconds that a server may take to load a large queue, or to stop.
START_S = 60.0
#: Seconds that a server that does not listen may take to start listening, or to exit.
CHANGE_S = 10.0


def broker_url(settings: Settings) -> str:
    """Return the broker URL: the one that was set, else the embedded server's.

    Starts the embedded server if it is not running.

    Raises:
        QueueError: No usable server is installed, or it does not start, or it runs
            where this process cannot reach it.
    """
    if settings.redis_url:
        return settings.redis_url
    with _in_turn(settings) as lock:
        if not _is_alive(settings, lock):
            _start(settings, lock)
    return socket_url(settings)


def socket_url(settings: Settings) -> str:
    """Return the URL of the embedded server, running or not."""
    return f"redis+socket://{quote(str(socket_path(settings)))}?virtual_host=0"


def is_running(settings: Settings) -> bool:
    """Return whether the embedded server of this state folder answers."""
    return answers(socket_path(settings))


def refuse_out_of_reach(settings: Settings) -> None:
    """Refuse a server that runs but does not listen here; start and make nothing.

    A server that a command is starting is left to that command. One whose command was
    killed, or that is about to exit, gets time to listen or exit.

    Raises:
        QueueError: There is such a server.
    """
    folder = settings.home / "redis"
    deadline = time.monotonic() + CHANGE_S
    while not is_listening(socket_path(settings)):
        if _is_locked(folder / "lock") or not _is_locked(folder / "server"):
            return
        if time.monotonic() > deadline:
            raise _out_of_reach(settings)
        time.sleep(0.02)


def stop(settings: Settings) -> bool:
    """Stop the embedded server; return whether one was running. Its queue stays.

    Raises:
        QueueError: It does not stop, or it runs where this process cannot reach it.
    """
    with _in_turn(settings) as lock:
        if not _is_alive(settings, lock):
            return False
        pid = find_pid(socket_path(settings))
        if pid is None:
            raise _silent(settings)
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + START_S
        while is_listening(socket_path(settings)) or not _lock(lock):
            if time.monotonic() > deadline:
                msg = f"The embedded Redis (process {pid}) must stop, but does not."
                raise QueueError(msg)
            time.sleep(0.02)
        return True


@contextmanager
def _in_turn(settings: Settings) -> Iterator[TextIO]:
    """Wait for other commands; yield the file that a server locks while it runs."""
    settings.make_home()
    folder = settings.home / "redis"
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "lock").open("w") as turn, (folder / "server").open("a+") as lock:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield lock


def _is_alive(settings: Settings, lock: TextIO) -> bool:
    """Wait until a server answers, or none runs; then lock the file for the next one.

    Two servers would corrupt the queue that they share. So a server holds the lock
    until it exits, wherever it listens.

    Raises:
        QueueError: A server runs, but does not answer, or does not listen here.
    """
    path, heard = socket_path(settings), time.monotonic()
    deadline = heard + START_S
    while not answers(path):
        now = time.monotonic()
        if is_listening(path):  # it may be loading its queue, or about to exit
            heard = now
        elif _lock(lock):
            return False
        elif now > heard + CHANGE_S:
            raise _out_of_reach(settings)
        if now > deadline:
            raise _silent(settings)
        time.sleep(0.02)
    return True


def _lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(path: Path) -> bool:
    """Return whether another process has a file locked; make no file."""
    with suppress(FileNotFoundError), path.open() as file:
        return not _lock(file)
    return False


def _start(settings: Settings, lock: TextIO) -> None:
    server = find_server()
    if not lies_in_home(settings):
        make_private(socket_path(settings).parent)
    is_hidden = append_only.is_hidden_from(server, settings.home / "redis")
    if is_hidden or not _run(server, settings, lock):
        _start_empty(server, settings, lock)
    lock.truncate(0)
    lock.write(f"{server}\n")


def _start_empty(server: Server, settings: Settings, lock: TextIO) -> None:
    """Start without the queue that is there, if that queue is to blame."""
    folder = settings.home / "redis"
    if not append_only.is_there(folder):
        raise _silent(settings)
    aside = append_only.set_aside(folder)
    if not _run(server, settings, lock):
        append_only.put_back(folder)
        raise _silent(settings)
    lock.seek(0)
    writer = lock.read().strip() or "another server"
    log.warning(
        "%s cannot read the queue that %s left, which is now in %s; the jobs that are "
        "not made yet are sent again from SQL.",
        *(server, writer, aside),
        extra={"action": "queue_set_aside"},
    )


def _options(settings: Settings) -> list[str]:
    """Return the server's settings.

    They go on the command line: a server treats the path of a settings file as a
    pattern, and starts without settings if a folder is called `[x]`. It runs in its own
    folder, so that none of the user's paths is among them.
    """
    path = socket_path(settings)
    socket = path.name if lies_in_home(settings) else str(path)
    return [
        *("--port", "0"),
        *("--unixsocket", socket, "--unixsocketperm", "700"),
        *("--logfile", "redis.log"),
        *("--appendonly", "yes", "--save", ""),
        *("--maxmemory-policy", "noeviction"),
    ]


def _run(server: Server, settings: Settings, lock: TextIO) -> bool:
    """Start a server, and wait; return True once it answers, False if it has ended.

    It inherits the lock, and keeps it whatever becomes of this process.
    """
    process = subprocess.Popen(  # noqa: S603 - a path that find_server found
        [server.path, *_options(settings)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=settings.home / "redis",
        pass_fds=[lock.fileno()],
    )
    deadline = time.monotonic() + START_S
    while not answers(socket_path(settings)):
        if process.poll() is not None:
            return False
        if time.monotonic() > deadline:
            raise _silent(settings)
        time.sleep(0.005)
    process.returncode = 0  # it outlives this process on purpose: no warning
    return True


def _silent(settings: Settings) -> QueueError:
    return QueueError(
        "The embedded Redis must start and answer, but does not; "
        f"{settings.home / 'redis' / 'redis.log'} says why."
    )


def _out_of_reach(settings: Settings) -> QueueError:
    path = socket_path(settings)
    if lies_in_home(settings):
        why = "without that socket, which was deleted"
        way_out = f"end the process that has {settings.home / 'redis' / 'server'} open"
    else:
        why = f"in a service or a job that has a {SHORT_FOLDER} of its own"
        way_out = (
            "run `nightsweep down` there, and set NIGHTSWEEP_HOME to a path of at most "
            f"{LONGEST_HOME} bytes, so that it holds the socket itself"
        )
    return QueueError(
        f"The embedded Redis must listen at {path}, but it runs {why}; {way_out}."
    )
