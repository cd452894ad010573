"""The command `nightsweep open`: images in the system's own viewer."""

from pathlib import Path

import click

from producer.commands.image_files import ImageCommand
from producer.commands.show import MOST_SHOWN, find_keys
from producer.display.messages import talk
from producer.options import program
from producer.query_options import query_options
from storage.errors import UsageError
from storage.queries.terms import Query
from storage.store import Store


@click.command("open", cls=ImageCommand, epilog="Example: nightsweep open 4b0cf3fc")
@query_options("--state")
def open_command(query: Query) -> None:
    """Open an image, or a few, in the system's viewer.

    QUERY is as for `nightsweep show`. Where there is no viewer, it prints the files.
    """
    with Store() as store:
        keys = find_keys(store, query, most=MOST_SHOWN)
        files = [_file_of(store, key) for key in keys]
    for file in files:
        if click.launch(str(file)):
            click.echo(file)
            talk(
                "This machine has no viewer that can be opened from here; "
                f"`{program()} view` shows images in a browser, also over ssh."
            )


def _file_of(store: Store, key: str) -> Path:
    row = store.show(key)
    if row["file"] and Path(row["file"]).is_file():
        return Path(row["file"])
    if row["file"] and (copy := store.path(row["key"])).is_file():  # from a bucket
        return copy
    gone = f"it is {row['state']}"
    way_out = f"`{program()} status` says how far its sweep is"
    if row["file"]:
        gone = f"{row['file']} is not there"
        way_out = f"`{program()} verify --repair` makes lost images again"
    elif row["state"] == "evicted":
        way_out = f"`{program()} retry {key} --evicted` makes it again"
    msg = f"an image must be made to be opened, but {row['key']}: {gone}; {way_out}."
    raise UsageError(msg)
