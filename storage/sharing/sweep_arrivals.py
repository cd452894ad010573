"""Sweeps that are imported: under their names, and paused until all of it is there."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from storage.errors import UsageError
from storage.jobs import lifecycle
from storage.jobs.companions import companion_of
from storage.jobs.completeness import find_incomplete, note_complete
from storage.jobs.lifecycle import CHANGED
from storage.jobs.owners import keep_owner
from storage.jobs.sweep_counts import count_states
from storage.jobs.sweeps import Sweep, find_sweep
from storage.sharing.shared_items import SharedSweep
from storage.sql.database import Database, insert_into, utc_now
from storage.sql.schema import MADE_STATES, sweeps

#: Why a sweep is paused while it is imported, and if it has images to make then.
IMPORTING = "it is being imported"
IMPORTED = "it was imported with images to make; resume it to make them here"
_PAUSED = (IMPORTING, IMPORTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmade:
    """What a sweep lacks after an import.

    Attributes:
        name: Its name here.
        stored: Images that are stored and not made.
        absent: Images that the export did not have.
    """

    name: str
    stored: int = 0
    absent: int = 0

    @property
    def is_paused(self) -> bool:
        """Return whether the sweep stays paused."""
        return bool(self.stored or self.absent)


def take_sweeps(
    database: Database, shared: Mapping[str, SharedSweep]
) -> dict[str, Sweep]:
    """Store the sweeps of an export; return them by their names in the export.

    A sweep that is new is paused, so that nothing is made before its images have
    arrived; `settle_sweeps` ends that. One that is here stays as it is.

    Args:
        database: Where they go.
        shared: By the name in the export, with the name that each is to have.

    Raises:
        UsageError: Another sweep has one of the names; nothing was stored.
    """
    own = {name: one for name, one in shared.items() if one.reference_of is None}
    for one in own.values():
        _refuse_other(one, find_sweep(database, one.name))
    found = {name: _take(database, one) for name, one in own.items()}
    for name, one in shared.items():
        if one.reference_of is not None:
            found[name] = companion_of(database, found[one.reference_of])
    return found


def settle_sweeps(
    database: Database, arrived: Sequence[tuple[SharedSweep, Sweep]]
) -> list[Unmade]:
    """End the pause of sweeps that were imported, if all of their images are here.

    Returns what the others lack, which stay paused.
    """
    return [
        lacks
        for shared, sweep in arrived
        if (lacks := _settle(database, shared, sweep)).is_paused
    ]


def _settle(database: Database, shared: SharedSweep, sweep: Sweep) -> Unmade:
    stored = find_incomplete(database, sweep)
    absent = max(stored.wanted - stored.stored, 0) if stored else 0
    if not absent:
        note_complete(database, sweep)
    counts = count_states(database, sweep)
    left = sum(n for state, n in counts.items() if state not in MADE_STATES)
    lacks = Unmade(name=sweep.name, stored=left, absent=absent)
    is_whole = not lacks.is_paused
    state = "active" if is_whole and shared.state != "paused" else "paused"
    is_changed = _change(
        database, sweep, state=state, reason=None if is_whole else IMPORTED
    )
    if is_changed:
        lifecycle.settle(database, sweep)
        return lacks
    return Unmade(name=sweep.name)  # it was here before, or is cancelled


def _take(database: Database, shared: SharedSweep) -> Sweep:
    is_over = shared.state in ("cancelled", "removed")
    values = {
        "name": shared.name,
        "revision": 1,
        "digest": shared.digest,
        "spec": shared.spec,
        "axes": json.dumps(shared.axes, ensure_ascii=False),  # in the order of display
        "state": "cancelled" if is_over else "paused",
        "reason": None if is_over else IMPORTING,
        "priority": shared.priority,
        "min_free_bytes": shared.min_free_bytes,
        "submitting": shared.jobs,
        "created_at": utc_now(),
        "changes": 0,  # its jobs are added as it wants them
    }
    again = {"state": values["state"], "reason": values["reason"], **CHANGED}
    with database.write() as connection:
        values["owner_id"] = keep_owner(connection, shared.owner)
        statement = insert_into(connection, sweeps).values(values)
        # One that was removed comes back; any other stays as it is.
        statement = statement.on_conflict_do_update(
            index_elements=["name"], set_=again, where=sweeps.c.state == "removed"
        )
        connection.execute(statement)
    found = find_sweep(database, shared.name)
    _refuse_other(shared, found)
    if found is None:
        msg = f"the sweep {shared.name} was just stored, and is not there"
        raise RuntimeError(msg)
    return found


def _refuse_other(shared: SharedSweep, found: Sweep | None) -> None:
    if found is None:
        return
    if not _is_same(shared, found):
        msg = (
            f"A sweep must have a name of its own, but {shared.name} is another sweep "
            "here, which wants other images; give this one another name with --name."
        )
        raise UsageError(msg)


def _is_same(shared: SharedSweep, found: Sweep) -> bool:
    if found.reference_of is not None or found.digest != shared.digest:
        return False
    # A sweep that was renamed has no digest.
    return bool(found.digest) or found.spec == shared.spec


def _change(
    database: Database, sweep: Sweep, *, state: str, reason: str | None
) -> bool:
    """Change the state of a sweep that is being imported; return whether it was."""
    mine = sa.and_(sweeps.c.id == sweep.id, sweeps.c.reason.in_(_PAUSED))
    values = {"state": state, "reason": reason, **CHANGED}
    with database.write() as connection:
        change = sa.update(sweeps).where(mine).values(values)
        return bool(connection.execute(change).rowcount)
