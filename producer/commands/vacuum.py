"""The command `nightsweep vacuum`: the space of deleted rows goes back."""

import click

from producer.display.amounts import size
from producer.display.messages import talk
from producer.options import program
from producer.submission.opening import opened_to_write
from storage.errors import UsageError
from storage.fleet.registry import living_backends
from storage.jobs.claims import leased_owners
from storage.settings import read_settings
from storage.sql.database import Database
from storage.sql.vacuum import size_bytes
from storage.sql.vacuum import vacuum as vacuum_database


@click.command(epilog="Example: nightsweep vacuum")
def vacuum() -> None:
    """Give the space that deleted rows left back to the disk.

    The tables are written anew, so nobody can use the database meanwhile, and a SQLite
    file needs as much free disk space again. It refuses while workers live. Image files
    are not touched: `rm` and `prune` remove these.
    """
    with opened_to_write(read_settings()) as database:
        _refuse_workers(database)
        before = size_bytes(database)
        vacuum_database(database)
        talk(f"The database had {size(before)}, and has {size(size_bytes(database))}.")


def _refuse_workers(database: Database) -> None:
    owners = leased_owners(database)
    if not owners and not living_backends(database):
        return
    msg = (
        "Workers must be at rest while the database is written anew, but some are "
        "alive or have jobs in hand; stop them, or wait until they are done, and give "
        f"`{program()} vacuum` again."
    )
    raise UsageError(msg)
