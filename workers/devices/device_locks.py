"""One worker per placement, whoever starts it: a lock on a file.

A GPU's lock is named after the GPU's own id, and is shared by all users and state
folders of a machine. A CPU worker's lock is in the state folder. The supervisor holds
the lock and passes it on to the worker, so the kernel frees it when both are gone,
however they ended.
"""

import fcntl
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from storage.errors import DeviceError

#: Where all users and state folders of a machine meet, whatever TMPDIR says.
FOLDER = Path("/tmp")  # noqa: S108 - opened to read only, and never through a link
#: Everybody may open it to lock it. The sticky bit keeps systemd from tidying it up.
MODE = 0o1644


@dataclass(slots=True)
class DeviceLock:
    """The right to serve a placement; it belongs to this process from `take` on.

    Attributes:
        path: The file.
        file: Its descriptor as long as the lock is held, else None.
    """

    path: Path
    file: int | None = field(default=None, compare=False)

    def take(self) -> bool:
        """Take the lock if it is free; return whether this process holds it.

        Raises:
            DeviceError: The lock file cannot be opened.
        """
        if self.file is None:
            try:
                self.file = _locked(self.path)
            except OSError as exc:
                msg = (
                    "Whoever starts a worker must be able to lock its GPU or core, but "
                    f"{self.path} gives: {exc.strerror}; remove it when no worker runs."
                )
                raise DeviceError(msg) from exc
        return self.file is not None

    def release(self) -> None:
        """Release the lock; others can take it once the worker is gone too."""
        if self.file is not None:
            os.close(self.file)
            self.file = None


def gpu_lock(uuid: str) -> DeviceLock:
    """Return the lock of the GPU with this id, not taken yet, whatever its number."""
    return DeviceLock(FOLDER / f"nightsweep-{re.sub(r'[^0-9A-Za-z-]', '_', uuid)}.lock")


def cpu_lock(folder: Path, name: str) -> DeviceLock:
    """Return the lock of a placement on the CPU, not taken yet.

    Args:
        folder: Where the locks of one state folder are.
        name: What the worker on it is called.
    """
    return DeviceLock(folder / f"{name}.lock")


def _locked(path: Path) -> int | None:
    """Open a file and lock it; None where another process has the lock."""
    file = _open(path)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    except OSError:
        os.close(file)
        raise
    return file


def _open(path: Path) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW
    # Without O_CREAT first: with it, opening another user's file fails.
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        file = os.open(path, flags | os.O_CREAT, MODE)
        with suppress(PermissionError):  # another user was first
            os.fchmod(file, MODE)  # whatever the umask
        return file
