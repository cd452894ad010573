"""The resident pipeline: loaded once, kept until a job wants another one."""

import gc
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from storage.components import SKIPPED_COMPONENTS
from storage.errors import (
    DeviceError,
    JobError,
    ModelError,
    NightsweepError,
    UnfitError,
)
from storage.fingerprint import Digests, verify
from storage.job import Job
from storage.models import Located, locate
from workers.painting import StoppedError

log = logging.getLogger(__name__)

# Their bars are for a person at a terminal, not for a worker's log.
diffusers_logging.disable_progress_bar()
transformers_logging.disable_progress_bar()

DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}

#: What diffusers raises for folders that it cannot load, as for weights of another
#: shape than the config says, or a class that it does not have.
_UNLOADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ImportError,
    RuntimeError,
    SafetensorError,
)


@dataclass(slots=True, kw_only=True)
class Resident:
    """A loaded pipeline.

    Attributes:
        pipe: The diffusers pipeline, on the device.
        scheduler_config: The scheduler's config as it was loaded. Every job's
            scheduler is built from this one, since options leak through others.
        load_s: Seconds that loading took; 0 once an image has them in its record.
        fresh: Whether no image was finished with it yet.
    """

    pipe: Any
    scheduler_config: Mapping[str, Any]
    load_s: float
    fresh: bool = True


class Pipelines:
    """Lends the pipeline of a job, and keeps the last one on the device."""

    def __init__(self, device: str, *, digests: Path) -> None:
        """Hold nothing yet.

        Args:
            device: `cpu`, `cuda:0` and so on.
            digests: File that remembers the digests of weights, by size and time.
        """
        self.device = device
        self._digests = digests
        self._held: tuple[str, str] | None = None
        self._resident: Resident | None = None

    @contextmanager
    def lend(self, job: Job) -> Iterator[Resident]:
        """Give the pipeline of a job, loading it if another one is held.

        An error from inside the pipeline drops it, since it may be half changed: when
        memory ends while SDXL decodes, its VAE is left in float32.

        Raises:
            ModelError: It cannot be found or loaded.
            FingerprintError: Its files are not those that were planned.
            UnfitError: It does not fit into the GPU's memory.
            JobError: It does, but the job does not.
            DeviceError: The device is of no more use to this process.
        """
        resident = self._get(job)
        with _device_errors(JobError, "the job", way_out="make its image smaller"):
            try:
                yield resident
            except (StoppedError, NightsweepError):
                # Ours come from before, between or after the steps.
                raise
            except BaseException:
                self._drop()
                raise

    def _get(self, job: Job) -> Resident:
        wanted = (job.model.fingerprint, job.dtype)
        if self._resident is None or self._held != wanted:
            self._drop()
            with _device_errors(UnfitError, "the model", way_out="use a larger GPU"):
                self._resident = self._load(job)
            self._held = wanted
        return self._resident

    def _drop(self) -> None:
        self._resident = self._held = None
        # Pipelines refer to themselves: only a collection frees their memory.
        gc.collect()
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def _load(self, job: Job) -> Resident:
        started = time.perf_counter()
        model = job.model
        found = locate(
            model.name,
            revision=model.commit or model.revision,
            variant=model.variant,
            download=True,
        )
        verify(found, model.fingerprint, digests=Digests(self._digests))
        pipe = load_pipeline(found, variant=model.variant, dtype=DTYPES[job.dtype])
        config = dict(pipe.scheduler.config)
        pipe.to(self.device)
        load_s = time.perf_counter() - started
        log.info(
            "Loaded %s in %.1f s.",
            model.name,
            load_s,
            extra={"action": "model_loaded"},
        )
        return Resident(pipe=pipe, scheduler_config=config, load_s=load_s)


@contextmanager
def _device_errors(
    too_large: type[NightsweepError], what: str, *, way_out: str
) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as exc:
        msg = f"{what} must fit into this GPU's memory, but does not: {exc}; {way_out}"
        raise too_large(msg) from exc
    except torch.AcceleratorError as exc:
        # After such an error every later call of this process fails too.
        msg = f"the GPU must answer, but says: {exc}; the worker starts again"
        raise DeviceError(msg) from exc


def load_pipeline(found: Located, *, variant: str | None, dtype: torch.dtype) -> Any:
    """Load a pipeline from its folder: safetensors only, no code of the model's own.

    Raises:
        ModelError: diffusers cannot load it.
    """
    left_out = {name: None for name in SKIPPED_COMPONENTS if name in found.index}
    if "requires_safety_checker" in found.index:
        left_out["requires_safety_checker"] = False  # type: ignore[assignment]
    try:
        pipe = DiffusionPipeline.from_pretrained(
            found.folder,
            dtype=dtype,
            variant=variant,
            use_safetensors=True,
            local_files_only=True,
            **left_out,
        )
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except _UNLOADABLE as exc:
        msg = (
            f"a model must load with diffusers, but {found.name} does not: {exc}; "
            "check its files, or name another model"
        )
        raise ModelError(msg) from exc
    pipe.set_progress_bar_config(disable=True)
    return pipe
