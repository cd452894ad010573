"""The claimed jobs of one group that are not painted yet, and which one is next."""

from collections.abc import Collection, Sequence

from storage.job import Job
from storage.jobs.claims import Claim


class Prefetched:
    """Jobs that are ready, doubtful, or in the painter's hands; it has no thread.

    A job is doubtful if it may have killed a worker, or was in a batch that an
    unforeseen error ended. It is given alone: no other job is in hand beside it.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._again: list[Claim] = []
        self._ready: list[Claim] = []
        self._doubtful: list[Claim] = []
        self._in_hand: dict[str, Claim] = {}
        self._is_alone = False

    @property
    def waiting(self) -> int:
        """Jobs that can be given."""
        return len(self._again) + len(self._ready) + len(self._doubtful)

    @property
    def in_hand(self) -> int:
        """Jobs that were given and are not finished."""
        return len(self._in_hand)

    @property
    def held(self) -> int:
        """All jobs here."""
        return self.waiting + self.in_hand

    @property
    def is_guarded(self) -> bool:
        """Whether there is a job here that must be alone."""
        return self._is_alone or bool(self._doubtful)

    def add(self, claims: Sequence[Claim], *, longest_first: bool) -> None:
        """Take new claims; a job that is here already is not taken twice."""
        known = {claim.id for claim in self._all()}
        for claim in claims:
            if claim.id not in known:
                (self._doubtful if claim.is_suspect else self._ready).append(claim)
        if longest_first:
            self._ready.sort(key=lambda claim: -claim.evaluations)

    def give(self, *, may_be_alone: bool) -> Claim | None:
        """Hand the next job to the painter, if it may have one now."""
        if self._is_alone or (self._doubtful and not may_be_alone):
            return None
        if self._doubtful:
            if self._in_hand:
                return None
            self._is_alone = True
            given = self._doubtful.pop(0)
        elif self._again or self._ready:
            given = (self._again or self._ready).pop(0)
        else:
            return None
        self._in_hand[given.job.key] = given
        return given

    def jobs_in_hand(self) -> list[Job]:
        """Return the jobs in hand, the first given first."""
        return [claim.job for claim in self._in_hand.values()]

    def find(self, job: Job) -> Claim:
        """Return the claim of a job in hand."""
        return self._in_hand[job.key]

    def remove(self, job: Job) -> None:
        """Let go of a job in hand."""
        del self._in_hand[job.key]
        self._is_alone = self._is_alone and bool(self._in_hand)

    def put_back(self, jobs: Sequence[Job]) -> None:
        """Take jobs out of the painter's hands, to be given again first."""
        again = self._doubtful if self._is_alone else self._again
        again[:0] = [self._in_hand[job.key] for job in jobs]
        for job in jobs:
            self.remove(job)

    def withdraw_waiting(self, ids: Collection[int]) -> list[Claim]:
        """Return the waiting jobs with these ids, and forget them."""
        gone = []
        for waiting in (self._doubtful, self._again, self._ready):
            gone += [claim for claim in waiting if claim.id in ids]
            waiting[:] = [claim for claim in waiting if claim.id not in ids]
        return gone

    def withdraw_in_hand(self, ids: Collection[int]) -> list[Claim]:
        """Return the jobs in hand with these ids, and forget them."""
        gone = [claim for claim in self._in_hand.values() if claim.id in ids]
        for claim in gone:
            self.remove(claim.job)
        return gone

    def doubt(self) -> None:
        """Take all that is in hand back, to be given one by one."""
        self._doubtful[:0] = self._in_hand.values()
        self._in_hand.clear()
        self._is_alone = False

    def trust(self) -> None:
        """Trust jobs that only shared a batch again; they are given again, together."""
        self._again += [claim for claim in self._doubtful if not claim.is_suspect]
        self._doubtful = [claim for claim in self._doubtful if claim.is_suspect]

    def drain_in_hand(self) -> list[Claim]:
        """Return all that is in hand, and forget it."""
        drained = list(self._in_hand.values())
        self._in_hand.clear()
        self._is_alone = False
        return drained

    def drain(self) -> list[Claim]:
        """Return all that is here, and forget it."""
        drained = [*self._doubtful, *self._again, *self._ready]
        for part in (self._again, self._ready, self._doubtful):
            part.clear()
        return [*self.drain_in_hand(), *drained]

    def _all(self) -> list[Claim]:
        in_hand = self._in_hand.values()
        return [*in_hand, *self._doubtful, *self._again, *self._ready]
