"""Backups: a copy of a SQLite file, made before its schema is upgraded.

A server has none: its way is `pg_dump`.
"""

import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from sqlalchemy.engine import Connection

from storage.errors import DatabaseError
from storage.host.atomic_writes import replacing

#: Copies beside a database that are kept: the new one, and those of the schemas before.
KEPT = 3


def copy_before_upgrade(connection: Connection, path: Path, *, revision: str) -> Path:
    """Copy a SQLite file, and return the copy: `nightsweep-0019.db`.

    It replaces an earlier copy of the same schema, and is never there in part. Of those
    of older schemas, the oldest go.

    Args:
        connection: One that has the write lock and has written nothing yet.
        path: The file.
        revision: Its schema.

    Raises:
        DatabaseError: The copy cannot be written; most likely the disk is full.
    """
    copy = _copy_of(path, revision)
    try:
        _refuse_full_disk(connection, path)
        with replacing(copy) as fresh:
            _copy(path, fresh)
            _remove(copy)
    except (OSError, sqlite3.Error) as exc:
        raise _not_copied(path, str(exc)) from exc
    every = path.parent.glob(_copy_of(path, "[0-9]" * 4).name)
    # Not those of newer schemas, or somebody's own `nightsweep-2026.db`.
    for old in sorted(each for each in every if each <= copy)[:-KEPT]:
        with suppress(OSError):
            _remove(old)
    return copy


def _copy_of(path: Path, revision: str) -> Path:
    return path.with_name(f"{path.stem}-{revision}{path.suffix}")


def _copy(path: Path, fresh: Path) -> None:
    """Copy a file by SQLite's backup, which reads what its log holds, too.

    One step copies everything, so it is one state, whatever others write meanwhile.
    """
    with closing(sqlite3.connect(path)) as source, closing(_opened(fresh)) as target:
        source.backup(target)
    shutil.copymode(path, fresh)


def _opened(fresh: Path) -> sqlite3.Connection:
    target = sqlite3.connect(fresh)
    # A kill leaves no journal beside it, and nobody needs one to read it so far.
    target.execute("PRAGMA journal_mode = MEMORY")
    target.execute("PRAGMA synchronous = FULL")
    return target


def _remove(copy: Path) -> None:
    """Remove a copy, and first what SQLite left beside it when somebody opened it."""
    for end in ("-wal", "-shm", ""):
        copy.with_name(copy.name + end).unlink(missing_ok=True)


def _refuse_full_disk(connection: Connection, path: Path) -> None:
    pages, page = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
        for name in ("page_count", "page_size")
    )
    needed, free = pages * page, shutil.disk_usage(path.parent).free
    if free < needed:
        raise _not_copied(path, f"it needs {needed:,} bytes, and {free:,} are free")


def _not_copied(path: Path, why: str) -> DatabaseError:
    return DatabaseError(
        "A database must be copied before its schema is upgraded, but a copy beside "
        f"{path} cannot be written: {why}; make room there and start this again. "
        "Nothing was changed."
    )
