"""The painter: continuous batches where a pipeline allows it, else plain calls."""

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import torch

from storage.errors import JobError, UnfitError
from storage.job import Job
from workers.engine.batches import Batches
from workers.engine.compiling import Compiled
from workers.engine.environment import describe_environment
from workers.engine.pipelines import Pipelines, Resident
from workers.engine.plain import paint_plain
from workers.engine.slot import Starter
from workers.engine.slots import Tally
from workers.engine.steering import TESTED, UnsteerableError
from workers.painting import Painting, Places, Widths, WithdrawnError, Work

log = logging.getLogger(__name__)

#: Torch's default number of threads on this machine, which a plain script has.
OWN_THREADS = torch.get_num_threads()


class TorchPainter:
    """A painter on one device.

    Attributes:
        tally: Counts the rows of all its batches.
    """

    def __init__(
        self,
        device: str,
        *,
        threads: int,
        digests: Path,
        widths: Widths,
        places: Places | None = None,
        compile_network: bool = False,
    ) -> None:
        """Describe the device; models are loaded when jobs need them.

        Args:
            device: `cpu`, `cuda:0` and so on.
            threads: Torch threads on a CPU. Their number changes the low bits of a
                picture, so it is recorded, and strict jobs use torch's own default.
            digests: File that remembers digests of weights.
            widths: Remembers how wide a batch may be.
            places: Knows where else a model may be; None to try only the job's place.
            compile_network: Whether batches run a compiled network.
        """
        self.device = device
        self.tally = Tally()
        self._pipelines = Pipelines(device, digests=digests, places=places)
        self._widths = widths
        self._compile = compile_network
        #: Names of pipeline classes that cannot be batched.
        self._unsteerable: set[str] = set()
        plain = threads if device == "cpu" else OWN_THREADS
        self._threads = {False: plain, True: OWN_THREADS}
        self._environments = {
            strict: describe_environment(
                device, count, compiled=compile_network and not strict
            )
            for strict, count in self._threads.items()
        }

    def paint(self, work: Work) -> None:
        """Paint the jobs of `work`; see `workers.painting.Painter`."""
        jobs = work.gather(1)
        if not jobs:
            return
        job = jobs[0]
        self._require_generator(job)
        torch.set_num_threads(self._threads[_is_strict(job)])
        with self._pipelines.lend(job) as resident:
            starter = resident.starter
            if starter is None or _is_strict(job) or not self._steers(resident):
                self._paint_each(resident, job, work)
            else:
                self._paint_together(resident, starter, job=job, work=work)

    def _paint_each(self, resident: Resident, job: Job, work: Work) -> None:
        work.expect(1)
        jobs = [job]
        while jobs:
            try:
                painting = self._paint_one(resident, jobs[0], _checking(work))
            except WithdrawnError:
                pass
            except JobError as exc:
                work.fail(jobs[0], exc)
            else:
                work.keep(jobs[0], lambda made=painting: made)  # type: ignore[misc]
            jobs = work.gather(1)

    def _paint_one(
        self, resident: Resident, job: Job, check: Callable[[], None]
    ) -> Painting:
        self._forget_peak()
        with self._pipelines.trusting(resident), resident.trusted():
            painting = paint_plain(
                resident,
                job,
                check=check,
                environment=self._environments[_is_strict(job)],
                warm_up=resident.fresh,
                place=resident.place,
            )
        return replace(
            painting, load_s=resident.finish(), peak_bytes=self._peak_bytes()
        )

    def _paint_together(
        self, resident: Resident, starter: Starter, *, job: Job, work: Work
    ) -> None:
        if self._compile and resident.compiled is None:
            resident.compiled = Compiled(starter.family)
        batches = Batches(
            pipelines=self._pipelines,
            resident=resident,
            starter=starter,
            widths=self._widths,
            environment=self._environments[False],
            tally=self.tally,
            work=work,
            compiled=resident.compiled,
        )
        try:
            batches.paint(job)
        except UnsteerableError:
            self._give_up_batches(resident)
            for first in work.gather(1):
                self._paint_each(resident, first, work)

    def _steers(self, resident: Resident) -> bool:
        return type(resident.pipe).__name__ not in self._unsteerable

    def _give_up_batches(self, resident: Resident) -> None:
        name = type(resident.pipe).__name__
        self._unsteerable.add(name)
        log.warning(
            "%s of diffusers %s copies the tensors that batches write to: its images "
            "are painted one by one; install diffusers %s*, which is tested.",
            name,
            diffusers.__version__,
            TESTED,
            extra={"action": "unsteerable"},
        )

    def _require_generator(self, job: Job) -> None:
        if job.generator == "cuda" and not self.device.startswith("cuda"):
            msg = (
                "this worker has no CUDA device for `generator: cuda`; start a worker "
                "on a GPU, or use `generator: cpu`, which is the same everywhere"
            )
            raise UnfitError(msg)

    def _forget_peak(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats(self.device)

    def _peak_bytes(self) -> int | None:
        if not self.device.startswith("cuda"):
            return None
        return torch.cuda.max_memory_allocated(self.device)


def _checking(work: Work) -> Callable[[], None]:
    """Return the check before each call of the network for a job that is alone.

    It raises `StoppedError` or `WithdrawnError`.
    """

    def check() -> None:
        work.check()
        if work.withdraw():
            raise WithdrawnError

    return check


def _is_strict(job: Job) -> bool:
    return bool(job.parameter("strict"))


def make_painter(device: str, *, threads: int, **others: Any) -> TorchPainter:
    """Make the default painter of `workers.process.main`."""
    # Otherwise tokenizers warn, or hang, when a process that used them forks.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return TorchPainter(device, threads=threads, **others)
