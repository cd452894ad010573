"""The unix socket of the embedded server: where it is, and who answers there."""

import os
import socket
import stat
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.errors import QueueError
from storage.settings import Settings

if TYPE_CHECKING:
    from redis import Redis

#: The longest path that a unix socket can have on Linux and macOS, in bytes.
LONGEST_PATH = 103
#: Where the socket is if its path is too long: the same for all commands. TMPDIR is
#: different in each Slurm job, and XDG_RUNTIME_DIR goes when its user logs out.
SHORT_FOLDER = Path("/tmp")  # noqa: S108 - only a private folder in it is used
#: The longest path of a state folder that holds its socket itself, in bytes.
LONGEST_HOME = LONGEST_PATH - len("/redis/redis.sock")


def socket_path(settings: Settings) -> Path:
    """Return the socket's path: in the state folder, unless that is too long."""
    home = settings.home.resolve()
    if len(os.fsencode(home)) <= LONGEST_HOME:
        return home / "redis" / "redis.sock"
    name = sha256(os.fsencode(home)).hexdigest()[:16]
    return SHORT_FOLDER / f"nightsweep-{os.getuid()}-{name}" / "redis.sock"


def lies_in_home(settings: Settings) -> bool:
    """Return whether the state folder holds the socket itself."""
    return socket_path(settings).is_relative_to(settings.home.resolve())


def make_private(folder: Path) -> None:
    """Make a folder in `SHORT_FOLDER`, where somebody else may have made it first.

    Raises:
        QueueError: It is not the user's own, or cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        seen = folder.lstat()
        is_own = stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.getuid()
    except OSError:
        is_own = False
    if not is_own:
        msg = (
            f"The folder of the embedded Redis must be your own, but {folder} is not; "
            f"remove it, or set NIGHTSWEEP_HOME to a path of at most {LONGEST_HOME} "
            "bytes."
        )
        raise QueueError(msg)


def is_listening(path: Path) -> bool:
    """Return whether a process listens, though it may be too busy to answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            return False
        return True


def answers(path: Path) -> bool:
    """Return whether a server answers, and has loaded its queue."""
    return _ask(path, lambda client: client.ping()) is not None


def find_pid(path: Path) -> int | None:
    """Ask the server for its process id; None if no server answers."""
    info = _ask(path, lambda client: client.info("server"))
    return int(info["process_id"]) if info else None


def _ask(path: Path, act: Callable[["Redis"], Any]) -> Any:
    """Return the server's answer; None if there is none, or it is an error."""
    # Imported here: it costs a tenth of a second, and not every command asks.
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
    from redis.retry import Retry

    # By default it retries for seconds before it reports that no server is there.
    once = Retry(NoBackoff(), 0)
    client = Redis(unix_socket_path=str(path), socket_timeout=5, retry=once)
    with closing(client):
        try:
            return act(client)
        except (RedisError, ValueError):  # it may be no Redis that answers
            return None
