"""What `nightsweep find` says of images: tables, lines, files of rows, or a count."""

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from producer.display.amounts import images
from producer.display.json_lines import open_row, write_json
from producer.display.messages import talk
from producer.display.tables import TABLE_ROWS, Column, write_table
from producer.display.text_width import terminal_width
from producer.spec.parameters import NUMBERS, shown_as
from storage.catalogue.pipeline_calls import PREFIX
from storage.catalogue.pipeline_calls import value_of as call_value
from storage.errors import UsageError
from storage.job import EXTRAS
from storage.queries import column_kinds
from storage.queries.answers import Wanted, read_wanted
from storage.queries.parsing import refine
from storage.queries.terms import Query
from storage.store import Store


def list_images(  # noqa: PLR0913 - the options of `find`
    store: Store,
    query: Query,
    *,
    sort: str | None,
    limit: int | None,
    after_key: str | None,
    columns: str | None,
    percentiles: str | None,
    form: str | None,
    parquet: Path | None,
) -> None:
    """Write what a query finds to standard output, or into a file.

    Raises:
        UsageError: A column does not exist, or options do not go together.
    """
    if percentiles:
        msg = "--percentiles are of groups, got no --group-by; add one."
        raise UsageError(msg)
    if form == "count":
        click.echo(store.count(query))
        return
    is_cut = limit is None and not form and not parquet and terminal_width() is not None
    wanted = read_wanted(
        sort=sort or "",
        limit=TABLE_ROWS if is_cut else limit,
        columns=columns or "",
        after=after_key or "",
    )
    if form == "paths":
        count = _write_paths(store, query, wanted)
    elif parquet:
        count = _write_parquet(store, query, wanted, file=parquet)
    elif form == "csv":
        count = write_csv(store.stream(query, wanted), store.fields(query, wanted))
    elif form == "json":
        count = write_json(map(open_row, store.stream(query, wanted)))
    else:
        count = _write_table(store, query, wanted)
    _say_count(store, count, is_cut=count == wanted.limit)


def write_csv(rows: Iterable[Mapping[str, Any]], fields: Iterable[str]) -> int:
    """Write rows as CSV below a heading; return their count."""
    writer = csv.DictWriter(sys.stdout, list(fields), lineterminator="\n")
    writer.writeheader()
    count = 0
    for row in rows:
        writer.writerow(row)
        count += 1
    sys.stdout.flush()  # before what follows on standard error
    return count


def _write_paths(store: Store, query: Query, wanted: Wanted) -> int:
    count = 0
    # A finished image has a path; a row is read once the file is complete.
    for row in store.stream(refine(query, state="done"), wanted):
        sys.stdout.write(f"{store.settings.images}/{row['path']}\n")
        count += 1
    sys.stdout.flush()
    return count


def _write_parquet(store: Store, query: Query, wanted: Wanted, *, file: Path) -> int:
    # Imported here: pyarrow is an extra.
    from producer.commands.parquet_file import write_parquet

    rows = store.stream(query, wanted)
    return write_parquet(rows, store.fields(query, wanted), file=file)


def _write_table(store: Store, query: Query, wanted: Wanted) -> int:
    if wanted.columns is not None:
        columns = [_asked_column(each) for each in wanted.columns]
    else:
        columns = [*columns_with(store.differing(query, limit=wanted.limit))]
    return write_table(store.stream(query, wanted), columns)


def cell(value: object) -> str:
    """Return a value for a table: nothing for None, four digits of a fraction."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def _asked_column(column: column_kinds.Column) -> Column:
    return Column(
        name=column.name,
        read=partial(_text, name=column.name),
        is_number=column.is_number,
        narrowest=None if column.is_number or column.name == "key" else 12,
    )


def _text(row: Mapping[str, Any], name: str) -> str:
    return cell(row[name])


IMAGE_COLUMNS = (
    Column(name="key", read=lambda row: row["key"][:8]),
    Column(name="prompt", read=lambda row: row["prompt"], narrowest=12),
    Column(
        name="scheduler",
        read=lambda row: row.get("scheduler_label") or row["scheduler"],
    ),
    Column(name="steps", read=lambda row: _text(row, "steps"), is_number=True),
    Column(
        name="seed",
        read=lambda row: _text(row, "seed"),
        is_number=True,
        is_optional=True,
    ),
    Column(
        name="guidance",
        read=lambda row: f"{row['guidance']:g}",
        is_number=True,
        is_optional=True,
    ),
    Column(name="state", read=lambda row: row["state"]),
    Column(
        name="seconds",
        read=lambda row: "" if row["total_s"] is None else f"{row['total_s']:.2f}",
        is_number=True,
        is_optional=True,
    ),
    Column(name="path", read=lambda row: _text(row, "path"), is_optional=True),
)


#: Where the columns go that only some tables have: after the steps.
_MORE_AT = 4
#: Parameters that jobs hold as digests. The cell has their names, where they are an
#: axis of the one sweep that is asked for.
_NAMED = frozenset({"image", "loras", "embeddings"})
#: Characters to which the long ones of these columns may be cut.
_NARROWEST = {"model": 12, "negative_prompt": 12, "tag": 8}


def columns_with(names: Iterable[str]) -> Sequence[Column]:
    """Return the columns for a table of images that also differ in these parameters."""
    more = [
        Column(
            name=name,
            read=partial(_parameter, name=name),
            is_number=name in NUMBERS,
            narrowest=_NARROWEST.get(name),
            cuts_middle=name == "model",
            is_optional=True,
        )
        for name in sorted(names, key=_NARROWEST.__contains__)  # long ones last
    ]
    return (*IMAGE_COLUMNS[:_MORE_AT], *more, *IMAGE_COLUMNS[_MORE_AT:])


def _parameter(row: Mapping[str, Any], *, name: str) -> str:
    if name.startswith(PREFIX):
        extras = json.loads(row["extras"])
        value = call_value(extras, name, pipeline=row["pipeline"])
        return "" if value is None else shown_as(value)
    if name not in EXTRAS:
        return _text(row, name)
    if name in _NAMED and (label := open_row(row).get("cell", {}).get(name)):
        return shown_as(label)
    value = json.loads(row["extras"]).get(name, EXTRAS[name])
    return str(value)[:8] if name == "image" else shown_as(value)


def _say_count(store: Store, count: int, *, is_cut: bool) -> None:
    if not count:
        talk(f"No image matches; {_name_sweeps(store)}.")
    elif is_cut:
        more = "a larger --limit shows more, if there are any"
        shown = "image" if count == 1 else images(count)
        talk(f"The first {shown}; {more}.")
    else:
        talk(f"{images(count)}.")


def _name_sweeps(store: Store) -> str:
    counts = [
        f"{each['name']} ({sum(each['jobs'].values()):,})" for each in store.sweeps()
    ]
    if not counts:
        return "nothing was submitted yet: `nightsweep run SPEC` makes a sweep"
    return f"the sweeps are {', '.join(counts)}"
