"""Prefetch: a thread that claims the jobs of one group ahead of need.

The painter takes what is ready and never waits for SQL. What is claimed ahead is at
most one width, at most what this worker makes in a minute, and near the end of the
group at most its fair share, so that no slow worker holds jobs that others could make.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Self

from storage.errors import DeviceError, JobError
from storage.job import Job
from storage.jobs import claims
from storage.jobs.claims import Claim
from workers.execution.cancellation import Cancellation
from workers.execution.context import Answer, Context, ending
from workers.execution.fair_share import FairShare
from workers.execution.prefetched import Prefetched
from workers.execution.result_writer import Fetch, ResultWriter
from workers.painting import StoppedError
from workers.vitals.recent import Recent

log = logging.getLogger(__name__)

#: Seconds between two looks at a group that ran dry, while its last jobs are painted.
DRY_S = 1.0
#: Seconds between two looks at who else is at work, and whether the turn is over.
PEERS_POLL_S = 3.0
#: Seconds between two looks at anything else that is waited for.
PREFETCH_TICK_S = 0.1


class Prefetch:
    """The jobs of one group as they come: the `Work` of a painter; use as a context.

    At its end, what is not painted is handed back.
    """

    def __init__(
        self,
        context: Context,
        group: str,
        *,
        writer: ResultWriter,
        recent: Recent,
        is_over: Callable[[], bool],
    ) -> None:
        """Claim nothing yet.

        Args:
            context: Where jobs are claimed, and by whom.
            group: Their batch group.
            writer: What takes over painted jobs.
            recent: How fast this worker is.
            is_over: Called now and then, in another thread; whether to claim no more.
        """
        self.group = group
        self._context = context
        self._writer = writer
        self._fair_share = FairShare(recent=recent, workers=context.peers)
        self._is_over = is_over
        self._prefetched = Prefetched()
        self._changed = threading.Condition()
        self._cancellation = Cancellation(context, self._prefetched, self._changed)
        self._trouble: Exception | None = None
        self._closed = self._ended = False
        #: Jobs that `gather` waits for; how often it asked, and was answered.
        self._demand = self._asked = self._answered = 0
        #: Runnable jobs that the last look left; None before the first one.
        self._left: int | None = None
        self._had_suspect = False
        self._next_look = self._next_claim = 0.0
        self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)

    def __enter__(self) -> Self:
        """Begin to claim."""
        self._thread.start()
        self._cancellation.start()
        return self

    def __exit__(self, _kind: object, exc: object, _trace: object) -> None:
        """Stop claiming, and hand back what is not painted."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        self._cancellation.end()
        if isinstance(exc, DeviceError):
            self._context.suspect(self._prefetched.drain_in_hand(), exc)
        self._context.hand_back([claim.id for claim in self._prefetched.drain()])

    @property
    def in_hand(self) -> int:
        """Jobs that the painter was given and has not finished."""
        return self._prefetched.in_hand

    def expect(self, width: int) -> None:
        """See `workers.painting.Work`."""
        self._writer.expect(width)
        with self._changed:
            self._fair_share.width = width
            self._changed.notify_all()

    def gather(self, count: int) -> list[Job]:
        """See `workers.painting.Work`."""
        with self._changed:
            while True:
                self._ask_for(count)
                self.check()
                jobs = self._give(count, may_be_alone=True)
                if jobs or self._prefetched.in_hand or self._ended or self._left == 0:
                    return jobs
                # What is left is in other hands, or was lost: look again.
                self._changed.wait(PREFETCH_TICK_S)

    def take(self) -> Job | None:
        """See `workers.painting.Work`."""
        with self._changed:
            return next(iter(self._give(1, may_be_alone=False)), None)

    def keep(self, job: Job, fetch: Fetch) -> None:
        """See `workers.painting.Work`."""
        # Held by both for a moment, rather than by neither.
        self._writer.keep(self._prefetched.find(job), fetch)
        with self._changed:
            self._prefetched.remove(job)

    def fail(self, job: Job, error: JobError) -> None:
        """See `workers.painting.Work`."""
        self._writer.fail(self._prefetched.find(job), str(error))
        with self._changed:
            self._prefetched.remove(job)

    def put_back(self, jobs: list[Job]) -> None:
        """See `workers.painting.Work`."""
        with self._changed:
            self._prefetched.put_back(jobs)

    def withdraw(self) -> list[Job]:
        """See `workers.painting.Work`."""
        return self._cancellation.take()

    def check(self) -> None:
        """See `workers.painting.Work`; also raises what ended other threads."""
        trouble = self._trouble or self._cancellation.trouble or self._writer.trouble
        if trouble:
            raise trouble
        self._context.check()

    def restart(self, *, one_by_one: bool) -> None:
        """Take back all that is in hand, to be given again.

        Args:
            one_by_one: Whether each comes alone, since one of them ended the batch.
        """
        with self._changed:
            if one_by_one:
                self._prefetched.doubt()
            else:
                self._prefetched.put_back(self._prefetched.jobs_in_hand())

    def blame(self, error: str) -> None:
        """Fail what is in hand, and stop doubting the other jobs of its batch."""
        for job in self._prefetched.jobs_in_hand():
            self._writer.fail(self._prefetched.find(job), error)
            with self._changed:
                self._prefetched.remove(job)
        with self._changed:
            self._prefetched.trust()

    def _ask_for(self, count: int) -> None:
        """Have the thread look for that many jobs, if fewer are ready."""
        if self._has_enough(count):
            return
        self._demand, self._asked = count, self._asked + 1
        self._changed.notify_all()
        while self._answered < self._asked and not self._has_enough(count):
            self.check()
            self._changed.wait(PREFETCH_TICK_S)
        self._demand, self._answered = 0, self._asked

    def _has_enough(self, count: int) -> bool:
        """Return whether looking for more jobs is pointless."""
        prefetched = self._prefetched
        return self._ended or prefetched.is_guarded or prefetched.waiting >= count

    def _give(self, count: int, *, may_be_alone: bool) -> list[Job]:
        given: list[Job] = []
        while len(given) < count:
            claim = self._prefetched.give(may_be_alone=may_be_alone)
            if claim is None:
                break
            if self._context.heartbeat.has_lost(claim.id):
                self._prefetched.remove(claim.job)
                self._context.heartbeat.let_go(claim.id)
            else:
                given.append(claim.job)
        self._changed.notify_all()
        return given

    def _run(self) -> None:
        try:
            while self._wait_for_need():
                self._look()
        except Exception as exc:  # noqa: BLE001 - the painter's thread raises it
            self._trouble = ending(exc)
        self._end()

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _wait_for_need(self) -> bool:
        """Wait until more jobs are needed; return False once the work is over."""
        with self._changed:
            while not (self._closed or self._ended or self._is_needed()):
                self._changed.wait(PREFETCH_TICK_S)
            return not (self._closed or self._ended)

    def _is_needed(self) -> bool:
        if self._prefetched.is_guarded:
            return False
        if self._asked > self._answered:
            return True
        is_low = self._prefetched.waiting <= self._fair_share.ahead // 2
        return is_low and time.monotonic() >= self._next_claim

    def _look(self) -> None:
        """Look into SQL once, and claim the jobs that are wanted and available."""
        self._look_around()
        if self._ended:
            return
        if self._had_suspect:
            # Until the suspect's row is written, it must stay alone.
            self._writer.settle(self._check_open)
            self._had_suspect = False
        with self._changed:
            # A snapshot: more may be asked for meanwhile, for a wider batch.
            asked, demand = self._asked, self._demand
            fair_share, prefetched = replace(self._fair_share), self._prefetched
        left = self._patiently(
            lambda: claims.count_runnable(
                self._context.database, self.group, up_to=fair_share.horizon
            )
        )
        wanted = max(demand, fair_share.ahead) - prefetched.waiting
        is_tail = fair_share.is_tail(left, waiting=prefetched.waiting)
        limit = min(wanted, fair_share.of(left, held=prefetched.held))
        taken = self._claim(limit, longest_first=is_tail)
        with self._changed:
            prefetched.add(taken, longest_first=is_tail)
            self._had_suspect = any(claim.is_suspect for claim in taken)
            self._left = left - len(taken)
            self._answered = max(self._answered, asked)
            pause_s = PREFETCH_TICK_S if self._left else DRY_S
            is_short = len(taken) < wanted
            self._next_claim = time.monotonic() + (pause_s if is_short else 0.0)
            self._changed.notify_all()

    def _look_around(self) -> None:
        """Check now and then whether the turn is over, and who else is at work."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + PEERS_POLL_S
        if self._patiently(self._is_over):
            self._end()
        others = self._patiently(lambda: claims.leased_owners(self._context.database))
        self._fair_share.workers = max(
            self._context.peers, len(others | {self._context.owner})
        )

    def _claim(self, limit: int, *, longest_first: bool) -> list[Claim]:
        if limit <= 0:
            return []
        fresh = self._prefetched.held > 0 or self._writer.is_busy
        taken = self._claim_once(limit, longest_first=longest_first, fresh=fresh)
        if not taken and fresh and not self._prefetched.held:
            # Only jobs that must be alone are left: for them, wait until all is done.
            self._writer.settle(self._check_open)
            taken = self._claim_once(limit, longest_first=longest_first, fresh=False)
        return taken

    def _claim_once(
        self, limit: int, *, longest_first: bool, fresh: bool
    ) -> list[Claim]:
        taken = self._patiently(
            lambda: claims.claim(
                self._context.database,
                owner=self._context.owner,
                lease_s=self._context.lease_s,
                limit=limit,
                group=self.group,
                fresh=fresh,
                longest_first=longest_first,
            )
        )
        self._context.heartbeat.hold(*(claim.id for claim in taken))
        return taken

    def _patiently(self, act: Callable[[], Answer]) -> Answer:
        return self._context.patiently(act, check=self._check_open)

    def _check_open(self) -> None:
        if self._closed:
            raise StoppedError
        self.check()
