"""What `nightsweep find --group-by` says: counts, means and spreads of groups."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from producer.commands.found_images import cell, write_csv
from producer.display.amounts import images
from producer.display.json_lines import write_json
from producer.display.messages import talk
from producer.display.tables import Column, write_table
from storage.errors import UsageError
from storage.queries.groups import Groups
from storage.queries.sorting import read_columns
from storage.queries.terms import Query
from storage.store import Store


def list_groups(  # noqa: PLR0913 - the options of `find`
    store: Store,
    query: Query,
    group_by: str,
    *,
    sort: str | None,
    limit: int | None,
    percentiles: str | None,
    form: str | None,
    **others: Any,
) -> None:
    """Write the groups of a query to standard output.

    Raises:
        UsageError: A column does not exist, or options do not go together.
    """
    _refuse_others(form, others)
    columns = read_columns(group_by)
    found = store.group(query, columns, percentiles=read_percentiles(percentiles))
    rows = _sorted(found.rows, sort)[:limit]
    names = [column.name for column in columns]
    if form == "json":
        write_json(rows)
    elif form == "csv":
        fields = found.rows[0] if found.rows else [*names, "n"]
        write_csv(rows, fields)
    else:
        write_table(rows, _columns(found.rows, names))
    _say(found, names)


def read_percentiles(text: str | None) -> list[float]:
    """Read percentiles, `50,95`.

    Raises:
        UsageError: One is no number from 0 to 100.
    """
    try:
        found = [float(each) for each in text.split(",")] if text else []
    except ValueError:
        found = [-1.0]
    if any(not 0 <= each <= 100 for each in found):
        msg = (
            f"--percentiles must be numbers from 0 to 100 such as 50,95, got {text!r}."
        )
        raise UsageError(msg)
    return found


def _refuse_others(form: str | None, others: Mapping[str, Any]) -> None:
    given = [name for name, value in others.items() if value]
    given += [form] if form in ("count", "paths") else []
    if given:
        option = f"--{given[0].replace('_', '-')}"
        msg = (
            f"--group-by shows groups, not images, got it with {option}; leave it out."
        )
        raise UsageError(msg)


def _sorted(rows: Sequence[dict[str, Any]], sort: str | None) -> list[dict[str, Any]]:
    """Sort groups by columns of theirs; `time` is its mean, and None comes last."""
    ordered = list(rows)
    for name in reversed(sort.split(",") if sort else []):
        is_turned, known = name.startswith("-"), name.strip().lstrip("-")
        column = known if rows and known in rows[0] else f"{known}_mean"
        if rows and column not in rows[0]:
            has = ", ".join(rows[0])
            msg = f"--sort must name a column of the groups ({has}), got {known!r}."
            raise UsageError(msg)
        with_value = [row for row in ordered if row[column] is not None]
        without = [row for row in ordered if row[column] is None]
        with_value.sort(key=lambda row: row[column], reverse=is_turned)
        ordered = with_value + without
    return ordered


def _columns(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Column]:
    shown = rows[0] if rows else {}
    return [
        Column(
            name=name.replace("_", " ") if name not in names else name,
            read=partial(_text, name=name),
            is_number=any(isinstance(row[name], int | float) for row in rows),
            narrowest=12 if name == "prompt" else None,
        )
        for name in shown
    ]


def _text(row: Mapping[str, Any], *, name: str) -> str:
    return cell(row[name])


def _say(found: Groups, names: Sequence[str]) -> None:
    count = sum(row["n"] for row in found.rows)
    groups = "1 group" if len(found.rows) == 1 else f"{len(found.rows):,} groups"
    talk(f"{images(count)} in {groups}." if count else "No image matches.")
    if len(found.gpus) > 1 and "gpu" not in names:
        talk(
            f"Warning: the times are of {len(found.gpus)} GPUs "
            f"({', '.join(found.gpus)}); add gpu to --group-by to keep them apart."
        )
