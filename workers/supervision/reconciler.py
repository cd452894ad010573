"""Repair of what was lost, left behind or left half done, while the work goes on."""

import logging
import time
from collections.abc import Collection, Mapping
from typing import Any

from celery import Celery

from storage.broker.queue import send, send_scores, waiting
from storage.fleet.progress import able, list_workers
from storage.host.worker_ids import is_dead, my_host
from storage.job import BACKENDS, TORCH, backend_of
from storage.jobs import blocked_groups, budgets, claims, lifecycle, quota_holds
from storage.jobs.claims import BEATS_PER_LEASE
from storage.jobs.sweeps import NORMAL_PRIORITY
from storage.jobs.wake_ups import runnable_keys
from storage.scores import score_claims
from storage.scores.score_counts import pending_metrics
from storage.sql.database import Database
from workers.supervision.maintenance import REPAIR_S
from workers.vitals import clocks, phases
from workers.vitals.clocks import Moment

log = logging.getLogger(__name__)

#: Seconds without a look into SQL after which perhaps nobody else reached it either;
#: fewer are no gap, since looks are seconds apart by design.
GAP_S = 2 * REPAIR_S
RESENT = {"action": "resent"}
FREED = {"action": "jobs_freed"}
#: What workers lease, each with its claims.
_LEASED: Mapping[str, Any] = {"jobs": claims, "scores": score_claims}


class Reconciler:
    """Reconciles again and again, and spares living workers after an outage of SQL.

    No worker can renew its leases while SQL is away. So that their jobs are not given
    to others when SQL is back, living workers first get half a lease to renew them; or
    two heartbeats if it is not known what happened before.
    """

    def __init__(self, database: Database, app: Celery, *, lease_s: float) -> None:
        """Take what `reconcile` takes, and the seconds that a lease lasts."""
        self._database = database
        self._app = app
        self._lease_s = lease_s
        self._looked: Moment | None = None
        self._told: set[str] = set()
        self._spares_until = 0.0

    def __call__(self) -> None:
        """Reconcile; see `reconcile`."""
        self._look()
        spares = time.monotonic() < self._spares_until
        self._tell(reconcile(self._database, self._app, spare_the_silent=spares))

    def _tell(self, sent: set[str]) -> None:
        """Log what was sent, unless it was for the same groups or metrics before."""
        if sent and sent != self._told:
            self._told = sent
            log.info("Sent work of %d groups again.", len(sent), extra=RESENT)

    def _look(self) -> None:
        with self._database.write():  # as a worker does to renew its leases
            now = clocks.now()
        if self._looked is None:
            self._spares_until = now[0] + 2 * self._lease_s / BEATS_PER_LEASE
        elif clocks.seconds_between(self._looked, now) > GAP_S:
            self._spares_until = now[0] + self._lease_s / 2
        self._looked = now


def free_the_dead(database: Database, *, spare_the_silent: bool = False) -> int:
    """Free what workers hold that are silent for too long, or gone from this host."""
    freed = dict.fromkeys(_LEASED, 0)
    for name, held in _LEASED.items():
        if not spare_the_silent:
            freed[name] += held.free_expired(database)
        for owner in held.leased_owners(database):
            if is_dead(owner):
                freed[name] += held.free_owner(database, owner, died=False)
        if freed[name]:
            log.warning("Freed %d %s.", freed[name], name, extra=FREED)
    return sum(freed.values())


def reconcile(
    database: Database, app: Celery, *, spare_the_silent: bool = False
) -> set[str]:
    """Free what dead workers held, and wake workers if work waits without a message.

    Also finish what a command left half done, pause a sweep that fails or that has
    reached a limit, and let sweeps go on whose owner's quota has room again.

    Args:
        database: Where the jobs are.
        app: Where messages are sent.
        spare_the_silent: Whether leases that ended are left to their owners.

    Returns:
        The groups whose jobs were sent, or the metrics whose scores were.

    Raises:
        QueueError: Redis cannot be reached.
        DatabaseError: SQL cannot be reached.
    """
    free_the_dead(database, spare_the_silent=spare_the_silent)
    budgets.stop_reached(database)
    quota_holds.hold_reached(database)
    quota_holds.release(database)
    lifecycle.settle_all(database)
    lifecycle.judge(database)
    idle = {backend for backend in BACKENDS if not waiting(app, backend)}
    if not idle:
        return set()
    sent = _send_jobs(database, app, idle)
    if TORCH in idle and TORCH not in map(backend_of, sent):
        sent |= _send_scores(database, app)
    return sent


def _send_jobs(database: Database, app: Celery, backends: Collection[str]) -> set[str]:
    """Send some jobs of every group of these back ends; return the groups."""
    runnable = runnable_keys(database).items()
    keys = {group: some for group, some in runnable if backend_of(group) in backends}
    copies = _copies(database, dict.fromkeys(keys, 1))
    for number in range(max(copies.values(), default=0)):
        groups = {group: keys[group] for group in keys if copies[group] > number}
        send(app, groups, priority=NORMAL_PRIORITY)
    return {group for group in keys if copies[group]}


def _send_scores(database: Database, app: Celery) -> set[str]:
    """Send the metrics whose scores wait; return what stands for them in blocks.

    A message wakes one worker, so there are several where many scores wait.
    """
    waiting = pending_metrics(database, host=my_host())
    wanted = {one.block_key: one.messages for one in waiting}
    copies = _copies(database, wanted)
    send_scores(app, {one.digest: copies[one.block_key] for one in waiting})
    return {key for key, count in copies.items() if count}


def _copies(database: Database, wanted: Mapping[str, int]) -> dict[str, int]:
    """Return how often to send the jobs of each group, or the scores of each metric.

    As often as is wanted, if no worker leaves it alone. If some do, one of them may get
    the message, so there is one message for each of them, and one for each idle worker
    of this host that would do the work. Without such an idle worker, none is useful.
    """
    resting = blocked_groups.resting(database)
    workers = able(list_workers(database), my_host()) if resting else []
    idlers = [one for one in workers if one.phase == phases.IDLE]
    copies = dict(wanted)
    for group in copies.keys() & resting.keys():
        able_ones = [one for one in idlers if one.backend == backend_of(group)]
        idle = {(one.host, one.name) for one in able_ones}
        is_useful = bool(idle - resting[group])
        copies[group] = len(idle | resting[group]) if is_useful else 0
    return copies
