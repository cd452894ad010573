"""One worker per GPU of a machine, whoever starts it: a lock by the GPU's own id.

The supervisor holds it, and hands it on to the worker: so it is free again, by the
kernel's doing, when both are gone, however they ended.
"""

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path

from storage.errors import DeviceError

#: Where all users and state folders of a machine meet, whatever TMPDIR says.
FOLDER = Path("/tmp")  # noqa: S108 - opened to read only, and never through a link
#: Everybody may open it to lock it. The sticky bit keeps systemd from tidying it up.
MODE = 0o1644


class GpuLock:
    """The right to serve a GPU; it belongs to this process from `take` on."""

    def __init__(self, uuid: str) -> None:
        """Take nothing yet; `uuid` is the GPU's own id, whatever its number."""
        self._path = FOLDER / f"nightsweep-{re.sub(r'[^0-9A-Za-z-]', '_', uuid)}.lock"
        self.file: int | None = None

    def take(self) -> bool:
        """Take it if it is free; tell whether it is held.

        Raises:
            DeviceError: The lock file cannot be opened.
        """
        if self.file is None:
            file = self._open()
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
            else:
                self.file = file
        return self.file is not None

    def release(self) -> None:
        """Let others take it, when the worker is gone too."""
        if self.file is not None:
            os.close(self.file)
            self.file = None

    def _open(self) -> int:
        flags = os.O_RDONLY | os.O_NOFOLLOW
        try:
            # Without O_CREAT first: it fails for another user's file.
            try:
                return os.open(self._path, flags)
            except FileNotFoundError:
                file = os.open(self._path, flags | os.O_CREAT, MODE)
                with suppress(PermissionError):  # another user was first
                    os.fchmod(file, MODE)  # whatever the umask
                return file
        except OSError as exc:
            msg = (
                f"Everybody must be able to open the lock of a GPU, but {self._path} "
                f"gives: {exc.strerror}; remove it when no worker runs."
            )
            raise DeviceError(msg) from exc
