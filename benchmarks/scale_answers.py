"""What people ask of a large sweep, and what changing it costs."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from scale_server import Observer
from scale_submit import NAME

from storage.fleet.live_counts import LiveCounts
from storage.jobs import lifecycle
from storage.jobs.runnable_groups import runnable_groups
from storage.jobs.sweep_counts import count_all_states, failures, recent_rate
from storage.jobs.sweeps import Sweep, require_sweeps
from storage.jobs.wake_ups import runnable_keys
from storage.queries.answers import Wanted, count, find
from storage.queries.groups import group
from storage.queries.sorting import read_columns, read_order
from storage.settings import Settings
from storage.sql.database import Database, open_database

PAGE = 100
CHANGE_HEADER = (
    *("change", "jobs", "seconds"),
    *("server CPU ms a job", "pages a job", "WAL bytes a job"),
)
HEADER = ("question", "seconds", "server CPU ms", "pages of 8 kB")


def ask_all(settings: Settings) -> list[list[str]]:
    """Ask each question twice, and return what the second time took."""
    rows = []
    with (
        closing(open_database(settings.database_url)) as database,
        closing(Observer(settings.database_url)) as observer,
    ):
        (sweep,) = require_sweeps(database, [NAME])
        for name, act in questions(database, sweep):
            act()
            rows.append(_timed(observer, name, act))
    return rows


def questions(
    database: Database, sweep: Sweep
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield what commands, workers and the gallery ask, with their names."""
    live = LiveCounts()
    live.look(database)
    yield "status: all jobs counted", lambda: count_all_states(database)
    yield "status: what changed since", lambda: live.look(database)
    yield "status: recent rate", lambda: recent_rate(database, sweep)
    yield "status: reasons of failures", lambda: failures(database, sweep)
    yield "groups with work", lambda: runnable_groups(database)
    yield "keys for a wake-up", lambda: runnable_keys(database)
    for query in ("", "scheduler:ddim steps:..8", "seed:7", "state:failed", "cat"):
        yield f"find {query}".strip(), lambda q=query: _page(database, q)
    for sort in ("-finished", "seed,-steps"):
        yield f"find --sort {sort}", lambda s=sort: _page(database, "", sort=s)
    for query in ("", "state:done", "scheduler:ddim"):
        name = f"find {query} --count".replace("  ", " ")
        yield name, lambda q=query: count(database, q)
    columns = read_columns("scheduler,steps")
    yield "find --group-by scheduler,steps", lambda: group(database, NAME, columns)


def change(settings: Settings) -> list[list[str]]:
    """Change the sweep; return what each change took for a job."""
    rows = []
    with (
        closing(open_database(settings.database_url)) as database,
        closing(Observer(settings.database_url)) as observer,
    ):
        (sweep,) = require_sweeps(database, [NAME])
        changes: dict[str, Callable[[], lifecycle.Told | int]] = {
            "priority": lambda: lifecycle.set_priority(database, sweep, 4),
            "pause": lambda: lifecycle.set_state(database, sweep, "paused"),
            "resume": lambda: lifecycle.set_state(database, sweep, "active"),
            "cancel": lambda: lifecycle.set_state(database, sweep, "cancelled"),
            "resume again": lambda: lifecycle.set_state(database, sweep, "active"),
        }
        for name, act in changes.items():
            before, began = observer.look(), time.perf_counter()
            told = act()
            seconds, work = time.perf_counter() - began, observer.look() - before
            changed = told.changed if isinstance(told, lifecycle.Told) else told
            each = max(changed, 1)
            figures = (work.cpu_s * 1000, work.buffers, work.wal_bytes)
            row = [name, f"{changed:,}", f"{seconds:.1f}"]
            rows.append([*row, *(f"{figure / each:,.2f}" for figure in figures)])
            print(*rows[-1], sep="  ", flush=True)
    return rows


def _timed(observer: Observer, name: str, act: Callable[[], Any]) -> list[str]:
    before, began = observer.look(), time.perf_counter()
    act()
    seconds, work = time.perf_counter() - began, observer.look() - before
    row = [name, f"{seconds:.3f}", f"{1000 * work.cpu_s:,.0f}", f"{work.buffers:,.0f}"]
    print(*row, sep="  ", flush=True)
    return row


def _page(database: Database, query: str, *, sort: str = "") -> list[Any]:
    wanted = Wanted(limit=PAGE, keys=read_order(sort))
    return list(find(database, query, wanted))
