"""Repair of what was lost, left behind or left half done, while the work goes on."""

import logging
import time
from collections.abc import Iterable

from celery import Celery

from storage.broker.queue import send, waiting
from storage.fleet.progress import able, list_workers
from storage.host.worker_ids import is_dead, my_host
from storage.jobs import blocked_groups, claims, lifecycle
from storage.jobs.claims import BEATS_PER_LEASE
from storage.jobs.sweeps import NORMAL_PRIORITY
from storage.jobs.wake_ups import runnable_keys
from storage.sql.database import Database
from workers.supervision.maintenance import REPAIR_S
from workers.vitals import clocks, phases
from workers.vitals.clocks import Moment

log = logging.getLogger(__name__)

#: Seconds without a look into SQL after which perhaps nobody else reached it either;
#: fewer are no gap, since looks are seconds apart by design.
GAP_S = 2 * REPAIR_S
RESENT = {"action": "resent"}


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
        """Log what was sent, unless it was for the same groups the last time."""
        if sent and sent != self._told:
            self._told = sent
            log.info("Sent jobs of %d groups again.", len(sent), extra=RESENT)

    def _look(self) -> None:
        with self._database.write():  # as a worker does to renew its leases
            now = clocks.now()
        if self._looked is None:
            self._spares_until = now[0] + 2 * self._lease_s / BEATS_PER_LEASE
        elif clocks.seconds_between(self._looked, now) > GAP_S:
            self._spares_until = now[0] + self._lease_s / 2
        self._looked = now


def free_the_dead(database: Database, *, spare_the_silent: bool = False) -> int:
    """Free the jobs of workers that are silent for too long, or gone from this host."""
    freed = 0 if spare_the_silent else claims.free_expired(database)
    for owner in claims.leased_owners(database):
        if is_dead(owner):
            freed += claims.free_owner(database, owner, died=False)
    if freed:
        log.warning("Freed %d jobs.", freed, extra={"action": "jobs_freed"})
    return freed


def reconcile(
    database: Database, app: Celery, *, spare_the_silent: bool = False
) -> set[str]:
    """Free dead workers' jobs, and wake workers if work waits without a message.

    Also finish what a command left half done, and pause a sweep that fails.

    Args:
        database: Where the jobs are.
        app: Where messages are sent.
        spare_the_silent: Whether leases that ended are left to their owners.

    Returns:
        The groups whose jobs were sent.

    Raises:
        QueueError: Redis cannot be reached.
        DatabaseError: SQL cannot be reached.
    """
    free_the_dead(database, spare_the_silent=spare_the_silent)
    lifecycle.settle_all(database)
    lifecycle.judge(database)
    if waiting(app):
        return set()
    keys = runnable_keys(database)
    copies = _copies(database, keys)
    for number in range(max(copies.values(), default=0)):
        groups = {group: keys[group] for group in keys if copies[group] > number}
        send(app, groups, priority=NORMAL_PRIORITY)
    return {group for group in keys if copies[group]}


def _copies(database: Database, groups: Iterable[str]) -> dict[str, int]:
    """Return how often to send the jobs of each group.

    Once, if no worker leaves the group alone. If some do, one of them may get the
    message, so there is one message for each of them, and one for each idle worker of
    this host that would make the group. Without such an idle worker, none is useful.
    """
    resting = blocked_groups.resting(database)
    workers = able(list_workers(database), my_host()) if resting else []
    idle = {(one.host, one.name) for one in workers if one.phase == phases.IDLE}
    copies = dict.fromkeys(groups, 1)
    for group in copies.keys() & resting.keys():
        is_useful = bool(idle - resting[group])
        copies[group] = len(idle | resting[group]) if is_useful else 0
    return copies
