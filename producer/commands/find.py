"""The command `nightsweep find`: images that a query describes."""

from pathlib import Path
from typing import Any

import click

from producer.commands.found_groups import list_groups
from producer.commands.found_images import list_images
from producer.completion import complete_columns
from producer.display.messages import talk
from producer.display.tables import TABLE_ROWS
from producer.query_options import QueryCommand, query_options
from storage.queries.terms import Query
from storage.store import Store


@click.command(
    cls=QueryCommand,
    epilog="Example: nightsweep find first-sweep scheduler:ddim steps:8..20 red circle",
)
@query_options()
@click.option(
    "--sort",
    metavar="COLUMN,...",
    shell_complete=complete_columns,
    help="Columns to sort by; -time begins with the slowest.  [default: as submitted]",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    help=f"Most rows to show.  [default: all, {TABLE_ROWS} on a terminal]",
)
@click.option(
    "--after-key",
    metavar="KEY",
    help="Begin after the row with this key: the next page.",
)
@click.option(
    "--columns",
    metavar="COLUMN,...",
    help="What to show of each, as queries name it.",
    shell_complete=complete_columns,
)
@click.option(
    "--group-by",
    metavar="COLUMN,...",
    shell_complete=complete_columns,
    help="Instead of images, show how many there are by these columns, with the mean "
    "and standard deviation of their seconds and scores, warm-ups left out.",
)
@click.option(
    "--percentiles",
    metavar="N,...",
    help="With --group-by: percentiles of the seconds and scores too: 50,95",
)
@click.option("--count", "form", flag_value="count", help="Only say how many.")
@click.option(
    "--paths",
    "form",
    flag_value="paths",
    help="Write only the files of finished images, with their folders, one a line.",
)
@click.option("--csv", "form", flag_value="csv", help="Write CSV instead of text.")
@click.option(
    "--json", "form", flag_value="json", help="Write JSON lines instead of text."
)
@click.option(
    "--parquet",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a Parquet file; needs `pip install 'nightsweep[export]'`.",
)
def find(query: Query, *, group_by: str | None, **asked: Any) -> None:
    """List images that a QUERY describes.

    A query is words of the prompt, and columns with values: steps:10..20, seed:0,3,
    time:..3, -state:failed. The options are short forms of columns. All conditions
    must hold. A name of a sweep at the beginning means that sweep. docs/querying.md
    has the language and all columns.

    Parameters in which the images differ, such as width or eta, get a column of their
    own. If a terminal has no room for a column, a line says so: paths need about 130
    characters. Paths are relative to the image folder, $NIGHTSWEEP_IMAGES. --json has
    the columns of the view `images` (for one sweep, of `sweep_images`). The exit code
    is 0 even if nothing matches.
    """
    with Store() as store:
        _tell_sweep_words(store, query)
        if group_by:
            list_groups(store, query, group_by, **asked)
        else:
            list_images(store, query, **asked)


def _tell_sweep_words(store: Store, query: Query) -> None:
    """Say which words of a query mean sweeps, since they might mean prompts."""
    for name in store.sweep_words(query):
        talk(f"{name} is a sweep here; prompt:{name} searches prompts.")
