"""The command `nightsweep status`: how far sweeps are, and who is at work."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from producer.commands import status_screen
from producer.commands.live_status import watch_screen
from producer.commands.status_screen import sweeps_table, workers_table
from producer.completion import complete_axis, complete_sweep
from producer.dashboard.full_screen import can_draw
from producer.display.disk_room import describe_disk
from producer.display.json_lines import open_label, write_json
from producer.display.tables import Column, make_table, text_console
from producer.display.text_width import terminal_width
from producer.running.backends import describe_unserved, find_unserved
from producer.running.sweep_state import standing
from producer.submission.opening import opened_to_read
from storage.errors import DatabaseError, UsageError
from storage.fleet.progress import count_by, list_workers, worked_s
from storage.jobs import sweep_counts, sweeps
from storage.jobs.claims import leased_owners
from storage.jobs.sweeps import Sweep
from storage.settings import read_settings
from storage.sql.database import Database
from storage.sql.schema import JOB_STATES

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Seconds between two looks at the database; at least ten times what a look takes.
REFRESH_S = 2.0
SECONDS_PER_HOUR = 3600


@click.command(epilog="Example: nightsweep status --watch")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_sweep)
@click.option(
    "--sweep",
    "others",
    metavar="NAME",
    multiple=True,
    shell_complete=complete_sweep,
    help="Only this sweep; the same as NAME. Repeatable.  [default: all]",
)
@click.option(
    "--by",
    metavar="AXIS",
    help="Count the jobs of each value of an axis.",
    shell_complete=complete_axis,
)
@click.option("--workers", is_flag=True, help="Only the workers.")
@click.option(
    "--all",
    "shows_all",
    is_flag=True,
    help="Show every sweep and worker, however small the screen is.",
)
@click.option("--watch", is_flag=True, help="Look again every two seconds.")
@click.option("--plain", is_flag=True, help="With --watch: tables, no full screen.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, one per sweep.")
def status(
    names: Sequence[str],
    *,
    others: Sequence[str],
    by: str | None,
    watch: bool,
    plain: bool,
    as_json: bool,
    **asked: bool,
) -> None:
    """Say how far every sweep is.

    On a terminal, sweeps with something left to make come first, the most urgent on
    top, then the newest of the others; the rest is one line. It asks nothing but SQL
    and the image disk, so it answers while Redis or the workers are away. GPU-hours are
    those that images took, without loading. JSON lines describe sweeps; with --by, the
    values of an axis; with --workers, workers.
    """
    if not terminal_width():
        asked["shows_all"] = True  # a pipe has no height
    chosen = (*names, *others)
    question = _Question(chosen, by=by, **asked)
    is_plain = plain or by or asked["workers"]
    if watch and not as_json and not is_plain and can_draw(sys.stdout):
        watch_screen(chosen)
    elif watch and not as_json:
        question.watch()
    elif as_json:
        with opened_to_read(read_settings()) as database:
            write_json(question.rows(database))
    else:
        with opened_to_read(read_settings()) as database:
            console = text_console()
            shown = question.shown(database, width=console.width, height=console.height)
            console.print(shown, crop=False)


class _Question:
    """What is asked of the database, and the answers for programs and people."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        by: str | None,
        workers: bool,
        shows_all: bool = False,
    ) -> None:
        self._names = names
        self._by = by
        self._workers = workers
        self._shows_all = shows_all

    def rows(self, database: Database) -> Iterator[dict[str, Any]]:
        """Yield the answer as rows."""
        if self._workers:
            yield from map(asdict, list_workers(database))
            return
        for sweep in self._chosen(database):
            if self._by:
                for row in _axis_rows(database, sweep, self._by):
                    yield {**row, "value": open_label(self._by, row["value"])}
            else:
                yield _sweep_row(database, sweep)

    def shown(
        self, database: Database, *, width: int, height: int | None = None
    ) -> "RenderableType":
        """Return the answer as tables that fit on a screen, the workers last.

        Args:
            database: Where the answer is.
            width: Characters of a line.
            height: Lines of the screen; None for no limit.
        """
        from rich.console import Group

        if self._shows_all:
            height = None
        found = list_workers(database)
        if self._workers:
            return workers_table(found, leased_owners(database), width=width)
        chosen = self._chosen(database)
        if self._by:
            rows = [_axis_rows(database, sweep, self._by) for sweep in chosen]
            return Group(*(_axis_table(self._by, list(each)) for each in rows))
        folder = read_settings().image_folder
        disk = list(describe_disk(folder)) if folder else []
        fit = status_screen.rows_for_workers(height, len(found))
        below = [workers_table(found[:fit], leased_owners(database), width=width)]
        if found[fit:]:
            below.append(status_screen.more_workers(found[fit:]))
        below += disk
        # Besides these tables: a blank line, the heading of workers, and the prompt.
        left = None if height is None else height - fit - len(below) - 2
        above = self._sweeps(database, chosen, width=width, height=left)
        return Group(*above, "", *below)

    def _sweeps(
        self,
        database: Database,
        chosen: Sequence[Sweep],
        *,
        width: int,
        height: int | None,
    ) -> Iterator["RenderableType"]:
        """Yield the table of sweeps, then what is left out or held up."""
        counts = sweep_counts.count_all_states(database)
        top, rest = status_screen.choose(chosen, counts)
        if self._names or self._shows_all:
            top, rest = list(chosen), []
        standings = [standing(database, sweep) for sweep in top]
        said = list(status_screen.notes(standings))
        if height is not None:
            # Besides the rows: the heading, and a line about what is left out.
            fit = height - 2 - status_screen.lines_of(said, width)
            fit = max(fit, status_screen.LEAST_ROWS)
            top, rest = top[:fit], [*top[fit:], *rest]
        hours = [worked_s(database, sweep) / SECONDS_PER_HOUR for sweep in top]
        yield sweeps_table(standings[: len(top)], hours, width=width)
        for backend in find_unserved(database):
            yield describe_unserved(backend)
        if rest:
            yield status_screen.describe_folded(rest, counts)
        yield from said

    def watch(self) -> None:
        """Show the answer again and again, until Ctrl-C."""
        from rich.live import Live

        console = text_console()
        with Live(console=console, auto_refresh=False) as live, _until_interrupted():
            while True:
                began = time.monotonic()
                # Opened anew: a database opened while nobody wrote shows no change.
                try:
                    with opened_to_read(read_settings()) as database:
                        size = {"width": console.width, "height": console.height}
                        live.update(self.shown(database, **size), refresh=True)
                except DatabaseError as exc:
                    live.update(f"Waiting: {exc}", refresh=True)
                time.sleep(max(REFRESH_S, 10 * (time.monotonic() - began)))

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


def _axis_table(axis: str, rows: Sequence[Mapping[str, Any]]) -> "RenderableType":
    from rich.console import Group

    states = status_screen.shown_states(rows)
    columns = [
        Column(name=axis, read=lambda row: row["value"], folds_at=" "),
        status_screen.number_column("images", "total"),
        *(status_screen.number_column(state, state) for state in states),
    ]
    title = str(rows[0]["sweep"]) if rows else ""
    width = text_console().width
    return Group(title, make_table(rows, columns, width=width))
