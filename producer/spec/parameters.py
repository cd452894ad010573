"""The parameters of a job: what each may be, read from its written text."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

from producer.spec.numerals import way_out_of_list, way_out_of_number
from producer.spec.problems import WayOut, WrongValueError, closest, listed, shown
from storage.catalogue.image_pipelines import RESIZES
from storage.catalogue.pipeline_calls import all_parameters, bounds_of, names_of
from storage.catalogue.schedulers import Scheduler
from storage.errors import UsageError
from storage.job import BACKENDS, canonical_json
from storage.models.checkpoint_names import label_of

#: Reads one parameter's text; raises UsageError with rule, value and way out.
Parser = Callable[[str], Any]

_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")
_NUMBER = re.compile(
    r"[+-]?([0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?"
)
#: Synonyms for the words of a choice.
_SYNONYMS = {
    "gpu": "cuda",
    **dict.fromkeys(("fp16", "half", "f16"), "float16"),
    **dict.fromkeys(("bf16", "bfloat"), "bfloat16"),
    **dict.fromkeys(("fp32", "full", "single", "float", "f32"), "float32"),
}


class Unset(Enum):
    """What `null` stands for: a parameter that nothing sets."""

    UNSET = "default"


#: Stands in for a value until the model, which decides some defaults, is known.
UNSET = Unset.UNSET


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as the tokenizer gets it, and how it was made.

    Attributes:
        text: Without braces, and without white space at its ends.
        template: The text with its `{a|b}`; None where it had no choices.
        choices: What was chosen for each of the template's braces, in their order.
    """

    text: str
    template: str | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """A model as a sweep names it; `label` is the sweep's own name for it."""

    name: str
    revision: str | None = None
    variant: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerChoice:
    """A scheduler as a sweep names it.

    Attributes:
        scheduler: Class and options; None where the model decides: its own scheduler,
            or several.
        label: The sweep's own name for it.
        written: As the sweep writes it: a name, or `all`, `every` or a pattern, which
            stand for several. Empty for the model's own.
        word: The word, such as `all`, that it came from; empty where it was named.
    """

    scheduler: Scheduler | None
    label: str | None = None
    written: str = ""
    word: str = ""

    @property
    def is_set(self) -> bool:
        """Whether it stands for several schedulers."""
        return self.scheduler is None and bool(self.written)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleChoice:
    """A schedule as a sweep writes it.

    Attributes:
        values: As `storage.catalogue.schedules` has it.
        label: What the sweep calls it: `ays`, or a name of its own.
    """

    values: tuple[str | float, ...]
    label: str | None = None


def integer(name: str, low: int, high: int) -> Parser:
    """Make the parser of whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        is_number = bool(_INTEGER.fullmatch(text))
        if is_number and low <= int(text) <= high:
            return int(text)
        rule = f"{name} must be an integer from {low} to {high}, got {shown(text)}"
        way_out = _way_out(name, text, is_whole=True, is_number=is_number)
        raise WrongValueError(rule, way_out)

    return parse


def number(name: str, low: float | Decimal, high: float) -> Parser:
    """Make the parser of numbers from `low` to `high`."""
    # As they are written: the float 0.001 is a little more than that.
    least, most = Decimal(str(low)), Decimal(str(high))

    def parse(text: str) -> float:
        is_number = bool(_NUMBER.fullmatch(text))
        if is_number and least <= Decimal(text) <= most:
            return float(text)
        rule = f"{name} must be a number from {low:g} to {high:g}, got {shown(text)}"
        way_out = _way_out(name, text, is_whole=False, is_number=is_number)
        raise WrongValueError(rule, way_out)

    return parse


def _way_out(name: str, text: str, *, is_whole: bool, is_number: bool) -> str | WayOut:
    found = way_out_of_number(name, text, is_whole=is_whole)
    return found or ("choose one in that range" if is_number else "write it in digits")


def choice(name: str, *words: str, otherwise: str = "") -> Parser:
    """Make the parser of one of a few words.

    Args:
        name: Name of the parameter.
        words: What it may be.
        otherwise: What to do if a text resembles none of them.
    """

    def parse(text: str) -> str:
        if text in words:
            return text
        meant = _SYNONYMS.get(text.lower().removeprefix("torch."))
        if meant not in words:
            meant = closest(text, words, cutoff=0.5)
        way_out = way_out_of_list(name, text) if name in PARSERS else None
        others = f"did you mean `{meant}`?" if meant else otherwise
        rule = f"{name} must be one of {listed(words)}, got {shown(text)}"
        raise WrongValueError(rule, way_out or others or "write one of them")

    return parse


def flag(name: str) -> Parser:
    """Make the parser of `true` and `false`, and nothing else."""

    def parse(text: str) -> bool:
        if text not in ("true", "false"):
            msg = (
                f"{name} must be true or false, got {shown(text)}; write one of the two"
            )
            raise UsageError(msg)
        return text == "true"

    return parse


def parse_step(text: str) -> Decimal:
    """Read the step of a range, which may be negative."""
    if not _NUMBER.fullmatch(text):
        msg = f"step must be a number, got {shown(text)}; write it in digits"
        raise UsageError(msg)
    return Decimal(text)


def parse_text(text: str) -> str:
    """Read a text as written, without the white space at its ends."""
    return text.strip()


def parse_tag(text: str) -> str:
    """Read a free tag of at most 64 characters."""
    if len(text) > 64:
        msg = f"tag must have at most 64 characters, got {len(text)}; shorten it"
        raise UsageError(msg)
    return text


def _parser_of_call(name: str, kind: str) -> Parser:
    if kind == "flag":
        return flag(name)
    if kind == "text":
        return parse_text
    make = integer if kind == "integer" else number
    return make(name, *bounds_of(name, kind))


#: Parameters written as one value, with the parser of each. `prompt`, `model`,
#: `scheduler`, `schedule`, `image`, `control_image`, `quantize`, `cache`, and those of
#: `LISTS` and `WEIGHTS` have forms of their own.
PARSERS: Mapping[str, Parser] = {
    "negative_prompt": parse_text,
    "seed": integer("seed", 0, 2**63 - 1),
    "steps": integer("steps", 1, 1000),
    "guidance": number("guidance", 0, 100),
    "width": integer("width", 8, 16384),
    "height": integer("height", 8, 16384),
    "dtype": choice("dtype", "float32", "float16", "bfloat16"),
    "generator": choice(
        "generator",
        "cpu",
        "cuda",
        "numpy",
        otherwise="write numbers under `seed` for other noise",
    ),
    "eta": number("eta", 0, 1),
    "shift": number("shift", Decimal("0.01"), 100),
    "clip_skip": integer("clip_skip", 0, 12),
    "lora_scale": number("lora_scale", -10, 10),
    "strict": flag("strict"),
    "tag": parse_tag,
    "backend": choice("backend", *BACKENDS),
    "strength": number("strength", 0.001, 1),
    "resize": choice("resize", *RESIZES),
    "control_scale": number("control_scale", 0, 10),
    "control_start": number("control_start", 0, 1),
    "control_end": number("control_end", 0, 1),
    **{
        name: _parser_of_call(name, one.kind)
        for name, one in all_parameters().items()
        if one.kind != "integers"
    },
}

#: Inputs that only some pipelines have, such as `call.true_cfg_scale`.
CALLS = tuple(all_parameters())
#: Those of them that are lists of whole numbers.
LISTS = names_of("integers")
#: Those of them that are texts.
CALL_TEXTS = names_of("text")
#: Parameters that a range such as `{start, stop, step}` may set.
INTEGERS = names_of("integer") | {"seed", "steps", "width", "height", "clip_skip"}
NUMBERS = (
    INTEGERS
    | names_of("number")
    | {"guidance", "eta", "shift", "strength", "lora_scale"}
    | {"control_scale", "control_start", "control_end"}
)
#: Parameters that name weights besides the model, each a list of them.
WEIGHTS = ("loras", "embeddings", "controlnet")

#: Every parameter, in the order in which help lists them.
PARAMETERS = (
    "model",
    "prompt",
    "image",
    "control_image",
    *PARSERS,
    "scheduler",
    "schedule",
    *WEIGHTS,
    "quantize",
    "cache",
    *sorted(LISTS),
)
#: The parameters that have no default.
REQUIRED = ("model", "prompt")


def shown_as(value: object) -> str:
    """Return a parameter's value as grids and tables show it: 7.0 as `7`."""
    if isinstance(value, Prompt):
        return value.text
    if isinstance(value, ModelChoice):
        parts = (label_of(value.name), value.revision, value.variant)
        return value.label or "@".join(part for part in parts if part)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, ScheduleChoice):
        return value.label or canonical_json(value.values)
    if isinstance(value, list | tuple):
        return canonical_json(value)
    if value is None:
        return UNSET.value
    return f"{value:.12g}" if isinstance(value, float) else str(value)
