"""Loading a model: build its pipeline from files that were found."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import diffusers
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from storage.errors import ModelError
from storage.models.components import is_weights, left_out, read_components
from storage.models.located import Located
from workers.engine.quantised_weights import of_gguf, quantising

# Progress bars are for a terminal, not for a worker's log.
diffusers_logging.disable_progress_bar()
transformers_logging.disable_progress_bar()

#: Errors that diffusers raises for a folder that it cannot load: weights whose shape is
#: not the config's, a class that it does not have, and so on.
UNLOADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ImportError,
    RuntimeError,
    SafetensorError,
)


def load_pipeline(
    found: Located, *, variant: str | None, dtype: torch.dtype, quantize: str = ""
) -> Any:
    """Load a pipeline to the CPU: no pickles, and none of the model's own code.

    Args:
        found: Its files.
        variant: As for `from_pretrained`.
        dtype: Of what is not quantised.
        quantize: How weights are quantised, as `storage.catalogue.quantisation` has it;
            empty for single files.

    Raises:
        ModelError: diffusers cannot load it.
    """
    try:
        if found.checkpoint is not None:
            pipe = _from_file(found, str(found.checkpoint), dtype=dtype)
        else:
            how = quantising(quantize)
            pipe = _from_folder(found, variant=variant, dtype=dtype, **how)
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except UNLOADABLE as exc:
        msg = (
            f"a model must load with diffusers, but {found.name} does not: {exc}; "
            "check its files, or name another model"
        )
        raise ModelError(msg) from exc
    pipe.set_progress_bar_config(disable=True)
    mend_clip_skip(pipe)
    return pipe


def _from_folder(
    found: Located, *, variant: str | None, dtype: torch.dtype, **parts: Any
) -> Any:
    """Load a folder, but for the `parts` that are given; or with other arguments."""
    others: dict[str, Any] = {**left_out(found.index), **parts}
    if "requires_safety_checker" in found.index:
        others["requires_safety_checker"] = False
    return DiffusionPipeline.from_pretrained(
        found.folder,
        dtype=dtype,
        variant=variant,
        use_safetensors=True,
        local_files_only=True,
        **others,
    )


def _from_file(found: Located, file: str, *, dtype: torch.dtype) -> Any:
    """Load a single file, and what it does not hold from the folder beside it."""
    kinds = read_components(found.index)
    how = {"config": str(found.folder), "dtype": dtype, "local_files_only": True}
    if found.holds_encoders:
        pipeline = getattr(diffusers, found.index["_class_name"])
        rest = {**left_out(found.index), **_rest(found, dtype=dtype)}
        pipe = pipeline.from_single_file(file, **how, **rest)
    else:
        parts = {
            part: _class(*kinds[part]).from_single_file(
                file, subfolder=part, **how, **of_gguf(file, dtype)
            )
            for part in found.held
        }
        pipe = _from_folder(found, variant=None, dtype=dtype, **parts)
    pipe.scheduler.register_to_config(**found.scheduler_options)
    _refuse_missing(pipe)
    return pipe


def _rest(found: Located, *, dtype: torch.dtype) -> dict[str, Any]:
    """Load the components whose weights are not in the single file."""
    return {
        part: _class(*kind).from_pretrained(
            found.folder,
            subfolder=part,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
        )
        for part, kind in read_components(found.index).items()
        if any(is_weights(file) for file in found.files if file.startswith(f"{part}/"))
    }


def _class(library: str, name: str) -> Any:
    return getattr(import_module(library), name)


def _refuse_missing(pipe: Any) -> None:
    """Refuse a pipeline of which the file had not all weights.

    Raises:
        ValueError: A weight has no value.
    """
    for part, network in pipe.components.items():
        if not isinstance(network, torch.nn.Module):
            continue
        for name, weight in network.named_parameters():
            if weight.is_meta:
                msg = f"it has no {name} for the {part}"
                raise ValueError(msg)


def mend_clip_skip(pipe: Any) -> None:
    """Add the attribute to a text encoder that diffusers reads for `clip_skip`.

    In transformers 5, `CLIPTextModel` has no `text_model`: the encoder itself is that
    model.
    """
    encoder = getattr(pipe, "text_encoder", None)
    if hasattr(encoder, "final_layer_norm") and not hasattr(encoder, "text_model"):
        # Not by `setattr`, which would register the module as its own submodule.
        object.__setattr__(encoder, "text_model", encoder)


@contextmanager
def without_mending(pipe: Any) -> Iterator[None]:
    """Take that attribute away within the block.

    diffusers looks for it to tell which version of transformers is there, and so which
    names the layers of a LoRA have.
    """
    encoder = getattr(pipe, "text_encoder", None)
    mended = vars(encoder).pop("text_model", None) if encoder is not None else None
    try:
        yield
    finally:
        if mended is not None:
            object.__setattr__(encoder, "text_model", mended)
