"""Sweeps in SQL: submitted specs, and how far they are."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from storage.errors import ChangedSweepError, UsageError
from storage.job import canonical_json
from storage.jobs.budgets import Limits, set_limits
from storage.jobs.owners import OWNER_NAME, keep_owner, read_name
from storage.queries.answers import Wanted, find
from storage.queries.columns import COLUMNS
from storage.queries.names import no_such_sweep
from storage.queries.parsing import refine
from storage.queries.terms import Query
from storage.sql.database import Database, insert_into, utc_now
from storage.sql.rows import lock_jobs
from storage.sql.schema import HIDDEN_STATES, NOBODY, jobs, sweeps

#: Priorities run from 0, first, to 9, last.
NORMAL_PRIORITY = 5
PRIORITIES = range(10)
#: Added to the position of a job whose worker died or whose device failed, so that it
#: waits behind the rest of its group.
BEHIND = 10**12
#: States of jobs that are to be made, though perhaps not now.
UNMADE = ("pending", "leased")
#: States of jobs that have no image but are not made any more.
FAILED = ("failed", "quarantined")
#: The rows from which sweeps are read.
_ROWS = sa.select(sweeps, OWNER_NAME.label("owner"))
#: Jobs that are retried in one transaction.
SWEEP_ROWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A submitted spec.

    Attributes:
        id: Row of the sweep.
        name: Unique.
        revision: 1, and one more for each changed spec under the same name.
        digest: Digest of all that decides what it wants, see `digest_of`; empty if
            that is not known, as for references and after a rename.
        spec: YAML text as submitted.
        axes: Axis names to their values' labels, in display order.
        state: Of `storage.sql.schema.SWEEP_STATES`.
        priority: 0, first, to 9, last.
        reason: Why it was paused, if it paused itself.
        submitting: Jobs that its submission is to store; None once it has.
        reference_of: Row of the sweep whose references it holds; None for people's own.
        created_at: When it was first submitted, as ISO 8601 in UTC.
        owner: The person who submitted it first; None for a sweep from before
            revision 0023 that nobody has submitted since.
    """

    id: int
    name: str
    revision: int
    digest: str
    spec: str
    axes: Mapping[str, Any]
    state: str
    priority: int
    reason: str | None = None
    submitting: int | None = None
    reference_of: int | None = None
    created_at: str = ""
    owner: str | None = None

    def may_want(self, digest: str) -> bool:
        """Return whether it wants what has this digest, as far as is known."""
        return self.digest in ("", digest)


def save_sweep(  # noqa: PLR0913 - a sweep has that many sides
    database: Database,
    name: str,
    *,
    spec: str,
    axes: Mapping[str, Any],
    meanings: Sequence[str] = (),
    min_free_bytes: int = 0,
    seen: int | None = None,
    submitting: int | None = None,
    limits: Limits | None = None,
    owner: str = "",
) -> Sweep:
    """Create a sweep, or give a known one a new revision if what it wants changed.

    What it wants is the spec, the values of its axes (a file of prompts may have
    changed), and what these mean: the weights of a model, its defaults where the spec
    says nothing, and how many jobs the sweep makes. A cancelled or paused sweep becomes
    active again; `storage.jobs.lifecycle.settle` updates its jobs. Its priority stays,
    and so does its owner, unless it has none.

    Args:
        database: Where sweeps are.
        name: The sweep's name.
        spec: YAML text.
        axes: Axis names to the labels of their values.
        meanings: What else decides what the sweep wants, besides the text.
        min_free_bytes: Disk space that must stay free.
        seen: The revision that the new one must follow, 0 for none; None for any.
        submitting: Jobs to store, for `storage.jobs.completeness`; None where none
            follow.
        limits: What stops it; None for nothing.
        owner: Who submits it; empty for nobody.

    Raises:
        ChangedSweepError: Another spec was stored under that name since `seen`.
    """
    values = {
        "digest": digest_of(spec, axes, meanings=meanings),
        "spec": spec,
        # The order of the axes is the display order.
        "axes": json.dumps(axes, ensure_ascii=False),
        "state": "active",
        "reason": None,
        "min_free_bytes": min_free_bytes,
    }
    first = {
        "priority": NORMAL_PRIORITY,
        "revision": 1,
        "created_at": utc_now(),
        "changes": 0,  # its jobs are added as it wants them
    }
    is_same = sweeps.c.digest == values["digest"]
    changed = sa.case((is_same, 0), else_=1)
    is_ownerless = sweeps.c.owner_id == NOBODY
    tells_nothing = sa.and_(sweeps.c.state == "active", ~is_ownerless)
    wants_other = sa.case((tells_nothing, 0), else_=1)
    is_complete = sa.and_(is_same, sweeps.c.submitting.is_(None))
    # PostgreSQL takes an untyped NULL for text.
    asked = sa.literal(submitting, sweeps.c.submitting.type)
    left = sa.case((is_complete, sa.null()), else_=asked)
    follows = None if seen is None else sa.or_(sweeps.c.revision == seen, is_same)
    columns = [column for column in sweeps.c if column.name != "axes"]
    with database.write() as connection:
        owner_id = keep_owner(connection, owner)
        # One statement, so that two producers may submit the same sweep at once.
        stored = connection.execute(
            insert_into(connection, sweeps)
            .values(
                name=name, **first, **values, submitting=submitting, owner_id=owner_id
            )
            .on_conflict_do_update(
                index_elements=["name"],
                set_={
                    **values,
                    "revision": sweeps.c.revision + changed,
                    "submitting": left,
                    "changes": sweeps.c.changes + wants_other,
                    "owner_id": sa.case(
                        (is_ownerless, owner_id), else_=sweeps.c.owner_id
                    ),
                },
                where=follows,
            )
            .returning(*columns)
        ).first()
        if stored is not None:
            set_limits(connection, stored.id, limits or Limits())
            owner_name = read_name(connection, stored.owner_id)
    if stored is None:
        raise ChangedSweepError(name)
    return _sweep(stored, axes, owner=owner_name)


def digest_of(
    spec: str, axes: Mapping[str, Any], *, meanings: Sequence[str] = ()
) -> str:
    """Return the digest of what a sweep wants; see `save_sweep`."""
    wanted = canonical_json([spec, axes, *meanings])
    return hashlib.sha256(wanted.encode()).hexdigest()[:32]


def retry(
    database: Database, sweep: Sweep, *, among: Query | str = ""
) -> dict[str, list[str]]:
    """Make a sweep's failed and quarantined jobs pending again, as if never started.

    Args:
        database: Where the jobs are.
        sweep: The sweep; other sweeps that want the jobs get them too.
        among: Which of the jobs; by default all.

    Returns:
        Their keys by batch group, for the messages that follow.
    """
    which = refine(among, sweep=sweep.name, state=FAILED)
    wanted = Wanted(columns=[COLUMNS["key"]])
    return retry_keys(database, [row["key"] for row in find(database, which, wanted)])


def retry_keys(database: Database, keys: Sequence[str]) -> dict[str, list[str]]:
    """Make failed and quarantined jobs pending again; return them as `retry` does."""
    groups: dict[str, list[str]] = {}
    for start in range(0, len(keys), SWEEP_ROWS):
        for group, key in _begin_again(database, keys[start : start + SWEEP_ROWS]):
            groups.setdefault(group, []).append(key)
    return groups


def find_sweep(database: Database, name: str) -> Sweep | None:
    """Return the sweep with that name, or None."""
    return _find(database, sweeps.c.name == name)


def find_references(database: Database, sweep: Sweep) -> Sweep | None:
    """Return the sweep that holds the references of another, or None."""
    return _find(database, sweeps.c.reference_of == sweep.id)


def read_again(database: Database, sweep: Sweep) -> Sweep:
    """Return a sweep as it is now, under whatever name."""
    return _find(database, sweeps.c.id == sweep.id) or sweep


def require_sweeps(database: Database, names: Sequence[str]) -> list[Sweep]:
    """Return the sweeps with those names, each once.

    Raises:
        UsageError: There is no sweep with one of the names.
    """
    known = {each.name: each for each in list_sweeps(database, with_hidden=True)}
    for name in names:
        if name not in known:
            raise UsageError(no_such_sweep(name, known))
    return [known[name] for name in dict.fromkeys(names)]


def list_sweeps(database: Database, *, with_hidden: bool = False) -> list[Sweep]:
    """Return every sweep, the oldest first.

    Args:
        database: Where sweeps are.
        with_hidden: Whether removed and archived ones are among them.
    """
    listed = sa.true() if with_hidden else sweeps.c.state.not_in(HIDDEN_STATES)
    with database.read() as connection:
        rows = connection.execute(_ROWS.where(listed).order_by(sweeps.c.id))
        return [_sweep(row, json.loads(row.axes), owner=row.owner) for row in rows]


def _find(database: Database, which: sa.ColumnElement[bool]) -> Sweep | None:
    with database.read() as connection:
        row = connection.execute(_ROWS.where(which)).first()
        return _sweep(row, json.loads(row.axes), owner=row.owner) if row else None


def _begin_again(database: Database, keys: Sequence[str]) -> Sequence[Any]:
    fresh = {
        "state": "pending",
        "attempts": 0,
        "deaths": 0,
        "error": None,
        "position": jobs.c.position % BEHIND,
    }
    with database.write() as connection:
        failed = sa.and_(jobs.c.key.in_(keys), jobs.c.state.in_(FAILED))
        again = connection.execute(
            sa.update(jobs)
            .where(lock_jobs(connection, failed))
            .values(fresh)
            .returning(jobs.c.group_key, jobs.c.key)
        )
        return again.all()


def _sweep(row: Any, axes: Mapping[str, Any], *, owner: str | None) -> Sweep:
    return Sweep(
        id=row.id,
        name=row.name,
        revision=row.revision,
        digest=row.digest,
        spec=row.spec,
        axes=axes,
        state=row.state,
        priority=row.priority,
        reason=row.reason,
        submitting=row.submitting,
        reference_of=row.reference_of,
        created_at=row.created_at,
        owner=owner,
    )
