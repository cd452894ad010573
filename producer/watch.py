"""How far sweeps are: the command `nightsweep status`, and progress as it happens."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import click

from producer.amounts import duration, images
from storage import sweeps
from storage.blocks import blocked_jobs
from storage.claims import leased_owners
from storage.database import Database, open_for_reading
from storage.errors import UsageError
from storage.owners import host_of
from storage.settings import read_settings
from storage.sweeps import Sweep

if TYPE_CHECKING:
    from rich.table import Table

#: Seconds between two looks at the database.
LOOK_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a sweep is.

    Attributes:
        sweep: Its name.
        state: `active`, `paused` or `cancelled`.
        total: Jobs that it wants.
        pending: Jobs that wait.
        leased: Jobs in a worker's hands.
        done: Finished images.
        failed: Jobs that failed; `nightsweep find --state failed` says why.
        quarantined: Jobs that killed their worker, again and again.
        images_per_s: Of the last minute.
        eta_s: Seconds until the end at that rate; None where nobody works on it.
        blocked: What holds unmade jobs up, to how many they are.
    """

    sweep: str
    state: str
    total: int
    pending: int
    leased: int
    done: int
    failed: int
    quarantined: int
    images_per_s: float
    eta_s: float | None
    blocked: Mapping[str, int] = field(default_factory=dict)

    @property
    def unmade(self) -> int:
        """Jobs that will be made yet."""
        return self.pending + self.leased


def standing(database: Database, sweep: Sweep) -> Standing:
    """Say how far a sweep is."""
    counts = sweeps.count_states(database, sweep)
    rate = sweeps.recent_rate(database, sweep)
    unmade = counts.get("pending", 0) + counts.get("leased", 0)
    return Standing(
        sweep=sweep.name,
        state=sweep.state,
        total=sum(counts.values()),
        pending=counts.get("pending", 0),
        leased=counts.get("leased", 0),
        done=counts.get("done", 0),
        failed=counts.get("failed", 0),
        quarantined=counts.get("quarantined", 0),
        images_per_s=round(rate, 3),
        eta_s=round(unmade / rate, 1) if rate and counts.get("leased") else None,
        blocked=blocked_jobs(database, sweep),
    )


@click.command(epilog="Example: nightsweep status --watch")
@click.option("--sweep", help="Only this sweep.")
@click.option("--watch", is_flag=True, help="Look again every two seconds.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, one a sweep.")
def status(sweep: str | None, *, watch: bool, as_json: bool) -> None:
    """Say how far every sweep is.

    It reads SQL only, so it answers while Redis or the workers are away.
    """
    if watch and not as_json:
        _watch(sweep)
        return
    with _opened() as database:
        standings = [standing(database, one) for one in _chosen(database, sweep)]
        if as_json or not sys.stdout.isatty():
            for one in standings:
                click.echo(json.dumps(asdict(one)))
        else:
            _print(_table(standings, leased_owners(database)))


@contextmanager
def _opened() -> Iterator[Database]:
    # Opened anew for each look: one that began while nobody wrote sees no change.
    settings = read_settings()
    database = open_for_reading(settings.database_url)
    if database is None:
        msg = (
            f"There must be a sweep to ask about, but none was submitted yet in "
            f"{settings.home}; start with `nightsweep run`."
        )
        raise UsageError(msg)
    try:
        yield database
    finally:
        database.close()


def _chosen(database: Database, name: str | None) -> list[Sweep]:
    known = sweeps.list_sweeps(database)
    if name is None:
        return known
    chosen = [sweep for sweep in known if sweep.name == name]
    if not chosen:
        names = ", ".join(sweep.name for sweep in known) or "none yet"
        msg = f"sweep must be one that was submitted ({names}), got {name!r}."
        raise UsageError(msg)
    return chosen


def _watch(name: str | None) -> None:
    from rich.live import Live

    with Live(auto_refresh=False) as live, _until_interrupted():
        while True:
            with _opened() as database:
                standings = [standing(database, s) for s in _chosen(database, name)]
                owners = leased_owners(database)
            live.update(_table(standings, owners), refresh=True)
            time.sleep(LOOK_S)


@contextmanager
def _until_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        return


def _table(standings: list[Standing], owners: set[str]) -> "Table":
    from rich.table import Table

    columns = ("images", "done", "running", "waiting", "failed", "images/s", "left")
    notes = [_workers(owners)]
    for one in standings:
        for reason, count in one.blocked.items():
            notes.append(f"{one.sweep}: {images(count)} held up: {reason}")
    table = Table("sweep", box=None, caption="\n".join(notes), caption_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    for one in standings:
        name = one.sweep if one.state == "active" else f"{one.sweep} ({one.state})"
        failed = one.failed + one.quarantined
        counts = (one.total, one.done, one.leased, one.pending, failed)
        shown = [f"{count:,}" for count in counts]
        table.add_row(name, *shown, f"{one.images_per_s:.2f}", duration(one.eta_s))
    return table


def _workers(owners: set[str]) -> str:
    if not owners:
        return "No worker is at work."
    hosts = sorted(set(map(host_of, owners)))
    workers = "1 worker is" if len(owners) == 1 else f"{len(owners)} workers are"
    return f"{workers} at work on {', '.join(hosts)}."


def _print(table: "Table") -> None:
    from rich.console import Console

    Console().print(table)
