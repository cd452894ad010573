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
        refuse_workers(database, "written anew", again="vacuum")
        before = size_bytes(database)
        vacuum_database(database)
        talk(f"The database had {size(before)}, and has {size(size_bytes(database))}.")


def refuse_workers(database: Database, what: str, *, again: str) -> None:
    """Refuse to go on while workers use the database.

    Args:
        database: Where workers would be.
        what: What happens to the database, as a participle.
        again: The command to give later.

    Raises:
        UsageError: A worker is alive, or has jobs in hand.
    """
    owners = leased_owners(database)
    if not owners and not living_backends(database):
        return
    msg = (
        f"Workers must be at rest while the database is {what}, but some are "
        "alive or have jobs in hand; stop them, or wait until they are done, and give "
        f"`{program()} {again}` again."
    )
    raise UsageError(msg)
