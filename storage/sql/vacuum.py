"""Vacuum: the space of deleted rows goes back to the disk."""

import sqlalchemy as sa

from storage.sql.database import Database
from storage.sql.faults import translated


def vacuum(database: Database) -> None:
    """Write the tables anew without gaps; nobody else can use them meanwhile.

    SQLite needs free disk space of twice the size of the file.

    Raises:
        DatabaseError: The database cannot be reached, is in use, or the disk is full.
    """
    level = {} if database.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
    # Within a transaction, neither database allows it.
    options = {**level, "nightsweep_no_transaction": True}
    engine = database.engine.execution_options(**options)
    with translated(engine), engine.connect() as connection:
        if database.is_sqlite:
            connection.exec_driver_sql("VACUUM")
            # Else the write-ahead log keeps the size of the whole file.
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").close()
        else:
            connection.exec_driver_sql("VACUUM (FULL, ANALYZE)")


def size_bytes(database: Database) -> int:
    """Return how much of the disk the database takes, its logs aside.

    Raises:
        DatabaseError: The database cannot be read.
    """
    with database.read() as connection:
        if not database.is_sqlite:
            size = sa.func.pg_database_size(sa.func.current_database())
            return int(connection.execute(sa.select(size)).scalar_one())
        pages, page = (
            int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
            for name in ("page_count", "page_size")
        )
        return pages * page
