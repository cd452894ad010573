"""The result writer: what is painted becomes files and rows, during the next steps.

A few threads turn what was painted into pictures and files. One more writes the rows,
many in one transaction: those that gathered while it wrote the last ones. The file
always comes first, then its thumbnail: a row that says "done" has its picture.

A bucket takes a moment to answer, however fast it is. So more threads put files there
at once; no more of them than before encode pictures.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Self

from storage.errors import DeviceError, JobError, in_words
from storage.files.images import relative_path
from storage.jobs.claims import Claim
from storage.jobs.results import Result, Timings
from storage.sql.database import seconds_between, utc_now
from workers.execution.context import ENDINGS, Answer, Context, ending
from workers.execution.encode import Encoded, encode
from workers.execution.recording import Done, Failed, Recorder, fields_of
from workers.painting import Painting
from workers.vitals import phases
from workers.vitals.recent import Recent

log = logging.getLogger(__name__)

#: Widths of jobs that may be in the making; with more, the painter waits.
WIDTHS_IN_HAND = 2
#: Jobs that may be in the making however narrow the batch is.
LEAST_IN_HAND = 4
#: Seconds that a row waits for others to share its transaction.
LINGER_S = 0.1
#: Seconds between two checks whether to go on waiting.
WRITER_TICK_S = 0.1
#: Seconds to wait for memory. A batch beside this one, or a program, may end; but if
#: this process uses all of it, only its own end helps.
SHORTAGE_S = 120.0

Fetch = Callable[[], Painting]


class ResultWriter:
    """Threads that finish the jobs of one group; use it as a context.

    At its end, all that it took over is written, even when the worker is to stop. Only
    an outage that a stop cuts short leaves jobs unmade; they are handed back.

    Attributes:
        trouble: The error that ended the work, if any: `StoppedError`, `UnfitError` or
            `DeviceError`. Raised at the context's end, unless another error is.
    """

    def __init__(self, context: Context, recent: Recent) -> None:
        """Start nothing yet.

        Args:
            context: Where files and rows go.
            recent: Counts each image, and each unforeseen error.
        """
        self.trouble: Exception | None = None
        self._context = context
        self._recent = recent
        self._recorder = Recorder(context, recent)
        self._changed = threading.Condition()
        self._count = 0
        self._most = LEAST_IN_HAND + context.puts
        self._rows: list[Done | Failed] = []
        self._abandoned: list[Claim] = []
        self._hurried = self._closed = False
        self._savers = ThreadPoolExecutor(context.savers + context.puts, "save")
        self._encoding = threading.Semaphore(context.savers)
        self._writer = threading.Thread(target=self._write, name="write", daemon=True)

    def __enter__(self) -> Self:
        """Start the writer."""
        self._writer.start()
        return self

    def __exit__(self, kind: object, *_exc: object) -> None:
        """Write all that is left and end the threads."""
        self._savers.shutdown()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._writer.join()
        if isinstance(self.trouble, DeviceError):
            self._context.suspect(self._abandoned, self.trouble)
        else:
            self._context.hand_back([claim.id for claim in self._abandoned])
        if self.trouble and kind is None:
            raise self.trouble

    @property
    def is_busy(self) -> bool:
        """Whether a job that was taken over is not written yet."""
        return self._count > 0

    def expect(self, width: int) -> None:
        """Note how many jobs are painted at once."""
        with self._changed:
            least = max(LEAST_IN_HAND, WIDTHS_IN_HAND * width)
            self._most = least + self._context.puts

    def keep(self, claim: Claim, fetch: Fetch) -> None:
        """Take over a painted job; wait while too many are in the making.

        Raises:
            Exception: The writer's `trouble`; the job was not taken over.
        """
        self._begin()
        self._savers.submit(self._finish, claim, fetch)

    def fail(self, claim: Claim, error: str) -> None:
        """Take over a failed job; wait and raise as `keep` does."""
        self._begin()
        self._add(Failed(claim=claim, error=error))

    def settle(self, check: Callable[[], None]) -> None:
        """Wait until all is written; `check` raises an error to give up."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()
            while self._count:
                check()
                self._changed.wait(WRITER_TICK_S)

    def _begin(self) -> None:
        with self._changed:
            # How long this takes depends on the other threads and the disk.
            with phases.during(phases.IDLE):
                self._changed.wait_for(lambda: self._count < self._most or self.trouble)
            if self.trouble:
                raise self.trouble
            self._count += 1
            self._hurried = False

    def _add(self, row: Done | Failed) -> None:
        with self._changed:
            self._rows.append(row)
            self._changed.notify_all()

    def _abandon(self, claims: Sequence[Claim], exc: Exception) -> None:
        with self._changed:
            self.trouble = self.trouble or ending(exc)
            self._abandoned += claims
            self._changed.notify_all()

    def _end(self, count: int) -> None:
        with self._changed:
            self._count -= count
            self._changed.notify_all()

    def _finish(self, claim: Claim, fetch: Fetch) -> None:
        try:
            row = self._make(claim, fetch)
        except Exception as exc:  # noqa: BLE001 - the painter's thread raises it
            self._abandon([claim], exc)
            self._end(1)
            return
        if row:
            self._add(row)
        else:
            self._context.heartbeat.let_go(claim.id)
            self._end(1)

    def _make(self, claim: Claim, fetch: Fetch) -> Done | Failed | None:
        """Make the file; return None if the job is somebody else's by now."""
        try:
            with self._encoding:
                with phases.during(phases.PAINTING):  # what is left of it
                    painting = fetch()
                with phases.during(phases.STORING):
                    encoded, encode_s = self._encode(claim, painting)
            with phases.during(phases.STORING):
                done = self._save(claim, painting, encoded, encode_s=encode_s)
        except (*ENDINGS, MemoryError):
            raise
        except JobError as exc:
            return Failed(claim=claim, error=str(exc))
        except Exception as exc:
            log.exception("Failed.", extra={"action": "job_failed", **fields_of(claim)})
            error = in_words(exc)
            self._recent.surprised_by(error)
            return Failed(claim=claim, error=error)
        if done:
            self._recent.made_one()
        return done

    def _encode(self, claim: Claim, painting: Painting) -> tuple[Encoded, float]:
        """Return what is stored of a picture, and the seconds that it took."""
        # Once the work is to end, each remaining job has one attempt.
        until = time.perf_counter() + (0.0 if self.trouble else SHORTAGE_S)
        job, place = claim.job, painting.place
        made = replace(job, model=job.model.at(place)) if place else job
        return self._timed(
            lambda: encode(painting.image, made, scheduler=claim.scheduler, until=until)
        )

    def _save(
        self, claim: Claim, painting: Painting, encoded: Encoded, *, encode_s: float
    ) -> Done | None:
        job = claim.job
        is_stored, store_s = self._timed(lambda: self._store(claim, encoded))
        if not is_stored:
            return None
        result = Result(
            path=relative_path(job.key),
            size_bytes=len(encoded.png),
            pixel_sha256=encoded.pixel_sha256,
            engine=painting.engine,
            batch_width=painting.batch_width,
            slot=painting.slot,
            evaluations=painting.evaluations,
            timings=Timings(
                queue_s=seconds_between(claim.created_at, claim.claimed_at),
                load_s=painting.load_s,
                encode_s=painting.encode_s,
                denoise_s=painting.denoise_s,
                decode_s=painting.decode_s,
                save_s=encode_s + store_s,
            ),
            decode_dtype=painting.decode_dtype,
            peak_bytes=painting.peak_bytes,
            warm_up=painting.warm_up,
            finished_at=utc_now(),
            place=painting.place,
        )
        return Done(claim=claim, result=result, environment=painting.environment)

    def _timed(self, act: Callable[[], Answer]) -> tuple[Answer, float]:
        """Call `act` patiently; return its answer, and the seconds of its last call."""

        def time_once() -> tuple[Answer, float]:
            began = time.perf_counter()
            return act(), time.perf_counter() - began

        return self._context.patiently(time_once)

    def _store(self, claim: Claim, encoded: Encoded) -> bool:
        """Write the files unless somebody else makes the job by now; return if written.

        It would replace theirs, and their row would describe another file. In a folder,
        that still happens if the worker stands still, or the disk hangs, for half a
        lease in here.
        """
        return self._context.images.save(
            claim.job.key,
            encoded.png,
            encoded.thumbnail,
            is_mine=lambda: self._context.heartbeat.is_sure_of(claim.id),
        )

    def _write(self) -> None:
        while rows := self._next_rows():
            try:
                self._recorder.record(rows)
            except Exception as exc:  # noqa: BLE001 - the painter's thread raises it
                self._abandon([row.claim for row in rows], exc)
            self._end(len(rows))

    def _next_rows(self) -> list[Done | Failed]:
        """Wait for rows, and a moment for more; return none after the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._rows or self._closed)
            self._changed.wait_for(self._is_in_a_hurry, LINGER_S)
            rows, self._rows = self._rows, []
        return rows

    def _is_in_a_hurry(self) -> bool:
        return self._closed or self._hurried or len(self._rows) >= self._most
