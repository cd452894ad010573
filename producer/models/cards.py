"""The model card: what a producer must know of a model, read without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from producer.models.tokens import ClipTokens
from producer.models.traits import Configs, embeds_guidance, read_traits
from producer.spec.problems import shown
from storage.catalogue.known_classes import require_pipeline, require_scheduler
from storage.catalogue.pipeline_calls import CallParameter, parameters_of
from storage.catalogue.pipeline_families import Guidance
from storage.catalogue.schedulers import Scheduler, check, check_steps
from storage.catalogue.schedules import Schedule, find_problems, steps_of
from storage.errors import ModelError
from storage.job import Model
from storage.models.components import (
    is_saved_by_flax,
    read_components,
    torch_class,
)
from storage.models.fingerprint import Digests, fingerprints
from storage.models.located import (
    Located,
    read_json,
)
from storage.models.lora_layers import Layers, read_layers
from storage.models.model_files import locate, resolve_name

#: Pixels on a side that no model goes beyond.
LARGEST_IMAGE_SIDE = 8192

_NO_SIZE = 512
#: Tokenizers that first bring every text into NFC, whatever their files say.
_COMPOSING = frozenset({"CLIPTokenizer", "Qwen2Tokenizer"})
#: Components whose configuration says something of use.
_CONFIGURED = (
    *("unet", "transformer", "vae", "movq", "text_encoder", "text_encoder_2"),
)


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a model says of itself.

    Attributes:
        model: The model as jobs carry it.
        pipeline_class: Class name in diffusers, of torch.
        scheduler_class: Class name of the model's own scheduler, of torch.
        scheduler_config: That scheduler's configuration, as it is on disk.
        width: Native pixels.
        height: Native pixels.
        factor: What both sides of an image must be divisible by.
        dtype_default: Precision where a spec says nothing.
        guidance_default: Guidance where a spec says nothing.
        size_bytes: Size of the files that are loaded.
        tokens: The CLIP tokenizer, or None where the model has none.
        text_layers: Layers of the text encoder, of the shorter where CLIP has two;
            None where it is not stated.
        unchecked: Sentences about what could not be read.
        steps_default: Steps where a spec says nothing.
        effects: What guidance does; None where it is not known.
        distilled: Why the model counts as distilled to few steps without guidance;
            None where it does not.
        inputs: Which of `negative_prompt`, `eta` and `clip_skip` the pipeline takes;
            None where it is not known.
        composes: Whether every tokenizer joins a letter and its accents to one
            character, so that both forms of a text are one.
        begins_at_zero: Whether the pipeline tells schedulers to begin at their first
            timestep, rather than to look for it.
        saved_by_flax: Whether its weights are those of Flax, which torch cannot load.
        missing_bytes: Size of what must still be fetched from the Hub.
        located: Its files; None where they are not known.
        digests: Remembers the SHA-256 of files; None where nothing does.
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
    steps_default: int = 20
    effects: Guidance | None = None
    distilled: str | None = None
    inputs: frozenset[str] | None = None
    composes: bool = False
    begins_at_zero: bool = False
    saved_by_flax: bool = False
    missing_bytes: int = 0
    located: Located | None = None
    digests: Digests | None = None

    @cached_property
    def layers(self) -> Mapping[str, Layers]:
        """The layers of each part whose weights are on this machine.

        Raises:
            ModelError: They cannot be read.
        """
        return read_layers(self.located) if self.located else {}

    @property
    def defaults(self) -> tuple[str, int, float]:
        """Precision, steps and guidance where a spec says nothing."""
        return self.dtype_default, self.steps_default, self.guidance_default

    def check_size(self, width: int, height: int) -> list[str]:
        """Return a sentence for each side of a size in pixels that is wrong."""
        sides = (("width", width), ("height", height))
        return [
            problem
            for name, value in sides
            if (problem := _check_side(name, value, self.factor))
        ]

    def check_clip_skip(self, skipped: int) -> list[str]:
        """Say in one sentence what is wrong with `clip_skip`, if anything is."""
        if skipped and not self.takes("clip_skip"):
            return [self.no_input("clip_skip", skipped)]
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

    @property
    def scheduler_family(self) -> str:
        """The family as the rules of schedulers know it."""
        is_lcm = self.pipeline_class == "LatentConsistencyModelPipeline"
        return "lcm" if is_lcm else self.model.family

    def check_scheduler(self, scheduler: Scheduler) -> list[str]:
        """Say everything that is wrong with a scheduler for the model."""
        return check(
            scheduler,
            config=self.scheduler_config,
            family=self.scheduler_family,
            pipeline=self.pipeline_class,
        )

    def check_steps(self, scheduler: Scheduler, steps: int, *, dtype: str) -> list[str]:
        """Say why a scheduler that passed its check cannot run a number of steps."""
        return check_steps(
            scheduler,
            config=self.scheduler_config,
            steps=steps,
            dtype=dtype,
            begins_at_zero=self.begins_at_zero,
        )

    def check_schedule(
        self, schedule: Schedule, scheduler: Scheduler, *, steps: int
    ) -> list[str]:
        """Say why a scheduler that passed its check cannot follow a schedule."""
        count = steps_of(schedule, scheduler.class_name)
        return find_problems(
            schedule,
            scheduler,
            config=self.scheduler_config,
            family=self.scheduler_family,
            pipeline=self.pipeline_class,
        ) or [
            f"steps must be {each} with this schedule, whose list decides, got {steps};"
            " leave `steps` out, or exclude the pair"
            for each in [count]
            if each != steps
        ]

    @cached_property
    def calls(self) -> Mapping[str, CallParameter]:
        """The inputs that only some pipelines have, such as `call.true_cfg_scale`."""
        return parameters_of(self.pipeline_class)

    def call_default(self, name: str) -> Any:
        """Return the neutral value of such an input; None if there is none."""
        known = self.calls.get(name)
        return known.default if known else None

    def takes(self, name: str) -> bool:
        """Return whether the pipeline has an input; True where it is not known."""
        return self.inputs is None or name in self.inputs

    def no_input(self, name: str, value: float) -> str:
        """Say that the pipeline has no such input."""
        return (
            f"{name} must be 0 for a {self.pipeline_class}, which has no such input, "
            f"got {value:g}; leave it out"
        )

    def count_tokens(self, text: str) -> int | None:
        """Count a prompt's tokens for CLIP; return None without a CLIP tokenizer.

        Raises:
            ModelError: The tokenizer's files cannot be read.
        """
        return self.tokens.count(text) if self.tokens else None

    def truncated(self, text: str) -> str | None:
        """Return the end of a prompt that CLIP never reads, or None.

        Raises:
            ModelError: The tokenizer's files cannot be read.
        """
        return self.tokens.cut(text) if self.tokens else None

    def warn_of_cut(self, text: str) -> str | None:
        """Say in one sentence what of a prompt is cut off, and for which encoder.

        Raises:
            ModelError: The tokenizer's files cannot be read.
        """
        if self.tokens is None or (lost := self.tokens.cut(text)) is None:
            return None
        return (
            f"{self.reading} but this has {self.tokens.count(text)}; what is cut off:"
            f' "{shown(lost)}"'
        )

    @property
    def reading(self) -> str:
        """Which encoder reads how much of a prompt, as the start of a message."""
        reader = "CLIP, though not T5," if _has_t5(self.model.family) else "CLIP"
        limit = self.tokens.limit if self.tokens else "all"
        return f"{reader} reads {limit} tokens of a prompt"


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
    components = read_components(located.index)
    pipeline = torch_class(located.index["_class_name"])
    require_pipeline(pipeline)
    if "scheduler" not in components:
        msg = f"a model must have a scheduler, {resolved} has none; choose another"
        raise ModelError(msg)
    scheduler = torch_class(components["scheduler"][1])
    require_scheduler(scheduler)
    configs = _read_configs(located)
    traits = read_traits(
        resolved,
        index=located.index,
        scheduler_class=scheduler,
        configs=configs,
    )
    found = fingerprints(located, digests or Digests())
    model = Model(
        fingerprint=found.current,
        former_fingerprints=found.former,
        name=resolved,
        revision=revision,
        variant=variant,
        commit=located.commit,
        family=traits.family,
        pipeline=pipeline,
        embeds_guidance=embeds_guidance(configs),
    )
    tokens = _find_tokens(located, components)
    width, height = traits.size or (_NO_SIZE, _NO_SIZE)
    return ModelCard(
        model=model,
        pipeline_class=pipeline,
        scheduler_class=scheduler,
        scheduler_config=located.own_scheduler,
        width=width,
        height=height,
        factor=traits.factor,
        dtype_default=traits.dtype,
        guidance_default=traits.guidance,
        size_bytes=located.size_bytes,
        tokens=tokens,
        text_layers=_read_text_layers(configs),
        unchecked=located.remarks
        + _list_unchecked(
            model.family, has_size=traits.size is not None, has_clip=tokens is not None
        ),
        steps_default=traits.steps,
        effects=traits.effects,
        distilled=traits.distilled,
        inputs=traits.inputs,
        begins_at_zero=traits.begins_at_zero,
        composes=_composes(components),
        saved_by_flax=is_saved_by_flax(located.index),
        missing_bytes=sum(located.missing.values()),
        located=located,
        digests=digests,
    )


def _read_configs(located: Located) -> Configs:
    return {
        part: read_json(located.folder / file)
        for part in _CONFIGURED
        if (file := f"{part}/config.json") in located.files
    }


def _check_side(name: str, value: int, factor: int) -> str | None:
    low = value // factor * factor
    if not 1 <= value <= LARGEST_IMAGE_SIDE:
        return (
            f"`{name}` has to be {factor} to {LARGEST_IMAGE_SIDE} pixels but is"
            f" {value}; use a multiple of {factor} within"
        )
    if low == value:
        return None
    choices = [side for side in (low, low + factor) if 1 <= side <= LARGEST_IMAGE_SIDE]
    return (
        f"`{name}` has to be divisible by {factor} but is {value}; use"
        f" {' or '.join(str(side) for side in choices)}"
    )


def _read_text_layers(configs: Configs) -> int | None:
    encoders = [configs.get(part, {}) for part in ("text_encoder", "text_encoder_2")]
    layers = [encoder.get("num_hidden_layers") for encoder in encoders]
    return min((each for each in layers if isinstance(each, int)), default=None)


def _find_tokens(
    model: Located, components: Mapping[str, tuple[str, str]]
) -> ClipTokens | None:
    # All CLIP tokenizers of one model share vocabulary and limit.
    for name, (_, class_name) in sorted(components.items()):
        if class_name.startswith("CLIPTokenizer"):
            return ClipTokens(model.folder / name)
    return None


def _composes(components: Mapping[str, tuple[str, str]]) -> bool:
    readers = [
        class_name
        for _, class_name in components.values()
        if "Tokenizer" in class_name or "Processor" in class_name
    ]
    return bool(readers) and all(
        name.removesuffix("Fast") in _COMPOSING for name in readers
    )


def _has_t5(family: str) -> bool:
    return family in ("sd3", "flux")


def _list_unchecked(family: str, *, has_size: bool, has_clip: bool) -> tuple[str, ...]:
    sentences = []
    if not has_size:
        sentences.append(f"the native size is not stated, {_NO_SIZE} pixels are used")
    if not has_clip:
        sentences.append("the length of prompts is not checked: no CLIP tokenizer")
    elif _has_t5(family):
        sentences.append("the length of prompts is checked for CLIP, not for T5")
    return tuple(sentences)
