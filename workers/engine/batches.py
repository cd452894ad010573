"""Batches of one group: their width, and the hand-over of finished slots."""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import torch

from storage.errors import DatabaseError, UnfitError
from storage.host.environment import Environment
from storage.job import Job
from workers.devices.device_errors import is_shortage
from workers.engine.compiling import Compiled
from workers.engine.decoding import decode
from workers.engine.finished import Finished
from workers.engine.pipelines import (
    Pipelines,
    Resident,
)
from workers.engine.slot import Slot, Starter
from workers.engine.slots import Slots, Source, Tally
from workers.engine.steering import UnsteerableError
from workers.painting import Widths, Work

log = logging.getLogger(__name__)

#: Default rows of a batch on a GPU.
GPU_WIDTH = 32
#: Default rows on a CPU, for images of up to `CPU_PIXELS`; larger ones get fewer.
CPU_WIDTH = 16
CPU_PIXELS = 256 * 256


@dataclass(slots=True, kw_only=True)
class Batches:
    """Paints the jobs of one group together.

    Attributes:
        pipelines: Holds other pipelines, which are dropped when memory runs out.
        resident: The group's pipeline.
        starter: Prepares its jobs.
        widths: Remembers how wide a batch may be.
        environment: Where and with what the images are painted.
        tally: Counts rows.
        work: Supplies jobs and takes pictures.
        compiled: The compiled network; None to run the network uncompiled.
    """

    pipelines: Pipelines
    resident: Resident
    starter: Starter
    widths: Widths
    environment: Environment
    tally: Tally
    work: Work
    compiled: Compiled | None = None
    _first: set[str] = field(default_factory=set)
    _has_forgotten: bool = False

    def paint(self, job: Job) -> None:
        """Paint `job` and all further jobs of the work.

        Raises:
            StoppedError: The work is to end.
            UnfitError: Not even one image fits into memory.
            UnsteerableError: The pipeline must paint its jobs one by one; the jobs in
                hand were put back.
        """
        width = self._known_width(job)
        self.work.expect(width)
        jobs = [job, *(self.work.gather(width - 1) if width > 1 else ())]
        with self.starter.family.decoding(), self._network():
            while jobs:
                width = self._run(jobs, width)
                jobs = self.work.gather(width)

    def _run(self, jobs: list[Job], width: int) -> int:
        """Run one batch until it is empty, and return the width of the next one."""
        rows = self._rows(len(jobs), width)
        self._note_warm_up(jobs, rows)
        slots = Slots(
            self.starter,
            jobs,
            # A narrow batch takes no more jobs, so that a wide one can follow it.
            _Closed(self.work) if rows < width else self.work,
            width=rows,
            finish=self._finish,
            tally=self.tally,
        )
        if self._fits(slots):
            return width
        unmade = slots.jobs
        self.work.put_back(unmade)
        # Free its tensors before the next batch.
        del slots
        return self._make_room(unmade, rows, width)

    def _rows(self, jobs: int, width: int) -> int:
        # For another width, the network would be compiled again.
        return width if self.compiled else min(width, least_power(jobs))

    def _fits(self, slots: Slots) -> bool:
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats(self.starter.family.device)
        try:
            slots.run()
        except UnsteerableError:
            self.work.put_back(slots.jobs)
            raise
        except (RuntimeError, MemoryError) as exc:
            if not is_shortage(exc):
                raise
            log.warning(
                "%d rows do not fit: %s",
                slots.width,
                # Not the error itself: a log record would keep its tensors alive.
                str(exc),
                extra={"action": "no_room"},
            )
            return False
        return True

    def _make_room(self, jobs: list[Job], rows: int, width: int) -> int:
        if not (self.pipelines.drop_spare() or self._forget_texts(jobs)):
            width = rows // 2
            if not width:
                msg = (
                    "one image must fit into memory beside its model, but does not; "
                    "use a GPU or a machine with more memory"
                )
                raise UnfitError(msg)
            with suppress(DatabaseError):
                self.widths.set(
                    jobs[0], self.environment.gpu, width=width, reason="memory"
                )
            self.work.expect(width)
        gc.collect()
        if self._on_gpu:
            torch.cuda.empty_cache()
        return width

    def _forget_texts(self, jobs: list[Job]) -> bool:
        """Drop unused texts, once: jobs bring new ones, so retries might never end."""
        if self._has_forgotten:
            return False
        self._has_forgotten = True
        return self.starter.forget_texts(jobs)

    def _known_width(self, job: Job) -> int:
        known = None
        with suppress(DatabaseError):
            known = self.widths.get(job, self.environment.gpu)
        return known or default_width(job, on_gpu=self._on_gpu)

    def _note_warm_up(self, jobs: list[Job], width: int) -> None:
        compiles = self.compiled and self.compiled.note(jobs[0], width)
        if self.resident.fresh or compiles:
            self._first.update(job.key for job in jobs)

    def _finish(self, slot: Slot, latents: torch.Tensor) -> None:
        """Start to decode a finished slot, and leave the rest to other threads."""
        decoded = decode(
            self.starter.family, latents, slot.job, clock=self.starter.clock
        )
        finished = Finished(
            job=slot.job,
            width=slot.width,
            index=slot.index,
            evaluations=slot.done,
            encoding=slot.encoding,
            shares=slot.shares,
            decoded=decoded,
            load_s=self.resident.finish(),
            warm_up=slot.job.key in self._first,
            peak_bytes=self._peak_bytes(),
            resident=self.resident,
            starter=self.starter,
            environment=self.environment,
        )
        self.work.keep(slot.job, finished.fetch)

    def _peak_bytes(self) -> int | None:
        device = self.starter.family.device
        return torch.cuda.max_memory_allocated(device) if self._on_gpu else None

    @contextmanager
    def _network(self) -> Iterator[None]:
        if self.compiled is None:
            yield
        else:
            with self.compiled.in_place():
                yield

    @property
    def _on_gpu(self) -> bool:
        return self.starter.clock.on_gpu


class _Closed:
    """A source without further jobs."""

    def __init__(self, source: Source) -> None:
        self.fail = source.fail
        self.withdraw = source.withdraw
        self.check = source.check

    def take(self) -> Job | None:
        return None


def default_width(job: Job, *, on_gpu: bool) -> int:
    """Return the first width to try for jobs like `job`: a power of two."""
    if on_gpu:
        return GPU_WIDTH
    room = CPU_WIDTH * CPU_PIXELS // (job.width * job.height)
    return max(1, min(CPU_WIDTH, least_power(room + 1) // 2))


def least_power(count: int) -> int:
    """Return the least power of two that is not less than `count`."""
    return 1 << (count - 1).bit_length()
