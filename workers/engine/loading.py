"""Loading a model: build its pipeline from files that were found."""

from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from storage.errors import ModelError
from storage.models.components import left_out
from storage.models.located import Located

# Progress bars are for a terminal, not for a worker's log.
diffusers_logging.disable_progress_bar()
transformers_logging.disable_progress_bar()

#: Errors that diffusers raises for a folder that it cannot load: weights whose shape is
#: not the config's, a class that it does not have, and so on.
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


def load_pipeline(found: Located, *, variant: str | None, dtype: torch.dtype) -> Any:
    """Load a pipeline to the CPU: only safetensors, and none of the model's own code.

    Raises:
        ModelError: diffusers cannot load it.
    """
    others: dict[str, Any] = {**left_out(found.index)}
    if "requires_safety_checker" in found.index:
        others["requires_safety_checker"] = False
    try:
        pipe = DiffusionPipeline.from_pretrained(
            found.folder,
            dtype=dtype,
            variant=variant,
            use_safetensors=True,
            local_files_only=True,
            **others,
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
    """Add the attribute to a text encoder that diffusers reads for `clip_skip`.

    In transformers 5, `CLIPTextModel` has no `text_model`: the encoder itself is that
    model.
    """
    encoder = getattr(pipe, "text_encoder", None)
    if hasattr(encoder, "final_layer_norm") and not hasattr(encoder, "text_model"):
        # Not by `setattr`, which would register the module as its own submodule.
        object.__setattr__(encoder, "text_model", encoder)
