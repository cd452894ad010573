"""Maintenance: what a supervisor does with SQL and Redis beside its loop over workers.

Either may be away for minutes. Nobody waits for it then: neither the workers that are
to be ended or started, nor the person who pressed Ctrl-C.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from storage.errors import NightsweepError, WrongPlaceError
from storage.fleet import registry
from storage.fleet.registry import Entry
from storage.host.worker_ids import my_host
from storage.job import TORCH
from storage.jobs import blocked_groups, claims
from storage.scores import score_claims
from storage.sql.database import Database
from workers.supervision.background import Answer, BackgroundTasks
from workers.vitals import outages

log = logging.getLogger(__name__)

#: Seconds between two repairs, and after a failed one.
REPAIR_S = 5.0
REPAIR_RETRY_S = 2.0
#: Seconds between two checks whether Redis answers.
REDIS_S = 1.0
#: Seconds between two checks whether there is work.
WORK_S = 2.0
#: Seconds that freeing may hold the loop up.
FREEING_S = 2.0


class Maintenance:
    """Frees the jobs of dead workers, wakes the living ones, keeps Redis up.

    Errors of SQL and Redis are logged once, and the work is tried again.

    Attributes:
        has_work: Whether there was something to make at the last check; None if that
            is not known.
        trouble: Why the work cannot go on, once that is known.
    """

    def __init__(
        self,
        database: Database,
        *,
        repair: Callable[[], object],
        keep_redis: Callable[[], object] | None = None,
        backend: str = TORCH,
    ) -> None:
        """Begin with nothing done.

        Args:
            database: Where jobs are freed, and the registry is.
            repair: Called every few seconds, and after each death.
            keep_redis: Called every second, where Redis is ours to start.
            backend: What the workers paint with.
        """
        self.has_work: bool | None = None
        self.trouble: WrongPlaceError | None = None
        self._host = my_host()
        self._backend = backend
        self._database = database
        self._repair = repair
        self._keep_redis = keep_redis
        self._sql = BackgroundTasks("sql")
        # Separate, since a repair may wait for a Redis that only this thread starts.
        self._redis = BackgroundTasks("redis")
        self._unfreed: list[tuple[str, bool]] = []
        self._next_repair = self._next_redis = self._next_work = 0.0

    def tick(self, *, wants_work: bool) -> None:
        """Do what is due.

        Args:
            wants_work: Whether anybody needs `has_work`.
        """
        now = time.monotonic()
        if self._keep_redis and now >= self._next_redis and not self._redis.is_busy:
            self._next_redis = now + REDIS_S
            self._send(self._redis, self._keep_redis)
        if self._sql.is_busy:
            return
        if now >= self._next_repair:
            self.repair()
        if wants_work and now >= self._next_work:
            self._next_work = now + WORK_S
            self._send(self._sql, self._look_for_work)

    def repair(self) -> None:
        """Repair soon."""
        self._next_repair = time.monotonic() + REPAIR_S
        self._send(self._sql, self._repair_all)

    def free_and_wake(self, owner: str, *, died: bool) -> frozenset[int] | None:
        """Free the jobs of a worker that is gone, and wake others to make them.

        Args:
            owner: What its name in claims begins with.
            died: Whether a job may be to blame: it crashed, or was stuck with one in
                hand and was killed; see `claims.free_owner`.

        Returns:
            Rows of the jobs that it held; None if the database takes too long, or
            cannot be reached.
        """
        freed = self.free(owner, died=died)
        self.repair()
        try:
            return freed.result(FREEING_S)
        except TimeoutError:
            return None

    def block(self, owner: str, *, worker: str, reason: str) -> None:
        """Note what a worker could not load, as `blocked_groups.block_held` does."""
        what = {"host": self._host, "worker": worker, "reason": reason}
        act = partial(blocked_groups.block_held, self._database, owner, **what)
        self._send(self._sql, act)

    def free(self, owner: str, *, died: bool) -> "Future[frozenset[int] | None]":
        """Free the jobs of a worker that is gone; arguments as for `free_and_wake`."""
        return self._send(self._sql, partial(self._free, owner, died=died))

    def note(self, entry: Entry) -> None:
        """Write a row of the registry."""
        self._send(self._sql, lambda: registry.note(self._database, entry))

    def announce(self, entry: Entry) -> None:
        """Write a registry row for a worker that has not written its own yet."""
        self._send(self._sql, lambda: registry.announce(self._database, entry))

    def strike(self, owner: str) -> None:
        """Remove a row of the registry."""
        self._send(self._sql, lambda: registry.remove(self._database, owner))

    def finish(self, within_s: float) -> None:
        """Wait until all that was asked for is done, but at most `within_s` seconds."""
        done: Future[None] = self._sql.send(lambda: None)
        try:
            done.result(within_s)
        except TimeoutError:
            log.warning("Jobs wait for their leases.", extra={"action": "not_freed"})

    def _send(
        self, background: BackgroundTasks, act: Callable[[], Answer]
    ) -> "Future[Answer | None]":
        return background.send(lambda: self._try(background, act))

    def _try(
        self, background: BackgroundTasks, act: Callable[[], Answer]
    ) -> Answer | None:
        try:
            answer = act()
        except WrongPlaceError as exc:
            self.trouble = exc
        except NightsweepError as exc:
            outages.begin(background, exc)
            self._next_repair = min(
                self._next_repair, time.monotonic() + REPAIR_RETRY_S
            )
        except Exception:
            log.exception("Maintenance failed.", extra={"action": "maintenance_failed"})
        else:
            outages.end(background)
            return answer
        return None

    def _free(self, owner: str, *, died: bool) -> frozenset[int]:
        try:
            held = registry.held_by(self._database, owner)
            claims.free_owner(self._database, owner, died=died)
            score_claims.free_owner(self._database, owner, died=died)
        except NightsweepError:
            self._unfreed.append((owner, died))
            raise
        registry.remove(self._database, owner)
        return held

    def _repair_all(self) -> None:
        # First, since the rest treats a worker that is gone as if its host was lost.
        while self._unfreed:
            owner, died = self._unfreed.pop(0)
            self._free(owner, died=died)  # kept for later where the database is away
        self._repair()
        registry.remove_the_gone(self._database)

    def _look_for_work(self) -> None:
        try:
            work = registry.has_work(self._database, self._host, self._backend)
            self.has_work = work
        except Exception:
            self.has_work = None
            raise
