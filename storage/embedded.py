"""The embedded Redis: one private server per state folder, started when needed.

It listens on a unix socket only, keeps an append-only file, outlives the command that
started it (it is the queue), and is shared by every command of the same state folder.
"""

import fcntl
import os
import re
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from storage.errors import QueueError
from storage.servers import find_server
from storage.settings import Settings

#: Seconds that a server may take to load a large queue.
START_S = 60.0
#: The longest path that a unix socket can have on Linux and macOS.
SOCKET_PATH_BYTES = 103


def broker_url(settings: Settings) -> str:
    """Give the broker URL: the one that was set, else the embedded server's.

    Starts the embedded server if it is not running.

    Raises:
        QueueError: No usable redis-server is installed, or it does not start.
    """
    if settings.redis_url:
        return settings.redis_url
    with _locked(settings):
        path = socket_path(settings)
        if path.parent != settings.home / "redis":
            _make_private(path.parent)
        # One that listens and is busy, loading its queue perhaps, is waited for: two
        # servers would spoil the file that they share.
        server = None if _is_listening(path) else _start(settings, path)
        _wait_for(settings, path, server)
    return socket_url(settings)


def socket_url(settings: Settings) -> str:
    """Give the URL of the embedded server, running or not."""
    return f"redis+socket://{quote(str(socket_path(settings)))}?virtual_host=0"


def socket_path(settings: Settings) -> Path:
    """Give the socket's path: in the state folder, or nearer where that is too long."""
    path = settings.home / "redis" / "redis.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
        return path
    name = sha256(os.fsencode(settings.home)).hexdigest()[:16]
    # Not XDG_RUNTIME_DIR: that goes when its user logs out, for the night perhaps.
    folder = Path(tempfile.gettempdir()) / f"nightsweep-{os.getuid()}-{name}"
    return folder / "redis.sock"


def is_running(settings: Settings) -> bool:
    """Tell whether the embedded server of this state folder answers."""
    return _answers(socket_path(settings))


def stop(settings: Settings) -> bool:
    """Stop the embedded server; give whether one was running. Its queue stays.

    Raises:
        QueueError: It does not stop.
    """
    with _locked(settings):
        pid = _pid(socket_path(settings))
        if pid is None:
            return False
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + START_S
        while _is_listening(socket_path(settings)):
            if time.monotonic() > deadline:
                msg = f"The embedded Redis (process {pid}) must stop, but does not."
                raise QueueError(msg)
            time.sleep(0.02)
        return True


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    settings.make_home()
    folder = settings.home / "redis"
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_private(folder: Path) -> None:
    # It is in /tmp, where somebody else could have been first.
    folder.mkdir(mode=0o700, exist_ok=True)
    seen = folder.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid():
        msg = (
            f"The folder of the embedded Redis must be your own, but {folder} is not; "
            "remove it, or set NIGHTSWEEP_HOME to a shorter path."
        )
        raise QueueError(msg)


def _start(settings: Settings, path: Path) -> "subprocess.Popen[bytes]":
    folder = settings.home / "redis"
    config = folder / "redis.conf"
    config.write_text(
        "port 0\n"
        f'unixsocket "{path}"\n'
        "unixsocketperm 700\n"
        f'dir "{folder}"\n'
        f'logfile "{folder / "redis.log"}"\n'
        "appendonly yes\n"
        'save ""\n'
        "maxmemory-policy noeviction\n"
    )
    return subprocess.Popen(  # noqa: S603 - a path that find_server found
        [find_server().path, config],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=folder,
    )


def _wait_for(
    settings: Settings, path: Path, server: "subprocess.Popen[bytes] | None"
) -> None:
    deadline = time.monotonic() + START_S
    while not _answers(path):
        ended = server is not None and server.poll() is not None
        if ended or time.monotonic() > deadline:
            msg = (
                "The embedded Redis must start and answer, but does not; "
                f"{settings.home / 'redis' / 'redis.log'} says why."
            )
            raise QueueError(msg)
        time.sleep(0.005)
    if server is not None:
        server.returncode = 0  # it outlives this process on purpose: no warning


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            return False
        return True


def _answers(path: Path) -> bool:
    return _ask(path, b"PING\r\n").startswith(b"+PONG")


def _pid(path: Path) -> int | None:
    found = re.search(rb"process_id:(\d+)", _ask(path, b"INFO server\r\n"))
    return int(found[1]) if found else None


def _ask(path: Path, command: bytes) -> bytes:
    # A raw socket: redis-py takes seconds to say that a server is not there.
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        try:
            connection.connect(str(path))
            connection.sendall(command)
            return connection.recv(65536)
        except OSError:
            return b""
