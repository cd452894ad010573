"""The append-only file of the embedded server, and how an unreadable one is set aside.

A server program reads what its older versions wrote, but not always what other programs
wrote: Valkey does not read the file of Redis 8, nor does Redis read that of Valkey 9.
"""

import shutil
from pathlib import Path

from storage.broker.servers import Server

#: Its names: a file before Redis 7, a folder since.
QUEUE_FILES = ("appendonly.aof", "appendonlydir")
#: The first version that looks into the folder; older ones ignore it and start empty.
SEES_FOLDER = (7,)
#: The folder for the last append-only file that was set aside.
ASIDE = "set-aside"


def is_there(folder: Path) -> bool:
    """Return whether a server's folder holds an append-only file."""
    return any((folder / name).exists() for name in QUEUE_FILES)


def is_hidden_from(server: Server, folder: Path) -> bool:
    """Return whether a server would silently ignore the file that is there."""
    return server.version < SEES_FOLDER and (folder / QUEUE_FILES[1]).exists()


def set_aside(folder: Path) -> Path:
    """Move the file into `ASIDE`, in place of an earlier one; return that folder."""
    aside = folder / ASIDE
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(mode=0o700)
    _move(folder, aside)
    return aside


def put_back(folder: Path) -> None:
    """Undo `set_aside`, while no server runs."""
    _move(folder / ASIDE, folder)


def _move(source: Path, target: Path) -> None:
    for name in QUEUE_FILES:
        if not (source / name).exists():
            continue
        if (target / name).is_dir():
            shutil.rmtree(target / name)
        (source / name).replace(target / name)
