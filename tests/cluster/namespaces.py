"""Linux namespaces: a network and a name for each host, on one machine."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: What a host has of its own: its network devices, and its name.
NETWORK = 0x40000000
NAME = 0x04000000
#: The folder of the calling thread's namespaces.
OWN = Path("/proc/thread-self/ns")

_libc = ctypes.CDLL(None, use_errno=True)


class Namespaces:
    """The network and the name of one host.

    Both belong to a thread, and processes that it starts inherit them. They last as
    long as a process is in them, or until `close`.
    """

    def __init__(self, name: str) -> None:
        """Make them. This needs root."""
        with _returning():
            _call("unshare", NETWORK | NAME)
            _call("sethostname", name.encode(), len(name))
            self._files = [os.open(OWN / kind, os.O_RDONLY) for kind in ("net", "uts")]

    @property
    def network_id(self) -> int:
        """The inode by which the system knows the network."""
        return os.fstat(self._files[0]).st_ino

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Have the calling thread, and what it starts, in the host."""
        with _returning():
            for file in self._files:
                _call("setns", file, 0)
            yield

    def close(self) -> None:
        """Let go of them."""
        for file in self._files:
            os.close(file)


@contextmanager
def _returning() -> Iterator[None]:
    """Bring the thread back to where it is."""
    files = [os.open(OWN / kind, os.O_RDONLY) for kind in ("net", "uts")]
    try:
        yield
    finally:
        for file in files:
            _call("setns", file, 0)
            os.close(file)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
