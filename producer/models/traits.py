"""What a model takes, and its defaults where a spec says nothing, from its files."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage.catalogue.pipeline_families import FAMILIES, NO_GUIDANCE, Family, Guidance
from storage.models.checkpoint_names import is_checkpoint, parse
from storage.models.components import torch_class
from storage.models.model_files import is_builtin

#: Component to what its configuration says.
Configs = Mapping[str, Mapping[str, Any]]

#: Defaults of pipelines that the table of families does not have.
_UNKNOWN = Family(dtype="float16", steps=20, guidance=7.5)
#: Defaults of the built-in models.
_BUILTIN_DTYPE, _BUILTIN_GUIDANCE = "float32", 2.5
#: Schedulers that only models distilled to a few steps have as their own.
_FEW_STEPS = frozenset({"LCMScheduler", "TCDScheduler"})
#: Words in the names of models that are distilled to a few steps.
_FAST_NAME = re.compile(
    r"(?<![a-z])(turbo|lightning|hyper|lcm|schnell|dmd2?|flash|distilled)(?![a-z])"
)
#: Names by which transformers states a precision.
_DTYPES = ("bfloat16", "float16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a model takes and wants.

    Attributes:
        family: `sd`, `sdxl`, `sd3`, `flux`, or `other`.
        dtype: The default where a spec says nothing, like the next three.
        steps: Calls of the scheduler.
        guidance: The scale; `NO_GUIDANCE` where the model takes none.
        size: Native (width, height) in pixels, None where nothing states it.
        factor: What both sides of an image must be divisible by.
        effects: What guidance does; None where it is not known.
        distilled: Why it counts as distilled to few steps without guidance; None where
            it does not.
        inputs: As in `Family`; None where they are not known.
        begins_at_zero: As in `Family`.
    """

    family: str
    dtype: str
    steps: int
    guidance: float
    size: tuple[int, int] | None
    factor: int
    effects: Guidance | None
    distilled: str | None
    inputs: frozenset[str] | None
    begins_at_zero: bool


def read_traits(
    name: str, *, index: Mapping[str, Any], scheduler_class: str, configs: Configs
) -> Traits:
    """Read what a model says of itself; the table of families says the rest.

    Args:
        name: Name of the model.
        index: What model_index.json says.
        scheduler_class: Class of the model's own scheduler.
        configs: What the configurations of its components say.
    """
    known = FAMILIES.get(torch_class(str(index["_class_name"])))
    family = known or _UNKNOWN
    effects = _read_effects(family, index, configs)
    stated = _states_few_steps(family, index, scheduler_class, effects=effects)
    few_steps = family.distilled_steps if stated else None
    is_own = is_builtin(name)
    guidance = _default_guidance(family, effects, is_distilled=stated)
    return Traits(
        family=family.name,
        dtype=_BUILTIN_DTYPE if is_own else _default_dtype(known, configs),
        steps=few_steps or family.steps,
        guidance=_BUILTIN_GUIDANCE if is_own else guidance,
        size=_read_size(family, configs),
        factor=_read_factor(family, configs),
        effects=effects if known and known.is_tried else None,
        distilled=_why_distilled(name, is_stated=stated),
        inputs=known.inputs if known else None,
        begins_at_zero=family.begins_at_zero,
    )


def embeds_guidance(configs: Configs) -> bool:
    """Return whether a network states that guidance is one of its inputs."""
    unet, transformer = configs.get("unet", {}), configs.get("transformer", {})
    has_condition = unet.get("time_cond_proj_dim") is not None
    return has_condition or transformer.get("guidance_embeds") is True


def vae_factor(configs: Configs) -> int:
    """Return the pixels per latent on a side: VAE blocks double it, but the last.

    Where a config lists `temperal_downsample`, each of its entries counts.

    Returns 8, the value of nearly all models, where it is not stated.
    """
    vae = configs.get("vae") or configs.get("movq") or {}
    stated = vae.get("spatial_compression_ratio")
    if isinstance(stated, int):
        return stated
    for name, extra in (
        ("block_out_channels", 1),
        ("encoder_block_out_channels", 1),
        ("temperal_downsample", 0),
    ):
        blocks = vae.get(name)
        if isinstance(blocks, list) and blocks:
            return int(2 ** (len(blocks) - extra))
    return 8


def _read_effects(
    family: Family, index: Mapping[str, Any], configs: Configs
) -> Guidance:
    # A pipeline without optional inputs ignores guidance where the model says that it
    # is distilled.
    is_ignored = family.inputs == frozenset() and _is_distilled(index)
    # A component that guides has scales of its own.
    has_guider = any(any(index.get(name) or ()) for name in ("guider", "ocr_guider"))
    return Guidance(
        off=None if is_ignored else family.off,
        is_embedded=_is_embedded(family, configs),
        own_scale=None if has_guider else family.own_scale,
        takes_negative="negative_prompt" in family.inputs,
    )


def _is_embedded(family: Family, configs: Configs) -> bool:
    if family.embeds in (None, "always"):
        return family.embeds == "always"
    part, _, setting = family.embeds.partition(".")
    stated = configs.get(part, {}).get(setting, family.is_embedded_unstated)
    return stated is not None and stated is not False


def _is_distilled(index: Mapping[str, Any]) -> bool:
    return index.get("is_distilled") is True


def _states_few_steps(
    family: Family,
    index: Mapping[str, Any],
    scheduler_class: str,
    *,
    effects: Guidance,
) -> bool:
    # Every Flux model is distilled: with guidance as an input, or to few steps.
    is_schnell = family.name == "flux" and not effects.is_embedded
    return _is_distilled(index) or scheduler_class in _FEW_STEPS or is_schnell


def _why_distilled(name: str, *, is_stated: bool) -> str | None:
    if is_stated:
        return "it says so"
    path = parse(name).file if is_checkpoint(name) else name.rstrip("/")
    word = _FAST_NAME.search(path.rpartition("/")[2].lower())
    return f"its name says {word[1]}" if word else None


def _default_guidance(
    family: Family, effects: Guidance, *, is_distilled: bool
) -> float:
    if effects.is_embedded:
        return family.embedded_guidance or family.guidance or NO_GUIDANCE
    if effects.off is None or family.guidance is None:
        return NO_GUIDANCE
    return effects.off if is_distilled else family.guidance


def _default_dtype(known: Family | None, configs: Configs) -> str:
    if known:
        return known.dtype
    encoder = configs.get("text_encoder", {})
    stated = encoder.get("dtype") or encoder.get("torch_dtype")
    return stated if stated in _DTYPES else _UNKNOWN.dtype


def _read_factor(family: Family, configs: Configs) -> int:
    patch = family.patch
    if family.name == "sd3":
        patch = int(configs.get("transformer", {}).get("patch_size", patch))
    factor = patch * vae_factor(configs)
    # Pipelines that do not pack latents ask for 8, whatever the VAE.
    return factor if family.patch > 1 else max(8, factor)


def _read_size(family: Family, configs: Configs) -> tuple[int, int] | None:
    if family.side:
        return family.side, family.side
    network = configs.get("unet") or configs.get("transformer") or {}
    latents, factor = network.get("sample_size"), vae_factor(configs)
    if isinstance(latents, int):
        return latents * factor, latents * factor
    if isinstance(latents, list) and len(latents) == 2:
        height, width = latents
        return int(width) * factor, int(height) * factor
    return None
