"""The screen of `status`: unfinished sweeps first, workers always in sight."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from producer.display.amounts import duration
from producer.display.tables import Column, make_table
from producer.display.text_width import plain
from producer.running.sweep_state import (
    Standing,
    describe,
    describe_counts,
    describe_notes,
)
from storage.fleet.progress import Worker
from storage.host.worker_ids import host_of
from storage.jobs.sweeps import UNMADE, Sweep
from storage.sql.schema import JOB_STATES

if TYPE_CHECKING:
    from rich.console import RenderableType

#: How many sweeps with nothing left to make are shown all the same, the newest.
NEWEST = 3
#: Rows of either table that are shown however small the screen is.
LEAST_ROWS = 2
#: Characters of a sweep's name that are kept at the cost of other columns.
SWEEP_NAME_WIDTH = 20


def choose(
    sweeps: Sequence[Sweep], counts: Mapping[int, Mapping[str, int]]
) -> tuple[list[Sweep], list[Sweep]]:
    """Choose the sweeps to show.

    Args:
        sweeps: All of them, the oldest first.
        counts: Jobs by state, by the row of their sweep.

    Returns:
        Sweeps with something left to make, the most urgent first, and the newest of the
        others; then those that are left out.
    """
    urgent, over = list[Sweep](), list[Sweep]()
    for one in sweeps:
        unmade = _count_unmade(counts.get(one.id, {}))
        is_cut_off = one.submitting is not None
        is_open = (unmade > 0 or is_cut_off) and one.state != "cancelled"
        (urgent if is_open else over).append(one)
    urgent.sort(key=lambda one: (one.state == "paused", one.priority, one.id))
    over.reverse()
    cancelled = [one for one in over if one.state == "cancelled"]
    ended = [one for one in over if one.state != "cancelled"]
    return [*urgent, *ended[:NEWEST]], [*ended[NEWEST:], *cancelled]


def describe_folded(
    sweeps: Sequence[Sweep], counts: Mapping[int, Mapping[str, int]]
) -> str:
    """Sum up in a line the sweeps that are left out."""
    states: Counter[str] = Counter()
    for one in sweeps:
        states.update(counts.get(one.id, {}))
    is_one = len(sweeps) == 1
    more = "1 more sweep" if is_one else f"{len(sweeps):,} more sweeps"
    return (
        f"{more}: {describe_counts(states)}; --all shows {'it' if is_one else 'them'}."
    )


def sweeps_table(
    standings: Sequence[Standing], hours: Sequence[float], *, width: int
) -> "RenderableType":
    """Return the table of sweeps, which fits into `width` if that is possible."""
    rows = [
        {**asdict(one), "gpu_hours": spent}
        for one, spent in zip(standings, hours, strict=True)
    ]
    states = shown_states(rows)
    narrowest = min(SWEEP_NAME_WIDTH, width // 4)
    columns = [
        Column(name="sweep", read=_label, narrowest=narrowest, cuts_middle=True),
        *(
            number_column("images" if s == "total" else s, s)
            for s in ("total", *states)
        ),
        Column(
            name="owner", read=lambda row: plain(row["owner"] or ""), is_optional=True
        ),
        Column(
            name="images/s",
            read=lambda row: f"{row['images_per_s']:.2f}",
            is_number=True,
            is_optional=True,
        ),
        Column(name="left", read=lambda row: duration(row["eta_s"]), is_number=True),
        Column(
            name="GPU-hours",
            read=lambda row: f"{row['gpu_hours']:.2f}",
            is_number=True,
            is_optional=True,
        ),
    ]
    return make_table(rows, columns, width=width)


def notes(standings: Sequence[Standing]) -> Iterator[str]:
    """Yield why sweeps are paused or incomplete, their scores, and what holds them."""
    for one in standings:
        yield from map(plain, describe_notes(one))
        for blocked in one.blocked:
            yield plain(f"{one.sweep}: {describe(blocked)}")


def workers_table(
    workers: Sequence[Worker], owners: set[str], *, width: int
) -> "RenderableType":
    """Return the table of workers, or a sentence if none said what it does."""
    if not workers:
        return _at_work(owners)
    rows = [{**asdict(one), "is_silent": one.is_silent} for one in workers]
    columns = [
        _text_column("worker", "name", narrowest=6),
        _text_column("host", "host", narrowest=8, is_optional=True),
        _text_column("GPU", "gpu", narrowest=12, is_optional=True),
        Column(name="phase", read=lambda row: row["phase"]),
        _text_column("with", "detail", narrowest=12),
        number_column("images", "images"),
        Column(name="images/s", read=_rate, is_number=True),
        Column(name="", read=_silence),
    ]
    return make_table(rows, columns, width=width)


def more_workers(workers: Sequence[Worker]) -> str:
    """Say in a line what the workers that are not shown do."""
    phases = Counter(
        "silent" if one.is_silent else one.phase for one in workers
    ).most_common()
    listed = ", ".join(f"{count} {phase}" for phase, count in phases)
    return f"{len(workers)} more: {listed}; --workers shows them."


def number_column(name: str, key: str) -> Column:
    """Return a column of counts."""
    return Column(name=name, read=lambda row: f"{row[key]:,}", is_number=True)


def shown_states(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the states to show; rare ones only if a job has them."""
    return [
        state
        for state in JOB_STATES
        if state not in ("quarantined", "evicted") or any(row[state] for row in rows)
    ]


def rows_for_workers(height: int | None, workers: int) -> int:
    """Return the rows that workers have on a screen: half of it at the most."""
    if height is None:
        return workers
    most = max(height // 2 - 2, LEAST_ROWS)
    return workers if workers <= most else most - 1


def lines_of(texts: Sequence[str], width: int) -> int:
    """Return about how many lines texts take at a width."""
    return sum(max(math.ceil(len(text) / width), 1) for text in texts)


def _count_unmade(states: Mapping[str, int]) -> int:
    return sum(states.get(state, 0) for state in UNMADE)


def _label(row: Mapping[str, Any]) -> str:
    name, state = row["sweep"], row["state"]
    return str(name) if state == "active" else f"{name} ({state})"


def _text_column(name: str, key: str, **rules: Any) -> Column:
    return Column(name=name, read=lambda row: row[key], cuts_middle=True, **rules)


def _rate(row: Mapping[str, Any]) -> str:
    rate = row["images_per_s"]
    return "" if rate is None else f"{rate:.2f}"


def _silence(row: Mapping[str, Any]) -> str:
    return f"silent for {row['silent_s']:.0f} s" if row["is_silent"] else ""


def _at_work(owners: set[str]) -> str:
    if not owners:
        return "No worker is at work."
    hosts = sorted(set(map(host_of, owners)))
    workers = "1 worker is" if len(owners) == 1 else f"{len(owners)} workers are"
    return f"{workers} at work on {', '.join(hosts)}."
