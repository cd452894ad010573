"""Inputs that only some pipelines have, which a sweep sets by name under `call`.

Plain data. `pipeline_calls.json` has the inputs of each pipeline of diffusers 0.42,
with their defaults; a test compares it with the installed one, and
`python -m tests.call_signatures` writes it anew.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

#: Where the inputs of each pipeline are.
FILE = Path(__file__).with_name("pipeline_calls.json")
#: How the names of such parameters begin, everywhere but in diffusers.
PREFIX = "call."
#: Inputs that are parameters of jobs already, by another name or the same.
OWN: Mapping[str, str] = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "num_inference_steps": "steps",
    "guidance_scale": "guidance",
    "width": "width",
    "height": "height",
    "eta": "eta",
    "clip_skip": "clip_skip",
}
#: Inputs that have a language model rewrite the prompt, by pipeline. What it writes
#: does not follow from the seed, so no job has it on, though it is by default.
REWRITING: Mapping[str, str] = {
    "ErnieImagePipeline": "use_pe",
    "LongCatImagePipeline": "enable_prompt_rewrite",
}
#: Inputs that are height and width of the image unless a sweep sets them, by pipeline.
SIZE_INPUTS: Mapping[str, tuple[str, ...]] = {
    "StableDiffusionXLPipeline": ("call.original_size", "call.target_size"),
}
#: Inputs that no sweep may set, as patterns of their names, each with the reason and
#: the way out.
_REFUSED: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (
            "generator|latents|.*_latents",
            "the first noise follows from `seed` and `generator`, so that every image "
            "can be made again; vary `seed`",
        ),
        (
            "callback.*",
            "it is a function, which a sweep file cannot hold, and could make one image"
            " depend on another; leave it out",
        ),
        (
            ".*cache.*",
            "a cache of the network's answers makes images that a plain script does not"
            " make; leave it out, or write a `cache` that scripts have too",
        ),
        (
            ".*timesteps|sigmas",
            "it is a parameter of its own here; write `schedule: {sigmas: [...]}` or"
            " `schedule: {timesteps: [...]}`",
        ),
        (
            "guidance_schedule",
            "the scheduler and `steps` decide that; name another scheduler",
        ),
        (
            "scaling_watershed",
            "it changes the positions of tokens while an image is made, which jobs that"
            " share a call have in common; leave it out",
        ),
        (
            "mu|shift",
            "it is a parameter of its own here; write `shift: 3`",
        ),
        (
            "original_inference_steps",
            "it is an option of the scheduler here; write"
            " {class: LCMScheduler, options: {original_inference_steps: 50}} under"
            " `scheduler`",
        ),
        (
            "denoising_end",
            "an image would be left unfinished; lower `steps`",
        ),
        (
            "num_images_per_prompt",
            "a seed makes one image; name several seeds, such as {start: 0, count: 4}",
        ),
        (
            "output_type|return_dict",
            "the worker decides how it gets the pixels; leave it out",
        ),
        (
            "strength|image",
            "it is a parameter of its own; write `image` and `strength`",
        ),
        (
            "img_.*|.*images?|.*image_.*|.*_mask|.*_mask_[0-9]+",
            "no image but `image` is read; leave it out",
        ),
        (
            ".*embeds.*|.*cu_seqlens",
            "it is a tensor, which a sweep file cannot hold; write the text as"
            " `prompt` or `negative_prompt`",
        ),
        (
            "negative_prompt_[0-9]",
            "all text encoders read one negative prompt; write `negative_prompt`",
        ),
        (
            ".*_kwargs|kwargs",
            "it is for what is loaded besides a model, and nothing is here; leave it"
            " out",
        ),
        (
            "prompt_upsampling.*|caption_upsample_temperature|"
            + "|".join(REWRITING.values()),
            "a language model would draw another prompt each time; write the prompt"
            " itself",
        ),
        (
            "complex_human_instruction",
            "it is a list of texts; write its words in the prompt",
        ),
        (
            "clean_caption",
            "what it does depends on the packages bs4 and ftfy of a worker; leave it"
            " out",
        ),
        (
            "output_resolution",
            "it has no effect beside a size; write `width` and `height`",
        ),
    )
)

#: Smallest and largest value where it is not that of the kind.
_BOUNDS: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(("guidance_rescale", "cfg_renorm_min", "cfg_trunc_ratio"), (0, 1)),
    **dict.fromkeys(("skip_layer_guidance_start", "skip_layer_guidance_stop"), (0, 1)),
    "cfg_truncation": (0, 1),
    "return_index": (-1000, 1000),
}
_BOUNDS_OF_KINDS: Mapping[str, tuple[int, int]] = {
    "integer": (1, 65536),
    "integers": (0, 65536),
    "number": (0, 100),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallParameter:
    """An input of a pipeline's call.

    Attributes:
        kind: `flag`, `integer`, `number`, `integers` (a list of them), or `text`.
        default: What the pipeline takes on its own; it is neutral. None if that
            depends on other parameters.
        length: How many `integers`; None for any number of them.
        maximum: Largest value that the pipeline accepts; None if it names none.
    """

    kind: str
    default: Any
    length: int | None = None
    maximum: int | None = None


@cache
def _read() -> Mapping[str, Mapping[str, CallParameter]]:
    known = json.loads(FILE.read_text())
    return {
        pipeline: {f"{PREFIX}{name}": _parameter(row) for name, row in some.items()}
        for pipeline, some in known.items()
    }


def _parameter(row: Mapping[str, Any]) -> CallParameter:
    return CallParameter(**{**row, "default": _hashable(row["default"])})


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def parameters_of(pipeline: str | None) -> Mapping[str, CallParameter]:
    """Return what a sweep may set of a pipeline's call, by `call.` and the name.

    Empty for a pipeline that is not known.
    """
    return _read().get(pipeline or "", {})


@cache
def all_parameters() -> Mapping[str, CallParameter]:
    """Return an example of each parameter that any pipeline has.

    Those of one name have one kind and one length.
    """
    found = {name: one for some in _read().values() for name, one in some.items()}
    return {name: found[name] for name in sorted(found)}


def names_of(*kinds: str) -> frozenset[str]:
    """Return the names of all parameters of these kinds; see `CallParameter`."""
    return frozenset(n for n, one in all_parameters().items() if one.kind in kinds)


def why_refused(name: str) -> str | None:
    """Return why a sweep must not set an input, and the way out; None if it may."""
    return next((why for each, why in _REFUSED if each.fullmatch(name)), None)


def fixed_inputs(pipeline: str | None) -> dict[str, bool]:
    """Return the inputs that all jobs of a pipeline set; see `REWRITING`."""
    name = REWRITING.get(pipeline or "")
    return {name: False} if name else {}


def value_of(extras: Mapping[str, Any], name: str, *, pipeline: str | None) -> Any:
    """Return what a job has of a parameter, which its extras leave out if neutral.

    None if that depends on other parameters, or if the pipeline has no such input.
    """
    known = parameters_of(pipeline).get(name)
    return _hashable(extras.get(name, known.default if known else None))


def bounds_of(name: str, kind: str) -> tuple[int, int]:
    """Return the smallest and the largest number that a parameter may be."""
    return _BOUNDS.get(name.removeprefix(PREFIX), _BOUNDS_OF_KINDS[kind])
