"""Resident pipelines: loaded once, and kept while memory allows."""

import gc
import logging
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from storage.errors import JobError
from storage.files.inputs import InputFolder
from storage.job import Job, Model
from storage.models.fingerprint import Fingerprints, Seal
from storage.settings import read_settings
from workers.devices.device_errors import device_errors
from workers.devices.memory import free_bytes, total_bytes
from workers.engine.adapters import Adapters
from workers.engine.compiling import Compiled
from workers.engine.control_nets import ControlNets
from workers.engine.loading import load_pipeline
from workers.engine.quantised_weights import require_gpu, require_packages
from workers.engine.starter import Starter
from workers.model_lookup import find_model
from workers.painting import Places
from workers.vitals import phases

log = logging.getLogger(__name__)

DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


def name_of(dtype: torch.dtype) -> str:
    """Return the name of a dtype: `float16`."""
    return str(dtype).removeprefix("torch.")


#: Share of the memory that must stay free when a model is loaded beside others. On a
#: GPU, others leave later if a batch needs more; other programs would have to swap.
SPARE = 0.5
GPU_SPARE = 0.1


@dataclass(slots=True, kw_only=True)
class Resident:
    """A loaded pipeline.

    Attributes:
        starter: Prepares jobs; it holds the diffusers pipeline, on the device.
        adapters: What is added to its weights for the job in hand.
        control_nets: Its ControlNets, those of the job in hand among them.
        load_s: Seconds that loading took; 0 after the first image has recorded them.
        fresh: Whether it has not finished an image yet.
        compiled: Its compiled networks; None if they were not compiled.
        is_compilable: Whether they can be compiled here, as far as is known.
        unshareable: Why calls of its jobs cannot be merged; empty if they can, None if
            that is not known yet.
        fingerprints: Fingerprints of its files.
        place: Its model, at the place it was loaded from.
        seal: Knows whether its files have changed; None on a GPU, which has a copy of
            the weights. On a CPU, the weights are the files, mapped into memory.
    """

    starter: Starter
    adapters: Adapters
    control_nets: ControlNets
    load_s: float
    fingerprints: Fingerprints
    place: Model
    fresh: bool = True
    compiled: Compiled | None = None
    is_compilable: bool = True
    unshareable: str | None = None
    seal: Seal | None = None

    @contextmanager
    def trusted(self) -> Iterator[None]:
        """Check the weights after the block, and before a job's error is passed on.

        Raises:
            ModelError: They may have changed since the pipeline was loaded.
        """
        try:
            yield
        except JobError:
            self.check()
            raise
        self.check()

    def check(self) -> None:
        """Check the weights; see `trusted`."""
        if self.seal:
            self.seal.check()
            self.control_nets.check()

    def finish(self) -> float:
        """Note a finished image; return the seconds of a load before it, else 0."""
        load_s, self.load_s, self.fresh = self.load_s, 0.0, False
        return load_s


class Pipelines:
    """Loads the pipeline of a job, and keeps recent ones on the device."""

    def __init__(
        self, device: str, *, digests: Path, places: Places | None = None
    ) -> None:
        """Begin without pipelines.

        Args:
            device: `cpu`, `cuda:0` and so on.
            digests: File that remembers digests of weights.
            places: Knows where else a model may be; None to try only the job's place.
        """
        self.device = device
        self._digests = digests
        self._places = places
        #: By fingerprint, dtype, and how weights are quantised.
        self._residents: OrderedDict[tuple[str, str, str], Resident] = OrderedDict()

    @contextmanager
    def lend(self, job: Job) -> Iterator[Resident]:
        """Yield the pipeline of a job; load it if it is not resident.

        Errors of the device within the block are translated, too.

        Raises:
            ModelError: The model cannot be found or loaded.
            FingerprintError: Its files are not the planned ones.
            UnfitError: The model, or one image, does not fit into memory; or its
                weights cannot be quantised here.
            DeviceError: This process can no longer use the device.
        """
        resident = self._held(job)
        if resident is None:
            with device_errors("the model"):
                resident = self._load(job)
        key = (resident.fingerprints.current, *_kind_of(job))
        self._residents[key] = resident
        self._residents.move_to_end(key)
        phases.describe(resident.place.name)
        with device_errors("the LoRAs"):
            resident.adapters.put(job)
        with device_errors("the ControlNets"):
            resident.control_nets.put(job, dtype=DTYPES[job.dtype])
        with device_errors("one image"):
            yield resident

    def drop_oldest(self) -> bool:
        """Drop the least recently used of all but the one in use, if there are any."""
        spare = list(self._residents.values())[:-1]
        for resident in spare[:1]:
            self._drop(resident)
        return bool(spare)

    def _drop(self, resident: Resident) -> None:
        for key, held in list(self._residents.items()):
            if held is resident:
                del self._residents[key]
        # Pipelines hold reference cycles: only garbage collection frees their memory.
        resident.compiled = None
        del resident.starter, resident.adapters, resident.control_nets
        gc.collect()
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def _held(self, job: Job) -> Resident | None:
        """Return a job's resident pipeline; None if there is none with whole files."""
        for (_, *kind), resident in self._residents.items():
            is_alike = tuple(kind) == _kind_of(job)
            if is_alike and job.model.fingerprint in resident.fingerprints:
                if resident.seal is None or resident.seal.is_whole:
                    return resident
                self._drop(resident)
                return None
        return None

    def _make_room(self, needed: int, *, beside: int = 0) -> None:
        """Drop the oldest pipelines until there is room, but for the last `beside`."""
        spare = SPARE if self.device == "cpu" else GPU_SPARE
        while len(self._residents) > beside:
            free = free_bytes(self.device)
            if free - needed >= spare * total_bytes(self.device):
                return
            self._drop(next(iter(self._residents.values())))

    def _load(self, job: Job) -> Resident:
        started = time.perf_counter()
        require_packages(job)
        require_gpu(job, self.device)
        found = find_model(job.model, digests=self._digests, places=self._places)
        place, seal = found.place, found.seal
        with phases.during(phases.LOADING, place.name):
            self._make_room(found.located.size_bytes)
            pipe = load_pipeline(
                found.located,
                variant=place.variant,
                dtype=DTYPES[job.dtype],
                quantize=job.parameter("quantize"),
            )
            config = dict(pipe.scheduler.config)
            phases.progress()
            pipe.to(self.device)
            seal.check()
        load_s = time.perf_counter() - started
        log.info(
            "Loaded %s in %.1f s.",
            place.name,
            load_s,
            extra={"action": "model_loaded"},
        )
        starter = Starter(pipe, config, inputs=InputFolder(read_settings().images))
        return Resident(
            starter=starter,
            adapters=Adapters(starter, digests=self._digests, places=self._places),
            control_nets=ControlNets(
                starter,
                digests=self._digests,
                places=self._places,
                make_room=partial(self._make_room, beside=1),
            ),
            load_s=load_s,
            fingerprints=found.fingerprints,
            place=place,
            seal=seal if self.device == "cpu" else None,
        )


def _kind_of(job: Job) -> tuple[str, str]:
    """Return what a resident pipeline must have in common with a job."""
    return job.dtype, job.parameter("quantize")
