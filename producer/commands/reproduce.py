"""The command `nightsweep reproduce`: images made again, and compared."""

import heapq
import sys
from typing import Any

import click

from producer.display.json_lines import json_option
from producer.options import device_option
from producer.query_options import QueryCommand, query_options, split_key
from producer.reproduction.outcomes import Outcomes
from producer.reproduction.remaking import remade
from producer.reproduction.verdicts import LAST_BITS
from storage.errors import UsageError
from storage.jobs.records import Record
from storage.queries.answers import read_wanted
from storage.queries.parsing import refine
from storage.queries.terms import Query
from storage.settings import read_settings
from storage.store import Store


@click.command(
    cls=QueryCommand, epilog="Example: nightsweep reproduce first-sweep --sample 5"
)
@query_options("--state")
@click.option("--limit", type=click.IntRange(1), help="Most images to make.")
@click.option(
    "--sample",
    type=click.IntRange(1),
    help="Make N of them, drawn by their keys: the same for the same images.",
    metavar="N",
)
@click.option(
    "--as-made",
    is_flag=True,
    help="Make each in the row of a batch of the width that it was made in.",
)
@click.option(
    "--tolerance",
    type=click.IntRange(0, 255),
    default=LAST_BITS,
    help="Levels of 255 by which an image may differ if a recorded condition does.",
)
@device_option("Where to make them.")
@json_option
def reproduce(
    query: Query,
    *,
    limit: int | None,
    sample: int | None,
    as_made: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Make images again, here, and compare their pixels.

    QUERY is an image's key, or the beginning of it, or chooses images as for
    `nightsweep find`; without it, all images that are made are chosen. Each image is
    made alone, as a plain script makes it and as under `strict: true`. A stored image
    that was made in a batch, on another GPU or with other versions may differ from that
    in the last bits; the answer names what differs. Nothing is stored. The exit code is
    0 if all images are equal, or within the tolerance where a recorded condition
    differs; it is 1 if one is not, or cannot be made.
    """
    settings = read_settings()
    with Store(settings) as store:
        records = _choose(store, query, limit=limit, sample=sample)
        settings.make_home()
        outcomes = Outcomes(
            store,
            records,
            tolerance=asked["tolerance"],
            as_made=as_made,
            as_json=as_json,
        )
        log = settings.logs / "reproduction.log"
        remaking = remade(records, as_made=as_made, device=asked["device"], log=log)
        sys.exit(outcomes.run(remaking))


def _choose(
    store: Store, query: Query, *, limit: int | None, sample: int | None
) -> list[Record]:
    """Return the records of the images that are asked for, all of them made.

    Raises:
        UsageError: There are none.
    """
    names = {each["name"] for each in store.sweeps()}
    key, rest = split_key(query)
    if key and key not in names:
        query = refine(rest, key=_made_key(store, key))
    done = refine(query, state="done")
    keys = _keys(store, done, limit=limit, sample=sample)
    found = {record.key: record for record in store.records(keys)}
    return [found[key] for key in keys]


def _made_key(store: Store, key: str) -> str:
    row = store.show(key)
    if row["state"] != "done":
        reason = f" ({row['error']})" if row["error"] else ""
        msg = (
            f"an image must be done to be made again, but {key} is {row['state']}"
            f"{reason}; `nightsweep status` says how far its sweep is."
        )
        raise UsageError(msg)
    return str(row["key"])


def _keys(
    store: Store, which: Query, *, limit: int | None, sample: int | None
) -> list[str]:
    wanted = read_wanted(columns="key", limit=limit)
    keys = (str(row["key"]) for row in store.stream(which, wanted))
    # A key is a hash, so the least ones are a sample like any other.
    chosen = list(keys) if sample is None else heapq.nsmallest(sample, keys)
    if not chosen:
        msg = (
            "images must be done to be made again, but none that is done matches; "
            "`nightsweep find` lists them all."
        )
        raise UsageError(msg)
    return chosen
