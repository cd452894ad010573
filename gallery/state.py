"""How far every sweep is and what workers do, as pages show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gallery.reader import Reader
from gallery.site import Site
from storage.fleet.progress import Worker, list_workers
from storage.jobs.sweeps import Sweep, list_sweeps
from storage.sql.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What costs little to read: the sweeps without their jobs, and the workers."""

    sweeps: Sequence[Sweep]
    workers: Sequence[Worker]


def read_state(site: Site, reader: Reader) -> dict[str, Any]:
    """Return the JSON of `/api/sweeps`.

    Raises:
        DatabaseError: The database cannot be reached.
    """
    if not reader.exists():
        return {"sweeps": [], "workers": []}
    with reader.opened() as database:
        return {
            "sweeps": site.actions.standings(database),
            "workers": [*map(_describe, list_workers(database))],
        }


def read_present(database: Database) -> Present:
    """Return what a look reads each time.

    Raises:
        DatabaseError: The database cannot be reached.
    """
    return Present(sweeps=list_sweeps(database), workers=list_workers(database))


def overlaid(
    state: Mapping[str, Any], changes: Mapping[str, Mapping[str, int]], now: Present
) -> dict[str, Any]:
    """Return a state with what changed since, but without counting every job anew.

    Args:
        state: As `read_state` returned it.
        changes: By how much the jobs of each state became more or fewer, by sweep.
        now: The sweeps and workers.
    """
    by_name = {each.name: each for each in now.sweeps}
    return {
        "sweeps": [
            _overlay(each, changes.get(each["name"], {}), by_name[each["name"]])
            for each in state["sweeps"]
            if each["name"] in by_name
        ],
        "workers": [*map(_describe, now.workers)],
    }


def _overlay(
    known: Mapping[str, Any], changes: Mapping[str, int], now: Sweep
) -> dict[str, Any]:
    counts = {state: max(known[state] + change, 0) for state, change in changes.items()}
    new = {
        **known,
        **counts,
        "state": now.state,
        "reason": now.reason,
        "priority": now.priority,
        "owner": now.owner,
    }
    rate, unmade = new["images_per_s"], new["pending"] + new["leased"]
    eta_s = round(unmade / rate, 1) if rate and new["leased"] else None
    return {**new, "eta_s": eta_s}


def _describe(worker: Worker) -> dict[str, Any]:
    return {
        "name": worker.name,
        "host": worker.host,
        "gpu": worker.gpu,
        "backend": worker.backend,
        "phase": worker.phase,
        "detail": worker.detail,
        "images": worker.images,
        "images_per_s": worker.images_per_s,
        "silent": worker.is_silent,
        "seen_at": worker.seen_at,
    }
