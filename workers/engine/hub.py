"""Continuous batching: the jobs of a batch share the calls of their networks.

Each job runs the unmodified `__call__` of its pipeline, with its own scheduler, steps,
guidance and prompt, up to its next call of a network (see `runs`). When the jobs wait,
calls of equal signature are merged, the network is called once, and each job goes on
with its part of the answer. A job that ends makes room for the next one.

Nothing is approximated: all of a job's arithmetic but the network's is that of a plain
script, and a network treats its rows independently. So an image equals, bit for bit,
that of the same row of an ordinary batch of equal width.
"""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, Protocol

import torch

from storage.errors import JobError
from storage.job import Job
from workers.engine.compiling import Compiled
from workers.engine.lanes import Lane
from workers.engine.network_calls import Call, split
from workers.engine.row_allocator import RowAllocator, least_power
from workers.engine.runs import Run
from workers.engine.starter import Starter
from workers.vitals import phases
from workers.vitals.tally import Tally


class Source(Protocol):
    """Supplies jobs while the batch runs, and takes those that have ended."""

    def take(self) -> Job | None:
        """Return the next job if one is ready; never wait."""

    def withdraw(self) -> list[Job]:
        """Return jobs in hand to stop painting; usually none."""

    def check(self) -> None:
        """Raise `StoppedError` if the work is to end."""

    def finish(self, run: Run) -> None:
        """Take a run that has ended with pixels, on the device."""

    def fail(self, job: Job, error: JobError) -> None:
        """Take back a job that cannot be painted."""


class Hub:
    """A running batch of one pipeline.

    Attributes:
        width: Most rows of a lane.
    """

    def __init__(
        self,
        starter: Starter,
        jobs: Sequence[Job],
        source: Source,
        *,
        width: int,
        tally: Tally,
        compiled: Compiled | None = None,
    ) -> None:
        """Prepare a batch for one run.

        Args:
            starter: Prepares jobs of the loaded pipeline.
            jobs: The first jobs, one or more, of one group.
            source: Supplies further jobs of that group, and takes those that end.
            width: Most rows of a lane; constant.
            tally: Counts rows.
            compiled: The compiled networks. Then every lane has the full width, since
                a network is compiled for each width. None if they are not compiled.
        """
        self.width = width
        self._starter = starter
        self._source = source
        self._tally = tally
        self._compiled = compiled
        self._outside = deque(jobs)
        self._runs: list[Run] = []
        is_fixed = compiled is not None
        self._allocator = RowAllocator(width, is_fixed=is_fixed, tally=tally)

    @property
    def jobs(self) -> list[Job]:
        """The jobs in hand: those that run, then those about to begin."""
        return [*(run.job for run in self._runs), *self._outside]

    @property
    def _compilations(self) -> int:
        """How often a network was compiled so far."""
        return self._compiled.count if self._compiled else 0

    @property
    def widest(self) -> int:
        """Rows of the widest lane, or of the first one if there is none yet."""
        first = min(self.width, least_power(len(self.jobs)))
        return self._allocator.widest or first

    @torch.no_grad()
    def run(self) -> None:
        """Paint the first jobs and all further jobs of the source.

        After an error, `self.jobs` holds the unfinished jobs.

        Raises:
            StoppedError: The source was asked to end.
            UnshareableError: The pipeline's calls cannot be merged.
        """
        try:
            self._admit()
            while self._runs:
                self._source.check()
                if gone := self._source.withdraw():
                    self._withdraw({job.key for job in gone})
                else:
                    self._call(self._allocator.next_lane())
                part = sum(run.part for run in self._runs)
                phases.get_to(part, rows=len(self._runs))
                self._admit()
        finally:
            try:
                for run in self._runs:
                    run.end()
            finally:
                self._starter.restore()

    def _admit(self) -> None:
        """Begin jobs while there is room for them; fail those that cannot begin."""
        self._allocator.fill_free_rows()
        while self._has_room() and (self._outside or self._take()):
            job = self._outside[0]
            try:
                run, paint = self._starter.start(job, is_alone=self.width == 1)
            except JobError as exc:
                self._outside.popleft()
                self._source.fail(job, exc)
                continue
            self._runs.append(run)
            self._outside.popleft()
            self._proceed(run, partial(run.begin, paint))

    def _take(self) -> bool:
        job = self._source.take()
        if job:
            self._outside.append(job)
        return job is not None

    def _has_room(self) -> bool:
        return self._allocator.has_room if self.width > 1 else not self._runs

    def _proceed(self, run: Run, go_on: Callable[[], None]) -> None:
        """Have a run go on to its next call, or to its end."""
        before = self._compilations
        try:
            go_on()
        except JobError as exc:
            self._remove(run)
            self._source.fail(run.job, exc)
            return
        run.warm_up |= self._compilations > before
        if run.call:
            self._allocator.enqueue(run)
        else:
            self._source.finish(run)
            # Only now: if it raises, the job must still be in hand.
            self._remove(run)

    def _call(self, lane: Lane) -> None:
        """Call a network for a lane, and have its runs go on."""
        waiting, calls = lane.calls()
        before = self._compilations
        began = self._starter.clock.now()
        part_of = self._answer(lane, calls)
        ended = self._starter.clock.now()
        is_new = self._compilations > before
        self._tally.calls += 1
        self._tally.rows += lane.width
        self._tally.useful += len(waiting)
        for row, run in waiting.items():
            run.shares.append((began, ended, len(waiting)))
            run.warm_up |= is_new
            self._proceed(run, partial(run.resume, part_of(row)))

    def _answer(self, lane: Lane, calls: Sequence[Call]) -> Callable[[int], Any]:
        """Return a function that returns the answer to the call of a row."""
        network = self._starter.networks[calls[0].network]
        args, kwargs = lane.merger.merge(calls, self._starter.device)
        answer = network(*args, **kwargs)
        if lane.width == 1:
            return lambda _row: answer
        return split(answer, rows=calls[0].rows, count=lane.width)

    def _withdraw(self, keys: Collection[str]) -> None:
        """Drop jobs, running and about to begin."""
        outside = [job for job in self._outside if job.key not in keys]
        self._outside = deque(outside)
        for run in list(self._runs):
            if run.job.key in keys:
                self._remove(run)

    def _remove(self, run: Run) -> None:
        """End a run, and free its rows."""
        self._allocator.remove(run)
        self._runs.remove(run)
        run.end()
