"""Loading a model: its files found and checked, then its pipeline made of them."""

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from storage.errors import ModelError
from storage.job import Model
from storage.models.components import SKIPPED_COMPONENTS
from storage.models.fingerprint import Digests, Fingerprints, Seal, verify
from storage.models.hub_cache import cached_bytes
from storage.models.model_files import Located, locate
from workers.vitals import phases

# Their bars are for a person at a terminal, not for a worker's log.
diffusers_logging.disable_progress_bar()
transformers_logging.disable_progress_bar()

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A model that is on this machine, and is the one that was planned.

    Attributes:
        place: The model, where it was found.
        located: Its files.
        fingerprints: Of these files.
        seal: Tells whether they changed since.
    """

    place: Model
    located: Located
    fingerprints: Fingerprints
    seal: Seal


def find_model(place: Model, *, digests: Digests) -> Found:
    """Fetch what is missing of a model, and check its files.

    Args:
        place: The model, where it may be.
        digests: Where digests are remembered.

    Raises:
        ModelError: It is not there.
        FingerprintError: Its files are not those that were planned.
    """
    with phases.during(
        phases.DOWNLOADING, place.name, measure=lambda: cached_bytes(place.name)
    ):
        located = locate(
            place.name,
            revision=place.commit or place.revision,
            variant=place.variant,
            download=True,
        )
    with phases.during(phases.LOADING, place.name):
        seal = Seal(located)
        fingerprints = verify(located, place.fingerprint, digests=digests)
        phases.progress()
    return Found(place=place, located=located, fingerprints=fingerprints, seal=seal)


def load_pipeline(found: Located, *, variant: str | None, dtype: torch.dtype) -> Any:
    """Load a pipeline from its folder: safetensors only, no code of the model's own.

    Raises:
        ModelError: diffusers cannot load it.
    """
    # Without those that are empty, diffusers raises for some pipelines: SD 3, no T5.
    left_out = {
        name: None
        for name, entry in found.index.items()
        if name in SKIPPED_COMPONENTS or entry == [None, None]
    }
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
    mend_clip_skip(pipe)
    return pipe


def mend_clip_skip(pipe: Any) -> None:
    """Give a text encoder the attribute that diffusers asks for with `clip_skip`.

    transformers 5 has no `text_model` in `CLIPTextModel` any more: the encoder itself
    is what that was.
    """
    encoder = getattr(pipe, "text_encoder", None)
    if hasattr(encoder, "final_layer_norm") and not hasattr(encoder, "text_model"):
        # Not as a part of it: it would hold itself.
        object.__setattr__(encoder, "text_model", encoder)
