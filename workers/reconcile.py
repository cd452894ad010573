"""Repair: what was lost, left behind or left half done, while the work goes on."""

import logging

from celery import Celery

from storage import claims, life
from storage.database import Database
from storage.owners import is_dead
from storage.queue import send, waiting
from storage.sweeps import NORMAL_PRIORITY, runnable_keys

log = logging.getLogger(__name__)


def free_the_dead(database: Database) -> int:
    """Free what workers hold that are silent for too long, or gone from this host."""
    freed = claims.free_expired(database)
    for owner in claims.leased_owners(database):
        if is_dead(owner):
            freed += claims.free_owner(database, owner, died=False)
    if freed:
        log.warning("Freed %d jobs.", freed, extra={"action": "jobs_freed"})
    return freed


def reconcile(database: Database, app: Celery) -> int:
    """Free the dead's jobs, and wake the workers where work waits without a message.

    What a command left half done is finished, and a sweep that fails is paused.

    Returns:
        The number of messages sent.

    Raises:
        QueueError: Redis cannot be reached.
        DatabaseError: SQL cannot be reached.
    """
    free_the_dead(database)
    life.settle_all(database)
    life.judge(database)
    if waiting(app):
        return 0
    groups = runnable_keys(database, limit=life.WAKE_UP)
    if not groups:
        return 0
    sent = send(app, groups, priority=NORMAL_PRIORITY)
    log.info("Sent %d messages again.", sent, extra={"action": "resent"})
    return sent
