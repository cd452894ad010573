"""The model card: what a producer must know of a model, read without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from producer.spec.problems import shown
from producer.tokens import ClipTokens
from storage.components import read_components
from storage.errors import ModelError
from storage.fingerprint import Digests, fingerprint
from storage.job import Model
from storage.models import Located, is_builtin, locate, read_json, resolve_name

#: Pixels on a side that no model goes beyond.
LARGEST_SIDE = 8192

#: Pipeline class to family.
FAMILIES: Mapping[str, str] = {
    "StableDiffusionPipeline": "sd",
    "StableDiffusionXLPipeline": "sdxl",
    "StableDiffusion3Pipeline": "sd3",
    "FluxPipeline": "flux",
}

Configs = Mapping[str, Mapping[str, Any]]

_NO_SIZE = 512
# Flux states no size; its pipeline takes 128 latents on a side.
_FLUX_LATENTS = 128


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a model says of itself.

    Attributes:
        model: What a job carries of it.
        pipeline_class: Class name in diffusers.
        scheduler_class: Class name of the model's own scheduler.
        scheduler_config: That scheduler's configuration, as it is on disk.
        width: Native pixels.
        height: Native pixels.
        factor: What both sides of an image must be divisible by.
        dtype_default: `float32` or `float16`.
        guidance_default: Guidance where a spec says nothing.
        size_bytes: Of the files that are loaded.
        tokens: The CLIP tokenizer, or None where the model has none.
        text_layers: Layers of the text encoder, of the shorter where CLIP has two;
            None where it is not stated.
        unchecked: Sentences about what could not be read.
    """

    model: Model
    pipeline_class: str
    scheduler_class: str
    scheduler_config: Mapping[str, Any]
    width: int
    height: int
    factor: int
    dtype_default: str
    guidance_default: float
    size_bytes: int
    tokens: ClipTokens | None
    unchecked: tuple[str, ...]
    text_layers: int | None = None

    def check_size(self, width: int, height: int) -> list[str]:
        """Say in one sentence each what is wrong with a size in pixels."""
        sides = (("width", width), ("height", height))
        return [
            problem
            for name, value in sides
            if (problem := _check_side(name, value, self.factor))
        ]

    def check_clip_skip(self, skipped: int) -> list[str]:
        """Say in one sentence what is wrong with `clip_skip`, if anything is."""
        if self.text_layers is None:
            return []
        # Pipelines with several encoders take the last layer but one to begin with.
        is_later = self.model.family in ("sdxl", "sd3")
        most = self.text_layers - is_later
        if skipped <= most:
            return []
        return [
            f"clip_skip must be 0 to {most} for a text encoder of {self.text_layers}"
            f" layers, got {skipped}; lower it"
        ]

    def count_tokens(self, text: str) -> int | None:
        """Count a prompt's tokens for CLIP, or give None without a CLIP tokenizer.

        Raises:
            ModelError: The tokenizer's files cannot be read.
        """
        return self.tokens.count(text) if self.tokens else None

    def truncated(self, text: str) -> str | None:
        """Give the end of a prompt that CLIP never reads, or None.

        Raises:
            ModelError: The tokenizer's files cannot be read.
        """
        return self.tokens.cut(text) if self.tokens else None

    def warn_of_cut(self, text: str) -> str | None:
        """Say in one sentence what of a prompt falls off, and for whom, or None.

        Raises:
            ModelError: The tokenizer's files cannot be read.
        """
        if self.tokens is None or (lost := self.tokens.cut(text)) is None:
            return None
        reader = "CLIP, though not T5," if _has_t5(self.model.family) else "CLIP"
        return (
            f"{reader} reads {self.tokens.limit} tokens of a prompt but this has"
            f' {self.tokens.count(text)}; what falls off: "{shown(lost)}"'
        )


def describe(
    name: str,
    *,
    revision: str | None = None,
    variant: str | None = None,
    base_dir: Path,
    digests: Digests | None = None,
) -> ModelCard:
    """Find a model and read what it says of itself; no weights are fetched.

    Args:
        name: As a spec gives it.
        revision: Branch, tag or commit; Hub models only.
        variant: File variant such as `fp16`.
        base_dir: What a relative folder is relative to.
        digests: Where the SHA-256 of local files is remembered.

    Raises:
        ModelError: It cannot be found, read or used.
    """
    resolved = resolve_name(name, base_dir)
    located = locate(resolved, revision=revision, variant=variant, download=False)
    configs = _read_configs(located)
    family = FAMILIES.get(str(located.index["_class_name"]), "other")
    model = Model(
        fingerprint=fingerprint(located, digests or Digests()),
        name=resolved,
        revision=revision,
        variant=variant,
        commit=located.commit,
        family=family,
        embeds_guidance=_embeds_guidance(configs),
    )
    return _make_card(model, located, configs)


def _make_card(model: Model, located: Located, configs: Configs) -> ModelCard:
    components = read_components(located.index)
    if "scheduler" not in components:
        msg = f"a model must have a scheduler, {model.name} has none; choose another"
        raise ModelError(msg)
    size = _read_size(model.family, configs)
    tokens = _find_tokens(located, components)
    is_own = is_builtin(model.name)
    return ModelCard(
        model=model,
        pipeline_class=str(located.index["_class_name"]),
        scheduler_class=components["scheduler"][1],
        scheduler_config=read_json(located.folder / "scheduler/scheduler_config.json"),
        width=size[0] if size else _NO_SIZE,
        height=size[1] if size else _NO_SIZE,
        factor=_read_factor(model.family, configs),
        dtype_default="float32" if is_own else "float16",
        guidance_default=2.5 if is_own else 7.5,
        size_bytes=located.size_bytes,
        tokens=tokens,
        text_layers=_read_text_layers(configs),
        unchecked=_list_unchecked(
            model.family, has_size=size is not None, has_clip=tokens is not None
        ),
    )


def _read_configs(located: Located) -> Configs:
    return {
        part: read_json(located.folder / file)
        for part in ("unet", "transformer", "vae", "text_encoder", "text_encoder_2")
        if (file := f"{part}/config.json") in located.files
    }


def _check_side(name: str, value: int, factor: int) -> str | None:
    low = value // factor * factor
    if not 1 <= value <= LARGEST_SIDE:
        return (
            f"`{name}` has to be {factor} to {LARGEST_SIDE} pixels but is {value};"
            f" use a multiple of {factor} within"
        )
    if low == value:
        return None
    choices = [side for side in (low, low + factor) if 1 <= side <= LARGEST_SIDE]
    return (
        f"`{name}` has to be divisible by {factor} but is {value}; use"
        f" {' or '.join(str(side) for side in choices)}"
    )


def _vae_factor(configs: Configs) -> int:
    """Pixels per latent on a side: each block of the VAE but the last halves it."""
    blocks = configs.get("vae", {}).get("block_out_channels")
    return 2 ** (len(blocks) - 1) if isinstance(blocks, list) and blocks else 8


def _read_factor(family: str, configs: Configs) -> int:
    factor = _vae_factor(configs)
    if family == "flux":
        return 2 * factor
    if family == "sd3":
        return int(configs.get("transformer", {}).get("patch_size", 2)) * factor
    # The pipelines themselves ask for 8, whatever the VAE.
    return max(8, factor)


def _read_size(family: str, configs: Configs) -> tuple[int, int] | None:
    """Give the native (width, height) in pixels, or None where it is not stated."""
    network = configs.get("unet") or configs.get("transformer") or {}
    latents = _FLUX_LATENTS if family == "flux" else network.get("sample_size")
    factor = _vae_factor(configs)
    if isinstance(latents, int):
        return latents * factor, latents * factor
    if isinstance(latents, list) and len(latents) == 2:
        height, width = latents
        return int(width) * factor, int(height) * factor
    return None


def _read_text_layers(configs: Configs) -> int | None:
    encoders = [configs.get(part, {}) for part in ("text_encoder", "text_encoder_2")]
    layers = [encoder.get("num_hidden_layers") for encoder in encoders]
    return min((each for each in layers if isinstance(each, int)), default=None)


def _embeds_guidance(configs: Configs) -> bool:
    unet, transformer = configs.get("unet", {}), configs.get("transformer", {})
    has_condition = unet.get("time_cond_proj_dim") is not None
    return has_condition or transformer.get("guidance_embeds") is True


def _find_tokens(
    model: Located, components: Mapping[str, tuple[str, str]]
) -> ClipTokens | None:
    # All CLIP tokenizers of one model share vocabulary and limit.
    for name, (_, class_name) in sorted(components.items()):
        if class_name.startswith("CLIPTokenizer"):
            return ClipTokens(model.folder / name)
    return None


def _has_t5(family: str) -> bool:
    return family in ("sd3", "flux")


def _list_unchecked(family: str, *, has_size: bool, has_clip: bool) -> tuple[str, ...]:
    sentences = []
    if not has_size:
        sentences.append(f"the native size is not stated, {_NO_SIZE} pixels are taken")
    if not has_clip:
        sentences.append("the length of prompts is not checked: no CLIP tokenizer")
    elif _has_t5(family):
        sentences.append("the length of prompts is checked for CLIP, not for T5")
    return tuple(sentences)
