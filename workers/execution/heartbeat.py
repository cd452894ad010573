"""The heartbeat: a thread that keeps a worker's leases while it works."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storage.errors import NightsweepError, WrongPlaceError
from storage.jobs import claims
from storage.jobs.claims import BEATS_PER_LEASE
from storage.sql.database import Database
from workers.vitals import clocks, outages
from workers.vitals.clocks import Moment

log = logging.getLogger(__name__)

#: Share of a lease within which it is sure; the rest is for writing a file.
SURE = 0.5


class Heartbeat:
    """Tells SQL, every few seconds, that the jobs in hand go on.

    A worker process has one for jobs, and another for scores, whose rows are called by
    the jobs of their images.
    """

    def __init__(
        self,
        database: Database,
        *,
        owner: str,
        lease_s: float,
        renew: Callable[..., set[int]] = claims.renew,
    ) -> None:
        """Begin with no job in hand.

        Args:
            database: Where the leases are.
            owner: This worker's name in them.
            lease_s: Seconds that a lease lasts.
            renew: Renews them; takes what `claims.renew` takes.
        """
        self._database = database
        self._renew = renew
        self._owner = owner
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        #: By job in hand, the earliest moment at which its lease began last.
        self._held: dict[int, Moment] = {}
        self._lost: set[int] = set()

    @contextmanager
    def during(self) -> Iterator[None]:
        """Keep the leases of the jobs in hand while the block runs."""
        ended = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(ended,), name="heartbeat", daemon=True
        )
        thread.start()
        is_over = False
        try:
            yield
            is_over = True
        finally:
            ended.set()
            thread.join()
            outages.end(self, is_over=is_over)

    def hold(self, *ids: int) -> None:
        """Keep the leases of these jobs too, from now on."""
        with self._lock:
            self._held.update(dict.fromkeys(ids, clocks.now()))
            self._lost.difference_update(ids)  # claimed anew after it was lost

    def let_go(self, *ids: int) -> None:
        """Stop keeping the leases of these jobs."""
        with self._lock:
            for job_id in ids:
                self._held.pop(job_id, None)
            self._lost.difference_update(ids)

    def has_lost(self, job_id: int) -> bool:
        """Return whether somebody else was given a job that is in hand here."""
        with self._lock:
            return job_id in self._lost

    def is_sure_of(self, job_id: int) -> bool:
        """Return whether a job in hand is still this worker's, for when it matters.

        SQL is asked only if the job's lease may have ended: after an outage, or if this
        process or its machine stood still.

        Raises:
            DatabaseError: SQL must be asked, and cannot be reached.
        """
        if self._is_in_doubt(job_id):
            with self._asking:
                # A thread that had to wait here has the answer that another one got.
                if self._is_in_doubt(job_id):
                    self._keep_leases()
        with self._lock:
            return job_id in self._held

    def _is_in_doubt(self, job_id: int) -> bool:
        with self._lock:
            since = self._held.get(job_id)
        if since is None:
            return False
        elapsed_s = clocks.seconds_between(since, clocks.now())
        return elapsed_s > SURE * self._lease_s

    def _run(self, ended: threading.Event) -> None:
        while True:
            self._beat()
            if ended.wait(self._lease_s / BEATS_PER_LEASE):
                return

    def _beat(self) -> None:
        try:
            self._keep_leases()
        except WrongPlaceError:
            pass  # no outage; the painter's thread meets it too, and says so
        except NightsweepError as exc:
            outages.begin(self, exc)
        except Exception:  # whatever it is, it must not cost leases
            log.exception("A heartbeat failed.", extra={"action": "beat_failed"})
        else:
            outages.end(self)

    def _keep_leases(self) -> None:
        with self._lock:
            held = dict(self._held)
        if not held:
            return
        began = clocks.now()
        kept = self._renew(
            self._database, owner=self._owner, ids=held, lease_s=self._lease_s
        )
        with self._lock:
            for job_id, since in held.items():
                if self._held.get(job_id) != since:
                    continue  # let go meanwhile, or claimed anew
                if job_id in kept:
                    self._held[job_id] = began
                else:
                    del self._held[job_id]
                    self._lost.add(job_id)
