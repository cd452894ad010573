"""The painter on JAX: one job on each device of the process at a time."""

import logging
import platform
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from storage.catalogue.backends import FLAX_DTYPES
from storage.errors import DeviceError, JobError, NonFiniteError, UnfitError
from storage.host.environment import Environment
from storage.job import FLAX, Job, Model
from workers.devices.host_facts import processor_name, version_of
from workers.flax.network_loading import load_networks
from workers.flax.sharded_calls import Painted, Programs, kind_of
from workers.model_lookup import find_model
from workers.painting import NON_FINITE, Painting, Places, Work
from workers.vitals import phases
from workers.vitals.tally import OF_PROCESS

log = logging.getLogger(__name__)

#: Calls whose jobs are held at once, so that those of one kind come together.
CALLS_AHEAD = 8
#: Packages whose version can change a picture.
PACKAGES = ("jax", "jaxlib", "flax", "diffusers", "transformers", "numpy", "nightsweep")


@dataclass(slots=True, kw_only=True)
class _Resident:
    """The model on the devices.

    Attributes:
        programs: Its networks.
        key: Fingerprint that was asked for, and dtype.
        place: Its model, at the place it was loaded from.
        load_s: Seconds that loading took; 0 after an image has recorded them.
    """

    programs: Programs
    key: tuple[str, str]
    place: Model
    load_s: float


class FlaxPainter:
    """A painter on all local devices of JAX.

    Attributes:
        width: Their number.
    """

    def __init__(
        self, device: str, *, digests: Path, places: Places | None = None
    ) -> None:
        """Describe the devices; a model is loaded when jobs need it.

        Args:
            device: `cpu` for the CPU's devices, anything else for JAX's default ones.
            digests: File that remembers digests of weights.
            places: Knows where else a model may be; None to try only the job's place.
        """
        backend = "cpu" if device == "cpu" else None
        self._devices = jax.local_devices(backend=backend)
        self.width = len(self._devices)
        self._digests = digests
        self._places = places
        self._resident: _Resident | None = None
        self._environment = _describe(self._devices)

    def paint(self, work: Work) -> None:
        """Paint the jobs of `work`; see `workers.painting.Painter`."""
        jobs = work.gather(1)
        if not jobs:
            return
        _require_group(jobs[0])
        with _device_errors():
            resident = self._load(jobs[0])
            held = CALLS_AHEAD * self.width
            work.expect(held)
            jobs += work.gather(held - 1)
            while jobs:
                work.check()
                gone = {job.key for job in work.withdraw()}
                jobs = [job for job in jobs if job.key not in gone]
                if jobs:
                    jobs = self._paint_some(resident, jobs, work)
                while len(jobs) < held and (job := work.take()):
                    jobs.append(job)
                jobs = jobs or work.gather(held)

    def _paint_some(
        self, resident: _Resident, jobs: list[Job], work: Work
    ) -> list[Job]:
        """Paint the first job with others of its kind; return the jobs that are left.

        The first one decides, so none waits for ever.
        """
        kind = kind_of(jobs[0])
        alike = [job for job in jobs if kind_of(job) == kind]
        called = alike[: self.width]
        try:
            painted = resident.programs.paint(called)
        except JobError as exc:
            for job in called:
                work.fail(job, exc)
        else:
            _count_rows(self.width, useful=len(called))
            load_s, resident.load_s = resident.load_s + painted.compile_s, 0.0
            for row, job in enumerate(called):
                finished = _Finished(
                    painted=painted,
                    row=row,
                    shared_by=len(called),
                    load_s=load_s if row == 0 else 0.0,
                    warm_up=load_s > 0,
                    resident=resident,
                    environment=self._environment,
                )
                work.keep(job, finished.fetch)
        taken = {job.key for job in called}
        return [job for job in jobs if job.key not in taken]

    def _load(self, job: Job) -> _Resident:
        """Return the model of a job; load it in place of another if need be."""
        key = (job.model.fingerprint, job.dtype)
        if self._resident is None or self._resident.key != key:
            self._resident = None
            began = time.perf_counter()
            found = find_model(job.model, digests=self._digests, places=self._places)
            with phases.during(phases.LOADING, found.place.name):
                networks = load_networks(found.located, dtype=job.dtype)
                found.seal.check()
                programs = Programs(networks, self._devices)
            load_s = time.perf_counter() - began
            log.info(
                "Loaded %s in %.1f s.",
                found.place.name,
                load_s,
                extra={"action": "model_loaded"},
            )
            self._resident = _Resident(
                programs=programs, key=key, place=found.place, load_s=load_s
            )
        phases.describe(self._resident.place.name)
        return self._resident


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finished:
    """One job of a call that has ended.

    Attributes:
        painted: The call.
        row: Its row in the call, from 0.
        shared_by: Jobs of the call.
        load_s: Seconds to load and to compile; only the first job of a call has them.
        warm_up: Whether the model was loaded, or a program compiled, for the call.
        resident: The model.
        environment: Where and with what it was painted.
    """

    painted: Painted
    row: int
    shared_by: int
    load_s: float
    warm_up: bool
    resident: _Resident
    environment: Environment

    def fetch(self) -> Painting:
        """Return the picture with its figures.

        Raises:
            NonFiniteError: A pixel is NaN or infinite.
        """
        painted = self.painted
        if not painted.is_finite[self.row]:
            raise NonFiniteError(NON_FINITE)
        pixels = (painted.pixels[self.row] * 255).round().astype(np.uint8)
        return Painting(
            image=Image.fromarray(pixels),
            environment=self.environment,
            batch_width=self.resident.programs.width,
            slot=self.row,
            evaluations=painted.evaluations,
            load_s=self.load_s,
            encode_s=painted.encode_s / self.shared_by,
            denoise_s=painted.denoise_s / self.shared_by,
            decode_s=painted.decode_s / self.shared_by,
            decode_dtype=self.resident.key[1],
            warm_up=self.warm_up,
            peak_bytes=painted.peak_bytes,
            place=self.resident.place,
        )


def _require_group(job: Job) -> None:
    """Check what is equal for all jobs of a group.

    Raises:
        UnfitError: This painter cannot paint them.
    """
    for name, value, allowed in (
        ("backend", job.backend, (FLAX,)),
        ("generator", job.generator, ("numpy",)),
        ("dtype", job.dtype, FLAX_DTYPES),
        ("strict", job.parameter("strict"), (False,)),
    ):
        if value not in allowed:
            msg = (
                f"{name} must be {' or '.join(map(str, allowed))} for a worker with "
                f"JAX, got {value}; change it, or start a worker with torch"
            )
            raise UnfitError(msg)


@contextmanager
def _device_errors() -> Iterator[None]:
    """Translate errors of the devices.

    Raises:
        UnfitError: Memory ran out.
        DeviceError: This process can no longer use the devices.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as exc:
        if "RESOURCE_EXHAUSTED" in str(exc):
            msg = (
                f"one image must fit into each device's memory, but does not: {exc}; "
                "use devices with more memory"
            )
            raise UnfitError(msg) from exc
        msg = f"the devices must answer, but say: {exc}; the worker starts again"
        raise DeviceError(msg) from exc


def _count_rows(width: int, *, useful: int) -> None:
    """Count a call of all devices, some of which may have repeated another's job."""
    OF_PROCESS.calls += 1
    OF_PROCESS.rows += width
    OF_PROCESS.useful += useful


def _describe(devices: Sequence[Any]) -> Environment:
    first = devices[0]
    details = {name: version_of(name) for name in PACKAGES}
    details["python"] = platform.python_version()
    details["devices"] = f"{len(devices)} x {first.device_kind}"
    on_cpu = first.platform == "cpu"
    gpu = processor_name() if on_cpu else first.device_kind
    return Environment(gpu=gpu, host=socket.gethostname(), details=details)


def make_painter(device: str, *, threads: int, **others: Any) -> FlaxPainter:
    """Make the painter of a worker with JAX.

    It takes what `workers.engine.torch_painter.make_painter` takes. The number of
    threads is XLA's own, a device paints one image at a time, and everything is
    compiled.
    """
    del threads
    return FlaxPainter(device, digests=others["digests"], places=others["places"])
