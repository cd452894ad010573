"""The command `nightsweep copy-store`: a database is copied into another one."""

import os
from contextlib import ExitStack, closing

import click

from producer.commands.vacuum import refuse_workers
from producer.display.messages import talk
from producer.options import program
from storage.errors import UsageError
from storage.settings import read_settings, without_password
from storage.sql.copying import copy_store
from storage.sql.database import Database, open_database, open_for_reading


@click.command(
    "copy-store",
    epilog="Example: nightsweep copy-store --to postgresql+psycopg://db/night",
)
@click.option(
    "--from",
    "source",
    metavar="URL",
    help="What to copy, as NIGHTSWEEP_DATABASE_URL names it.  [default: the database "
    "of the settings]",
)
@click.option(
    "--to",
    "target",
    metavar="URL",
    required=True,
    help="Where to: an empty database, or the path of a new SQLite file as "
    "sqlite:////folder/file.db.",
)
def copy_store_command(source: str | None, target: str) -> None:
    """Copy the database from SQLite to PostgreSQL, or back.

    All rows are copied in one transaction: interrupted, the command leaves the target
    empty. Both must have the schema of this nightsweep, and the target must be empty.
    No worker may live, and nobody may submit or rate meanwhile. Image files stay where
    they are, and belong to the copy, too. The settings stay: set
    NIGHTSWEEP_DATABASE_URL to use the copy.
    """
    source = _checked(source) if source else read_settings().database_url
    target = _checked(target)
    with ExitStack() as opened:
        here = opened.enter_context(closing(_open_source(source)))
        refuse_workers(here, "copied", again="copy-store")
        there = opened.enter_context(closing(_open_target(target, source)))
        counts = copy_store(here, there)
    for name, count in counts.items():
        if count:
            click.echo(f"{name}\t{count}")
    talk(
        f"Copied {sum(counts.values()):,} rows of {len(counts)} tables. To use the "
        f"copy, set NIGHTSWEEP_DATABASE_URL={without_password(target)} wherever "
        f"commands and workers start, then look at `{program()} status`."
    )


def _checked(url: str) -> str:
    """Return a URL that the settings would take, too."""
    return read_settings({**os.environ, "NIGHTSWEEP_DATABASE_URL": url}).database_url


def _open_source(url: str) -> Database:
    database = open_for_reading(url)
    if database is None:
        msg = (
            "A store must be there to be copied, but there is none at "
            f"{without_password(url)}; name another with --from."
        )
        raise UsageError(msg)
    return database


def _open_target(url: str, source: str) -> Database:
    if url == source:
        msg = (
            "A store must be copied to another database, but --from and --to are both "
            f"{without_password(url)}; name another with --to."
        )
        raise UsageError(msg)
    # An older schema is refused here; opening it to write would upgrade it.
    if found := open_for_reading(url):
        found.close()
    return open_database(url)
