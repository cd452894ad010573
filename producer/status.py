"""The command `nightsweep status`: how far sweeps are, and who is at work."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from producer.amounts import duration
from producer.json_lines import open_label, write_json
from producer.opening import opened_to_read
from producer.tables import plain, text_console
from producer.watch import Standing, describe, standing
from storage import sweeps
from storage.claims import leased_owners
from storage.database import Database
from storage.errors import DatabaseError, UsageError
from storage.owners import host_of
from storage.progress import Worker, count_by, list_workers, worked_s
from storage.schema import JOB_STATES
from storage.settings import read_settings
from storage.sweeps import Sweep

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

#: Seconds between two looks at the database; where one takes long, ten times that.
LOOK_S = 2.0
SECONDS_PER_HOUR = 3600


@click.command(epilog="Example: nightsweep status --watch")
@click.option(
    "--sweep",
    "names",
    metavar="NAME",
    multiple=True,
    help="Only this sweep. Repeatable.  [default: all]",
)
@click.option("--by", metavar="AXIS", help="Count the jobs of each value of an axis.")
@click.option("--workers", is_flag=True, help="Only the workers.")
@click.option("--watch", is_flag=True, help="Look again every two seconds.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, one a sweep.")
def status(
    names: Sequence[str], *, by: str | None, workers: bool, watch: bool, as_json: bool
) -> None:
    """Say how far every sweep is.

    It reads SQL only, so it answers while Redis or the workers are away. GPU-hours are
    those that images took, without loading. JSON lines are of sweeps, of the values of
    an axis with --by, or of workers with --workers.
    """
    question = _Question(names, by=by, workers=workers)
    if watch and not as_json:
        question.watch()
    elif as_json:
        with opened_to_read(read_settings()) as database:
            write_json(question.rows(database))
    else:
        with opened_to_read(read_settings()) as database:
            text_console().print(question.shown(database))


class _Question:
    """What is asked of the database, and the answers for programs and people."""

    def __init__(self, names: Sequence[str], *, by: str | None, workers: bool) -> None:
        self._names = names
        self._by = by
        self._workers = workers

    def rows(self, database: Database) -> Iterator[dict[str, Any]]:
        """Give the answer as rows."""
        if self._workers:
            yield from map(asdict, list_workers(database))
            return
        for sweep in self._chosen(database):
            if self._by:
                for row in _axis_rows(database, sweep, self._by):
                    yield {**row, "value": open_label(self._by, row["value"])}
            else:
                yield _sweep_row(database, sweep)

    def shown(self, database: Database) -> "RenderableType":
        """Give the answer as tables, the workers last."""
        from rich.console import Group

        workers = _workers_table(list_workers(database), leased_owners(database))
        if self._workers:
            return workers
        chosen = self._chosen(database)
        if self._by:
            rows = [_axis_rows(database, sweep, self._by) for sweep in chosen]
            return Group(*(_axis_table(self._by, list(each)) for each in rows))
        hours = [worked_s(database, sweep) / SECONDS_PER_HOUR for sweep in chosen]
        standings = [standing(database, sweep) for sweep in chosen]
        notes = (note for one in standings for note in _notes(one))
        return Group(_table(standings, hours), *notes, "", workers)

    def watch(self) -> None:
        """Show it again and again, until Ctrl-C."""
        from rich.live import Live

        with (
            Live(console=text_console(), auto_refresh=False) as live,
            _until_interrupted(),
        ):
            while True:
                began = time.monotonic()
                # Opened anew: one that began while nobody wrote sees no change.
                try:
                    with opened_to_read(read_settings()) as database:
                        live.update(self.shown(database), refresh=True)
                except DatabaseError as exc:
                    live.update(f"Waiting: {exc}", refresh=True)
                time.sleep(max(LOOK_S, 10 * (time.monotonic() - began)))

    def _chosen(self, database: Database) -> list[Sweep]:
        if self._names:
            return sweeps.require_sweeps(database, self._names)
        every = sweeps.list_sweeps(database)
        having = [sweep for sweep in every if not self._by or self._by in sweep.axes]
        if self._by and not having:
            known = sorted({axis for sweep in every for axis in sweep.axes})
            msg = (
                f"--by must name an axis of a sweep ({', '.join(known)}), got "
                f"{self._by!r}."
            )
            raise UsageError(msg)
        return having


@contextmanager
def _until_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        return


def _sweep_row(database: Database, sweep: Sweep) -> dict[str, Any]:
    hours = worked_s(database, sweep) / SECONDS_PER_HOUR
    return {**asdict(standing(database, sweep)), "gpu_hours": round(hours, 4)}


def _axis_rows(database: Database, sweep: Sweep, axis: str) -> Iterator[dict[str, Any]]:
    for label, counts in count_by(database, sweep, axis).items():
        states = {state: counts.get(state, 0) for state in JOB_STATES}
        total = sum(states.values())
        yield {
            "sweep": sweep.name,
            "axis": axis,
            "value": label,
            "total": total,
            **states,
        }


def _axis_table(axis: str, rows: Sequence[Mapping[str, Any]]) -> "Table":
    table = _new_table(axis, title=str(rows[0]["sweep"]) if rows else None)
    shown = _shown_states([row[state] for row in rows] for state in JOB_STATES)
    _add_counts(table, shown)
    for row in rows:
        counts = [row["total"], *(row[state] for state in shown)]
        table.add_row(plain(row["value"]), *(f"{count:,}" for count in counts))
    return table


def _table(standings: Sequence[Standing], hours: Sequence[float]) -> "Table":
    table = _new_table("sweep")
    shown = _shown_states(
        [getattr(s, state) for s in standings] for state in JOB_STATES
    )
    _add_counts(table, shown)
    for column in ("images/s", "left", "GPU-hours"):
        table.add_column(column, justify="right")
    for one, spent in zip(standings, hours, strict=True):
        name = one.sweep if one.state == "active" else f"{one.sweep} ({one.state})"
        counts = [one.total, *(getattr(one, state) for state in shown)]
        table.add_row(
            name,
            *(f"{count:,}" for count in counts),
            f"{one.images_per_s:.2f}",
            duration(one.eta_s),
            f"{spent:.2f}",
        )
    return table


def _notes(one: Standing) -> Iterator[str]:
    if one.reason:
        yield plain(f"{one.sweep} is {one.state}: {one.reason}")
    for blocked in one.blocked:
        yield plain(f"{one.sweep}: {describe(blocked)}")


def _workers_table(workers: Sequence[Worker], owners: set[str]) -> "RenderableType":
    if not workers:
        return _at_work(owners)
    table = _new_table("worker")
    for column in ("host", "GPU", "phase", "with"):
        table.add_column(column)
    for column in ("images", "images/s"):
        table.add_column(column, justify="right")
    table.add_column("")
    for one in workers:
        rate = "" if one.images_per_s is None else f"{one.images_per_s:.2f}"
        texts = (one.name, one.host, one.gpu, one.phase, one.detail)
        table.add_row(*map(plain, texts), f"{one.images:,}", rate, _silence(one))
    return table


def _silence(worker: Worker) -> str:
    silent = worker.is_silent
    return f"silent for {worker.silent_s:.0f} s" if silent else ""


def _at_work(owners: set[str]) -> str:
    if not owners:
        return "No worker is at work."
    hosts = sorted(set(map(host_of, owners)))
    workers = "1 worker is" if len(owners) == 1 else f"{len(owners)} workers are"
    return f"{workers} at work on {', '.join(hosts)}."


def _new_table(first: str, **options: Any) -> "Table":
    from rich.table import Table

    return Table(first, box=None, title_justify="left", **options)


def _add_counts(table: "Table", states: Sequence[str]) -> None:
    for column in ("images", *states):
        table.add_column(column, justify="right")


def _shown_states(counts: Iterable[Sequence[int]]) -> list[str]:
    """Give the states to show: all but `quarantined` where nothing is."""
    found = zip(JOB_STATES, counts, strict=True)
    return [state for state, each in found if state != "quarantined" or any(each)]
