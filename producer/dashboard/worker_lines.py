"""The lines of workers: what each does, and how its device is."""

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from producer.dashboard.view import TROUBLED, Line, View
from producer.display.tables import COLUMN_GAP, Column, table_lines
from producer.display.text_width import padded, shorten
from storage.fleet.progress import Worker

#: Columns from which on workers that do not fit stand in two halves.
TWO_HALVES = 170
#: Lines below which there is no heading.
LEAST_ROOM = 4


def worker_lines(view: View, *, width: int, room: int) -> list[Line]:
    """Return the heading, the workers that fit, and a line about the others.

    Workers that need a look come first if not all fit.
    """
    if not view.workers:
        where = f"Workers are at work on {', '.join(sorted(view.hosts))}."
        return [(where if view.hosts else "No worker is at work.", "")][:room]
    has_heading = room >= min(LEAST_ROOM, len(view.workers) + 1)
    fit = room - has_heading
    halves = 2 if len(view.workers) > fit and width >= TWO_HALVES else 1
    found = list(view.workers)
    if len(found) > halves * fit:
        fit = max(fit - 1, 0)  # for the line about the others
        found.sort(key=lambda one: not _is_troubled(one))
    shown, rest = found[: halves * fit], found[halves * fit :]
    hosts = {one.host for one in view.workers}
    lines = _table(shown, hosts, width, halves=halves)[0 if has_heading else 1 :]
    if rest:
        lines.append((_more(rest), "dim"))
    return lines[:room]


def _table(
    workers: Sequence[Worker], hosts: Collection[str], width: int, *, halves: int
) -> list[Line]:
    if halves == 1:
        heading, *rows = _rows(workers, hosts, width) or [""]
        styled = zip(rows, map(_style, workers), strict=True)
        return [(heading, "bold"), *styled]
    each = width // 2 - COLUMN_GAP
    middle = (len(workers) + 1) // 2
    both = (workers[:middle], workers[middle:])
    left, right = ([shorten(r, each) for r in _rows(w, hosts, each)] for w in both)
    gap = " " * 2 * COLUMN_GAP
    pairs = itertools.zip_longest(left, right, fillvalue="")
    lines = [f"{padded(a, each)}{gap}{b}".rstrip() for a, b in pairs]
    return [(line, "" if number else "bold") for number, line in enumerate(lines)]


def _rows(workers: Sequence[Worker], hosts: Collection[str], width: int) -> list[str]:
    """Return the heading and the rows of workers.

    Args:
        workers: Those to show.
        hosts: Their machines, and those of workers beside them. Names are unique on
            one machine only.
        width: Columns of a line.
    """
    rows = [
        {
            **asdict(one),
            "name": f"{one.host} {one.name}" if len(hosts) > 1 else one.name,
            "phase": _phase(one),
            "work": one.work,
            "condition": one.condition,
        }
        for one in workers
    ]
    columns = [
        _text("worker", "name", narrowest=12),
        Column(name="phase", read=lambda row: row["phase"]),
        _text("with", "work", narrowest=12),
        _text("condition", "condition", is_optional=True),
        _number("images/s", lambda row: _rate(row["images_per_s"])),
        _number("images", lambda row: f"{row['images']:,}"),
        _text("GPU", "gpu", narrowest=12, is_optional=True),
    ]
    return list(table_lines(rows, columns, width=width))


def _text(name: str, key: str, **rules: Any) -> Column:
    return Column(name=name, read=lambda row: row[key], cuts_middle=True, **rules)


def _number(name: str, read: Callable[[Mapping[str, Any]], str]) -> Column:
    return Column(name=name, read=read, is_number=True, is_optional=True)


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.2f}"


def _phase(one: Worker) -> str:
    return f"silent {one.silent_s:.0f} s" if one.is_silent else one.phase


def _is_troubled(one: Worker) -> bool:
    return one.is_silent or one.phase in TROUBLED


def _style(one: Worker) -> str:
    if _is_troubled(one):
        return "red"
    return "dim" if one.phase == "idle" else ""


def _more(workers: Sequence[Worker]) -> str:
    phases = Counter("silent" if one.is_silent else one.phase for one in workers)
    listed = ", ".join(f"{count} {phase}" for phase, count in phases.most_common())
    return f"{len(workers):,} more: {listed}"
