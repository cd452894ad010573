"""The lines of sweeps: a bar, counts, and when each is about to be done."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.cells import cell_len

from producer.dashboard.view import Line, Progress, View
from producer.display.tables import COLUMN_GAP, Column, table_lines
from producer.running.sweep_state import describe_counts
from storage.sql.schema import JOB_STATES

#: Columns of a bar: at the least, and at the most.
LEAST_BAR, MOST_BAR = 8, 60
#: Seconds of a year.
YEAR_S = 365 * 86_400
#: Lines below which there is no heading.
LEAST_ROOM = 4
#: Columns to which names may be cut.
NAME_WIDTH = 16


def sweep_lines(view: View, *, width: int, room: int) -> list[Line]:
    """Return the heading, the sweeps that fit, and a line about the others."""
    if not view.sweeps:
        return [("No sweep was submitted yet.", "")][:room]
    has_heading = room >= min(LEAST_ROOM, len(view.sweeps) + 1)
    fit = room - has_heading
    if view.others or len(view.sweeps) > fit:
        fit = max(fit - 1, 0)  # for the line about the others
    shown, rest = view.sweeps[:fit], view.sweeps[fit:]
    heading, *rows = sweep_rows(shown, view.at, width=width) or [""]
    lines = [(heading, "bold")] if has_heading else []
    lines += zip(rows, map(_style, shown), strict=True)
    if rest or view.others:
        states = Counter(view.others_by_state)
        for one in rest:
            states.update({state: getattr(one.now, state) for state in JOB_STATES})
        said = f"{len(rest) + view.others:,} more: {describe_counts(states)}"
        lines.append((said, "dim"))
    return lines[:room]


def _style(one: Progress) -> str:
    if one.now.state != "active":
        return "yellow"
    return "" if one.now.is_open else "dim"


def sweep_rows(shown: Sequence[Progress], at: datetime, *, width: int) -> list[str]:
    """Return the heading and the rows of sweeps; bars take the room that is left."""
    rows = [{"one": one, "now": one.now, "at": at} for one in shown]
    first, *others = _columns()
    without = table_lines(rows, [first, *others], width=width - LEAST_BAR - COLUMN_GAP)
    spare = width - COLUMN_GAP - max(map(cell_len, without), default=0)
    bar = min(max(spare, LEAST_BAR), MOST_BAR)
    bars = Column(name="", read=lambda row: _bar(row["one"], bar))
    return list(table_lines(rows, [first, bars, *others], width=width))


def _columns() -> list[Column]:
    return [
        Column(
            name="sweep",
            read=lambda row: row["now"].sweep,
            narrowest=NAME_WIDTH,
            cuts_middle=True,
        ),
        _number("%", lambda row: _percent(row["one"])),
        _number("made", lambda row: f"{row['now'].done:,}"),
        _number("of", lambda row: f"{row['now'].total:,}"),
        _number("failed", lambda row: _failed(row["one"])),
        _number("images/s", lambda row: _rate(row["one"])),
        Column(name="done about", read=lambda row: _ends(row["one"], row["at"])),
    ]


def _number(name: str, read: Callable[[Mapping[str, Any]], str]) -> Column:
    return Column(name=name, read=read, is_number=True)


def _bar(one: Progress, width: int) -> str:
    full = int(_share(one) * width)
    return "━" * full + "─" * (width - full)


def _percent(one: Progress) -> str:
    return f"{int(100 * _share(one))} %"  # not 100 before the end


def _share(one: Progress) -> float:
    return min(one.ended / one.now.total, 1.0) if one.now.total else 0.0


def _failed(one: Progress) -> str:
    failed = one.now.failed + one.now.quarantined
    return f"{failed:,}" if failed else ""


def _ends(one: Progress, at: datetime) -> str:
    if one.now.state != "active":
        return one.now.state
    if not one.now.is_open:
        return "finished"
    if one.left_s is not None:
        return clock(at, one.left_s)
    return "under way" if one.now.leased else "waits"


def _rate(one: Progress) -> str:
    return f"{one.images_per_s:.2f}" if one.images_per_s else ""


def clock(at: datetime, seconds: float) -> str:
    """Return when it is so many seconds later: `16:51`, `Sun 06:40`, `12 Dec 06:40`."""
    if seconds > YEAR_S:
        return "in over a year"
    then = at + timedelta(seconds=seconds)
    days = (then.date() - at.date()).days
    if not days:
        return f"{then:%H:%M}"
    return f"{then:%a %H:%M}" if days < 7 else f"{then:%d %b %H:%M}"
