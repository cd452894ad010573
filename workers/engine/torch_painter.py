"""The painter: continuous batches where a pipeline allows it, else one by one."""

import logging
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import torch

from storage.errors import DatabaseError, UnfitError
from storage.host.environment import Environment
from storage.job import TORCH, Job
from workers.devices.device_errors import is_shortage
from workers.engine.batches import Batches
from workers.engine.compile_choice import choose
from workers.engine.compiling import DETAIL, Compiled, UncompilableError
from workers.engine.environment import describe_environment
from workers.engine.network_calls import UnshareableError
from workers.engine.pipelines import DTYPES, Pipelines, Resident
from workers.engine.quantised_weights import packages_of
from workers.engine.sharing_check import find_fault
from workers.painting import Compilations, Places, Widths, Work
from workers.vitals.tally import OF_PROCESS, Tally

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
        compile_networks: bool | Compilations = False,
    ) -> None:
        """Describe the device; models are loaded when jobs need them.

        Args:
            device: `cpu`, `cuda:0` and so on.
            threads: Torch threads on a CPU. Their number changes the low bits of a
                picture, so it is recorded, and strict jobs use torch's own default.
            digests: File that remembers digests of weights.
            widths: Remembers how wide a batch may be.
            places: Knows where else a model may be; None to try only the job's place.
            compile_networks: Whether batches run compiled networks; or what remembers
                that for each group, to decide it on a GPU.
        """
        self.device = device
        self.tally = Tally()
        self._pipelines = Pipelines(device, digests=digests, places=places)
        self._widths = widths
        self._compile_networks = compile_networks
        plain = threads if device == "cpu" else OWN_THREADS
        self._threads = {False: plain, True: OWN_THREADS}
        self._environments = {
            strict: describe_environment(device, count)
            for strict, count in self._threads.items()
        }

    def paint(self, work: Work) -> None:
        """Paint the jobs of `work`; see `workers.painting.Painter`."""
        jobs = work.gather(1)
        if not jobs:
            return
        job = jobs[0]
        self._require_able(job)
        torch.set_num_threads(self._threads[_is_strict(job)])
        with self._pipelines.lend(job) as resident:
            is_alone = _is_strict(job) or bool(job.parameter("cache"))
            if is_alone or not self._can_share(resident, job):
                self._paint_each(resident, job, work)
            else:
                self._paint_together(resident, job, work)

    def _can_share(self, resident: Resident, job: Job) -> bool:
        """Return whether jobs of a pipeline can share calls; find out if it is new."""
        while resident.unshareable is None:
            try:
                fault = find_fault(resident.starter, job, DTYPES[job.dtype])
            except (RuntimeError, MemoryError) as exc:
                if not is_shortage(exc):
                    raise
                if not self._pipelines.drop_oldest():
                    return False
            else:
                if fault is None:
                    return False
                self._note_fault(resident, fault)
        return not resident.unshareable

    def _paint_each(self, resident: Resident, job: Job, work: Work) -> None:
        environment = self._environment(job)
        if not _is_strict(job):
            reason = resident.unshareable or "it could not be checked"
            if job.parameter("cache"):
                reason = "a cache decides for a whole batch"
            environment = _with(environment, alone=reason)
        self._batches(resident, work, environment, is_alone=True).paint(job)

    def _paint_together(self, resident: Resident, job: Job, work: Work) -> None:
        compiled = self._compiled(resident, job)
        environment = self._environment(job)
        if compiled:
            environment = _with(environment, compiled=DETAIL)
        before_s = compiled.seconds if compiled else 0.0
        batches = self._batches(resident, work, environment, compiled=compiled)
        try:
            batches.paint(job)
        except UnshareableError as exc:
            self._note_fault(resident, str(exc))
            for first in work.gather(1):
                self._paint_each(resident, first, work)
        except UncompilableError as exc:
            _note_uncompilable(resident, exc)
            for first in work.gather(1):
                self._paint_together(resident, first, work)
        finally:
            if compiled and compiled.seconds > before_s:
                self._note_cost(job, compiled.seconds - before_s)

    def _environment(self, job: Job) -> Environment:
        """Return where a job is painted, with the packages that it needs besides."""
        return _with(self._environments[_is_strict(job)], **packages_of(job))

    def _compiled(self, resident: Resident, job: Job) -> Compiled | None:
        """Return the compiled networks if the job's group is to run them."""
        # Compiled code would be made anew for each LoRA and each scale. That of
        # quantised networks was not tried.
        if job.parameter("loras") or packages_of(job) or not resident.is_compilable:
            return None
        if not self._is_compiled(resident, job):
            return None
        resident.adapters.unload()
        resident.compiled = resident.compiled or Compiled(resident.starter)
        return resident.compiled

    def _is_compiled(self, resident: Resident, job: Job) -> bool:
        known = self._compile_networks
        if isinstance(known, bool):
            return known
        if not self.device.startswith("cuda"):
            return False
        # Without an answer of the database, the next turn decides.
        with suppress(DatabaseError):
            if (decided := known.get(job)) is not None:
                return decided
            gpu = self._environments[False].gpu
            compiled, reason = choose(resident.starter, job, gpu, known)
            compiled = known.settle(job, gpu, compiled=compiled, reason=reason)
            log.info(
                "Networks of %s are %s: %s.",
                resident.place.name,
                "compiled" if compiled else "not compiled",
                reason,
                extra={"action": "compilation_decided"},
            )
            return compiled
        return False

    def _note_cost(self, job: Job, seconds: float) -> None:
        if not isinstance(self._compile_networks, bool):
            with suppress(DatabaseError):
                self._compile_networks.note_cost(job, seconds=seconds)

    def _note_fault(self, resident: Resident, fault: str) -> None:
        resident.unshareable = fault
        if fault:
            log.warning(
                "%s of diffusers %s must paint its images one by one: %s.",
                type(resident.starter.pipe).__name__,
                diffusers.__version__,
                fault,
                extra={"action": "unshareable"},
            )

    def _batches(
        self,
        resident: Resident,
        work: Work,
        environment: Environment,
        *,
        compiled: Compiled | None = None,
        is_alone: bool = False,
    ) -> Batches:
        return Batches(
            pipelines=self._pipelines,
            resident=resident,
            widths=self._widths,
            environment=environment,
            tally=Tally() if is_alone else self.tally,
            work=work,
            compiled=compiled,
            is_alone=is_alone,
        )

    def _require_able(self, job: Job) -> None:
        if job.backend != TORCH:
            msg = (
                f"torch cannot make an image of `backend: {job.backend}`; a worker of"
                " that back end can"
            )
            raise UnfitError(msg)
        if job.generator == "cuda" and not self.device.startswith("cuda"):
            msg = (
                "this worker has no CUDA device for `generator: cuda`; start a worker "
                "on a GPU, or use `generator: cpu`, which is the same everywhere"
            )
            raise UnfitError(msg)


def _with(environment: Environment, **details: str) -> Environment:
    return replace(environment, details={**environment.details, **details})


def _note_uncompilable(resident: Resident, error: UncompilableError) -> None:
    resident.is_compilable = False
    log.warning(
        "Networks of %s run uncompiled, since they cannot be compiled here: %s.",
        resident.place.name,
        str(error),
        extra={"action": "uncompilable"},
    )


def _is_strict(job: Job) -> bool:
    return bool(job.parameter("strict"))


def make_painter(device: str, *, threads: int, **others: Any) -> TorchPainter:
    """Make the default painter of `workers.process.main`."""
    # Otherwise tokenizers warn, or hang, when a process that used them forks.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    painter = TorchPainter(device, threads=threads, **others)
    painter.tally = OF_PROCESS
    return painter
