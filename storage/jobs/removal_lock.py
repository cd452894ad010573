"""The lock between those who remove files of evicted images and those who restore them.

A file is removed after SQL said `evicted`. If somebody asked for the image again in
between, and a worker made it, the new file would go. Whoever asks for evicted images
holds this lock, and so does whoever removes files.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from storage.errors import DatabaseError
from storage.host.file_locks import held
from storage.sql.database import Database

#: What the name of the lock's file ends with; it lies beside the database.
ENDING = "-removals"


@contextmanager
def removal_lock(database: Database) -> Iterator[None]:
    """Hold the lock; wait while others hold it.

    On SQLite it is a file beside the database, which all processes that use it share.
    So files go without a transaction, for which workers would wait. On PostgreSQL it is
    nothing: there, the rows of the jobs are locked, which no worker waits for.

    Raises:
        DatabaseError: The lock cannot be taken.
    """
    if not database.is_sqlite:
        yield
        return
    file = Path(f"{database.engine.url.database}{ENDING}")
    with ExitStack() as stack:
        try:
            stack.enter_context(held(file))
        except OSError as exc:
            msg = (
                f"The folder of the database must take files and locks, but {file} "
                f"gives: {exc.strerror}; check its mode and its disk."
            )
            raise DatabaseError(msg) from exc
        yield
