"""Progress of sweeps by axis, what they cost so far, and which workers are active."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from storage.errors import UsageError
from storage.job import TORCH
from storage.jobs.sweeps import Sweep
from storage.sql.clocks import clock
from storage.sql.database import Database
from storage.sql.living_workers import SILENT_S
from storage.sql.schema import jobs, sweep_jobs, workers

#: Seconds of silence after which a worker is no longer shown.
GONE_S = 3600.0
#: In a worker's detail, between what it works with and how its device is.
SEPARATOR = " · "
#: How a worker's condition begins while it paints.
_ROWS = re.compile(r"(\d+) rows?, ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker process, as it last reported.

    Attributes:
        name: What people call it, `gpu0`.
        host: Its machine.
        gpu: Name of the GPU, or of the processor.
        backend: What it paints with.
        phase: What it does: `idle`, `loading`, `painting` and so on.
        detail: What it does that with: a model, mostly. While it paints, how wide its
            batch is and how its device is, too.
        images: Made since it was started.
        images_per_s: Its recent rate; None where that is unknown.
        in_hand: Steps done for the images that it is painting, as a count of images:
            0.5 is half of one.
        rows_run: Rows of its batches since it was started, call by call.
        rows_used: Those of them with a job.
        silent_s: Seconds since its last sign of life.
        seen_at: When that was, as ISO 8601 in UTC.
    """

    name: str
    host: str
    gpu: str
    backend: str = TORCH
    phase: str
    detail: str
    images: int
    images_per_s: float | None
    in_hand: float = 0.0
    rows_run: int = 0
    rows_used: int = 0
    silent_s: float
    seen_at: str = ""

    @property
    def is_silent(self) -> bool:
        """Whether its last report is old."""
        return self.silent_s > SILENT_S

    @property
    def work(self) -> str:
        """What it works with, or waits for: the first part of its detail."""
        return self.detail.partition(SEPARATOR)[0]

    @property
    def condition(self) -> str:
        """How wide its batch is, and how its device is; empty if it does not say."""
        return self.detail.partition(SEPARATOR)[2]

    @property
    def batch_rows(self) -> int:
        """How many images its batch has; 0 if it does not say."""
        found = _ROWS.match(self.condition)
        return int(found[1]) if found else 0


def list_workers(database: Database) -> list[Worker]:
    """Return the workers that gave a sign of life within the last hour."""
    shown = [*("name", "host", "gpu", "backend", "phase", "detail")]
    shown += ["images", "images_per_s", "in_hand", "rows_run", "rows_used"]
    columns = [workers.c[name] for name in shown]
    query = sa.select(*columns, workers.c.seen_at).order_by(
        workers.c.host, workers.c.name, workers.c.started_at
    )
    with database.read() as connection:
        rows = connection.execute(query).mappings().all()
        now_s = clock(connection)
    found = [
        Worker(
            **{name: row[name] for name in shown},
            silent_s=_since(row, now_s),
            seen_at=row["seen_at"],
        )
        for row in rows
    ]
    return [worker for worker in found if worker.silent_s < GONE_S]


#: The phases of a worker that pauses before it restarts, here and in older
#: versions, which may serve the same database.
_RESTARTING = ("backoff", "benched")


def able(workers: Iterable[Worker], host: str) -> list[Worker]:
    """Return the workers of a host that are neither silent nor restarting."""
    return [
        worker
        for worker in workers
        if worker.host == host
        and not worker.is_silent
        and worker.phase not in _RESTARTING
    ]


def worked_s(database: Database, sweep: Sweep) -> float:
    """Return the worker seconds that a sweep's images took, without loading."""
    query = (
        sa.select(sa.func.sum(jobs.c.total_s))
        .join(sweep_jobs, sweep_jobs.c.job_id == jobs.c.id)
        .where(sweep_jobs.c.sweep_id == sweep.id)
    )
    with database.read() as connection:
        return float(connection.execute(query).scalar() or 0.0)


#: Stands for all values of an axis that says nothing about a job.
ANY = "(any)"


def count_by(database: Database, sweep: Sweep, axis: str) -> dict[str, dict[str, int]]:
    """Count a sweep's jobs by state, for each value of an axis in order of display.

    Jobs that stand for several values come after those with one. Jobs about which the
    axis says nothing come last: it has no effect on them, or an earlier revision did
    not have it.

    Raises:
        UsageError: The sweep has no such axis.
    """
    if axis not in sweep.axes:
        msg = (
            f"--by must name an axis of {sweep.name} "
            f"({', '.join(sweep.axes) or 'it has none'}), got {axis!r}."
        )
        raise UsageError(msg)
    cell: Any = sweep_jobs.c.cell
    typed = (
        sa.type_coerce(cell, sa.JSON) if database.is_sqlite else sa.cast(cell, sa.JSON)
    )
    label = typed[axis].as_string().label("label")
    query = (
        sa.select(label, jobs.c.state, sa.func.count())
        .join(jobs, jobs.c.id == sweep_jobs.c.job_id)
        .where(sweep_jobs.c.sweep_id == sweep.id)
        .group_by(label, jobs.c.state)
    )
    with database.read() as connection:
        found = connection.execute(query).all()
    return _in_order(sweep.axes[axis], found)


def _in_order(labels: Sequence[str], found: Sequence[Any]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {label: {} for label in labels}
    others = {_named(label) for label, *_ in found} - counts.keys()
    counts |= {label: {} for label in sorted(others, key=lambda at: (at == ANY, at))}
    for label, state, count in found:
        # A list of labels may read like a single label.
        states = counts[_named(label)]
        states[state] = states.get(state, 0) + count
    return {label: states for label, states in counts.items() if states}


def _named(label: str | None) -> str:
    """Return what a job's label in a cell stands for: one label or a list of them."""
    if label is None:
        return ANY
    if not label.startswith("["):
        return label
    try:
        return ", ".join(map(str, json.loads(label)))
    except ValueError:
        return label


def _since(row: Any, now_s: float) -> float:
    return max(now_s - datetime.fromisoformat(row["seen_at"]).timestamp(), 0.0)
