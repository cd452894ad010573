"""Batches of one group: their width, and the hand-over of finished jobs."""

import gc
import logging
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace

import torch

from storage.catalogue.pipeline_families import NO_GUIDANCE
from storage.errors import DatabaseError, JobError, UnfitError, in_words
from storage.host.environment import Environment
from storage.job import Job
from workers.devices.device_errors import is_shortage
from workers.engine.compiling import Compiled, UncompilableError, is_of_compiler
from workers.engine.finished import Finished
from workers.engine.hub import Hub
from workers.engine.network_calls import UnshareableError
from workers.engine.pipelines import Pipelines, Resident
from workers.engine.row_allocator import least_power
from workers.engine.runs import Run
from workers.engine.starter import Starter
from workers.painting import Widths, Work
from workers.vitals.tally import Tally

log = logging.getLogger(__name__)

#: Default rows of a batch on a GPU.
GPU_WIDTH = 32
#: Default rows on a CPU, for images of up to `CPU_PIXELS`; larger ones get fewer.
CPU_WIDTH = 16
CPU_PIXELS = 256 * 256
#: Any guidance that doubles the rows of most networks.
GUIDED = 2.0


@dataclass(slots=True, kw_only=True)
class Batches:
    """Paints the jobs of one group, together or one by one; a `Source` of the hub.

    Attributes:
        pipelines: Holds other pipelines, which are dropped when memory runs out.
        resident: The group's pipeline.
        widths: Remembers how wide a batch may be.
        environment: Where and with what the images are painted.
        tally: Counts rows.
        work: Supplies jobs and takes pictures.
        compiled: The compiled networks; None to run the networks uncompiled.
        is_alone: Whether jobs are painted one by one, as plain scripts do.
    """

    pipelines: Pipelines
    resident: Resident
    widths: Widths
    environment: Environment
    tally: Tally
    work: Work
    compiled: Compiled | None = None
    is_alone: bool = False
    _first: set[str] = field(default_factory=set)
    _has_forgotten: bool = False

    @property
    def starter(self) -> Starter:
        """Prepares the group's jobs."""
        return self.resident.starter

    def paint(self, job: Job) -> None:
        """Paint `job` and all further jobs of the work.

        Raises:
            StoppedError: The work is to end.
            UnfitError: Not even one image fits into memory.
            UnshareableError: The pipeline must paint its jobs one by one; the jobs in
                hand were put back.
            UncompilableError: A network cannot be compiled here; likewise.
        """
        width = 1 if self.is_alone else self._known_width(job)
        self.work.expect(width)
        jobs = [job, *(self.work.gather(width - 1) if width > 1 else ())]
        with self.compiled.in_place() if self.compiled else nullcontext():
            while jobs:
                width = self._run(jobs, width)
                jobs = self.work.gather(width)

    def _run(self, jobs: list[Job], width: int) -> int:
        """Run one batch until it is empty, and return the width of the next one."""
        if self.resident.fresh:
            self._first.update(job.key for job in jobs)
        hub = Hub(
            self.starter,
            jobs,
            self,
            width=width,
            tally=self.tally,
            compiled=self.compiled,
        )
        if self._fits(hub):
            return width
        unmade, rows = hub.jobs, hub.widest
        self.work.put_back(unmade)
        # Free its tensors before the next batch.
        del hub
        return self._make_room(unmade, rows, width)

    def _fits(self, hub: Hub) -> bool:
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats(self.starter.device)
        try:
            hub.run()
        except UnshareableError:
            self.work.put_back(hub.jobs)
            raise
        except (RuntimeError, MemoryError) as exc:
            if not is_shortage(exc):
                if is_of_compiler(exc):
                    self.work.put_back(hub.jobs)
                    raise UncompilableError(in_words(exc)) from exc
                raise
            log.warning(
                "%d rows do not fit: %s",
                hub.widest,
                # Not the error itself: a log record would keep its tensors alive.
                str(exc),
                extra={"action": "no_room"},
            )
            return False
        return True

    def _make_room(self, jobs: list[Job], rows: int, width: int) -> int:
        if not (
            self.pipelines.drop_oldest()
            or self.resident.adapters.drop_unused()
            or self.resident.control_nets.drop_unused()
            or self._forget_texts(jobs)
            or self.starter.spare_encoders()
        ):
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
        """Return the width that fits with guidance and without, or the default."""
        known = []
        for guidance in (NO_GUIDANCE, GUIDED):
            with suppress(DatabaseError):
                alike = replace(job, guidance=guidance)
                known.append(self.widths.get(alike, self.environment.gpu))
        return min(filter(None, known), default=default_width(job, on_gpu=self._on_gpu))

    def take(self) -> Job | None:
        """Return the next job; see `Source`."""
        return self.work.take()

    def withdraw(self) -> list[Job]:
        """Return jobs to stop painting; see `Source`."""
        return self.work.withdraw()

    def check(self) -> None:
        """Raise if the work is to end; see `Source`."""
        self.work.check()

    def finish(self, run: Run) -> None:
        """Start to fetch the pixels of a run, and leave the rest to other threads."""
        finished = Finished.of(
            run,
            self.resident,
            self.environment,
            engine="plain" if self.is_alone else "slots",
            warm_up=run.job.key in self._first,
            peak_bytes=self._peak_bytes(),
        )
        self.work.keep(run.job, finished.fetch)

    def fail(self, job: Job, error: JobError) -> None:
        """Fail a job, unless its model's files have changed.

        Raises:
            ModelError: They may have changed since the pipeline was loaded.
        """
        self.resident.check()
        self.work.fail(job, error)

    def _peak_bytes(self) -> int | None:
        device = self.starter.device
        return torch.cuda.max_memory_allocated(device) if self._on_gpu else None

    @property
    def _on_gpu(self) -> bool:
        return self.starter.clock.on_gpu


def default_width(job: Job, *, on_gpu: bool) -> int:
    """Return the first width to try for jobs like `job`: a power of two."""
    if on_gpu:
        return GPU_WIDTH
    room = CPU_WIDTH * CPU_PIXELS // (job.width * job.height)
    return max(1, min(CPU_WIDTH, least_power(room + 1) // 2))
