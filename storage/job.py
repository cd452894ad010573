"""A job: one image to make, all of its parameters, and the key that names it."""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

#: Raised only when the meaning of an existing parameter changes, since a new version
#: makes every image again.
IDENTITY_VERSION = 1

#: What paints jobs: diffusers on torch, or its Flax pipelines on JAX. Each is the
#: environment of a kind of worker.
TORCH, FLAX = "torch", "flax"
BACKENDS = (TORCH, FLAX)

#: Parameters outside the columns of a job, each with its neutral value. While a
#: parameter has that value it is left out of the identity, so adding one to this
#: table changes no existing key.
EXTRAS: Mapping[str, Any] = {
    "eta": 0.0,
    "clip_skip": 0,
    "strict": False,
    "tag": "",
    "image": "",
    "strength": 0.0,
    "resize": "",
    "loras": [],
    "embeddings": [],
    "schedule": (),
    "quantize": "",
    "cache": "",
    "controlnet": [],
}
#: Of these, all jobs of a batch have the same value. Of ControlNets, they have the same
#: weights; their images and scales may differ.
GROUPED = ("strict", "loras", "embeddings", "quantize", "cache", "controlnet")
#: Extras that name weights besides the model. The value of each is a list of lists,
#: which begin with a fingerprint.
PARTS = ("loras", "embeddings", "controlnet")
#: Extras besides those: inputs that only some pipelines have, such as
#: `call.true_cfg_scale`. Which value is neutral depends on the pipeline, so whoever
#: makes a job leaves neutral ones out.
_CALL = re.compile(r"call\.[a-z][a-z0-9_]*")

_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def canonical_json(value: object) -> str:
    """Return the canonical JSON of `value`: keys sorted, no spaces, UTF-8, no NaN."""
    return _CANONICAL.encode(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A set of weights, and where they were found.

    Attributes:
        fingerprint: Hash over the files that are loaded; the only part of this
            record that decides a picture.
        name: `builtin:shapes`, an absolute folder, or a Hub id such as `org/name`.
        revision: Branch, tag or commit that was asked for; Hub models only.
        variant: File variant such as `fp16`, or None.
        commit: Commit that the revision stood for; Hub models only.
        family: `sd`, `sdxl`, `sd3`, `flux`, or `other`.
        pipeline: Class name in diffusers; None where it is not known.
        former_fingerprints: Other fingerprints that earlier versions gave the same
            files; ignored when models are compared.
        embeds_guidance: Whether guidance is an input of the network (Flux-dev,
            distilled UNets).
    """

    fingerprint: str
    name: str
    revision: str | None = None
    variant: str | None = None
    commit: str | None = None
    family: str = "sd"
    pipeline: str | None = None
    embeds_guidance: bool = False
    former_fingerprints: tuple[str, ...] = field(default=(), compare=False)

    def at(self, place: "Model") -> "Model":
        """Return this model with the name, revision, variant and commit of `place`."""
        return replace(
            self,
            name=place.name,
            revision=place.revision,
            variant=place.variant,
            commit=place.commit,
        )


@dataclass(frozen=True, kw_only=True)
class Job:
    """One image to make.

    Attributes:
        model: The weights.
        backend: What paints it, of `BACKENDS`; their pictures differ a little.
        dtype: `float32`, `float16` or `bfloat16`.
        width: Pixels.
        height: Pixels.
        prompt: Text, as the tokenizer gets it.
        negative_prompt: Text; empty for none.
        seed: 0 to 2**63 - 1.
        generator: What draws the noise: torch on the `cpu` or on the device (`cuda`),
            or `numpy` for the first noise, which is the same for every back end.
        scheduler_class: Class name in diffusers, `DDIMScheduler`.
        scheduler_options: Options that differ from what the class takes from the
            model's own scheduler config; names to JSON values.
        steps: 1 to 1000, as the user asked; the count of model evaluations is a
            separate number.
        guidance: Classifier-free guidance scale, 0 or more; 1 or less means none.
        extras: Parameters of `EXTRAS` that are not neutral, and inputs that only some
            pipelines have, such as `call.true_cfg_scale`.
        parts: The weights besides the model, each at one place or at several. They are
            no part of the key, since `extras` have their fingerprints.
    """

    model: Model
    backend: str = TORCH
    dtype: str
    width: int
    height: int
    prompt: str
    negative_prompt: str = ""
    seed: int = 0
    generator: str = "cpu"
    scheduler_class: str
    scheduler_options: Mapping[str, Any] = field(default_factory=dict)
    steps: int
    guidance: float
    extras: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Model, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        """Normalize the numbers, so that 7 and 7.0 are the same guidance.

        Raises:
            ValueError: An extra is unknown, or guidance is not finite.
        """
        unknown = [n for n in self.extras if n not in EXTRAS and not _CALL.fullmatch(n)]
        if unknown:
            msg = f"extras must be of {sorted(EXTRAS)}, got {sorted(unknown)}"
            raise ValueError(msg)
        if not math.isfinite(self.guidance):
            msg = f"guidance must be finite, got {self.guidance}"
            raise ValueError(msg)
        normal = {name: _normal(name, value) for name, value in self.extras.items()}
        kept = {
            name: value
            for name, value in normal.items()
            if value != _as_json(EXTRAS.get(name))
        }
        object.__setattr__(self, "guidance", float(self.guidance) + 0.0)
        object.__setattr__(self, "extras", kept)
        object.__setattr__(self, "scheduler_options", dict(self.scheduler_options))

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the picture, as a JSON object."""
        return {
            "v": IDENTITY_VERSION,
            "model": self.model.fingerprint,
            "backend": self.backend,
            "dtype": self.dtype,
            "width": self.width,
            "height": self.height,
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "seed": self.seed,
            "generator": self.generator,
            "scheduler": self.scheduler_class,
            "scheduler_options": self.scheduler_options,
            "steps": self.steps,
            "guidance": self.guidance,
            **self.extras,
        }

    @cached_property
    def key(self) -> str:
        """The job's name everywhere: 32 hex digits of the identity's SHA-256."""
        return _digest(self.identity)

    @cached_property
    def former_keys(self) -> tuple[str, ...]:
        """The keys that this job had under the model's former fingerprints."""
        return tuple(
            _digest({**self.identity, "model": former})
            for former in self.model.former_fingerprints
        )

    @cached_property
    def group(self) -> str:
        """16 characters, equal for jobs that one batch can hold; see `backend_of`."""
        digest = _group_digest(
            self.model.fingerprint,
            self.backend,
            self.dtype,
            self.width,
            self.height,
            self.generator,
            self.parameter("strict"),
            *self._grouped_besides_strict(),
        )
        begins = "" if self.backend == TORCH else f"{self.backend}-"
        return (begins + digest)[: len(digest)]

    def _grouped_besides_strict(self) -> list[str]:
        """Return those that are not neutral, so that a new one changes no group."""
        return [
            canonical_json([name, _grouped(name, self.extras[name])])
            for name in GROUPED
            if name != "strict" and name in self.extras
        ]

    @property
    def schedule(self) -> dict[str, list[float]]:
        """The list that the pipeline gets as `timesteps` or `sigmas`; empty if none."""
        kind, *numbers = self.parameter("schedule") or ("",)
        return {kind: numbers} if kind else {}

    @property
    def call(self) -> dict[str, Any]:
        """Inputs that only some pipelines have, by their names in diffusers.

        A list is a tuple there: some pipelines add it to another one.
        """
        return {
            name.removeprefix("call."): tuple(value)
            if isinstance(value, list)
            else value
            for name, value in self.extras.items()
            if name not in EXTRAS
        }

    @property
    def part_fingerprints(self) -> tuple[str, ...]:
        """The fingerprints of the weights besides the model, each once."""
        named = (row[0] for name in PARTS for row in self.extras.get(name, ()))
        return tuple(dict.fromkeys(named))

    def parameter(self, name: str) -> Any:
        """Return the value of a parameter of `EXTRAS`, neutral where not set."""
        return self.extras.get(name, EXTRAS[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJob:
    """A job, and its place in a sweep.

    Attributes:
        job: The image to make.
        position: From 0, in the order in which the sweep lists its jobs.
        rank: Its place in the order of execution; None where that is its position.
        evaluations: How often the model is called.
        scheduler_name: The canonical short name.
        scheduler_names: All names that mean this scheduler on this model.
        scheduler_label: The sweep's own label of the scheduler, or another name that
            it used for the same scheduler; else None.
        template: The prompt before its choices were made; None where it had no choices.
        cell: Axis name to the label of its value, in the order of display; to several
            labels where they mean the same. An axis whose labels all mean the same
            here is left out. The choices of a prompt's braces follow as `prompt.1`,
            `prompt.2`.
        former_keys: Keys that earlier versions, or other wordings of the same
            parameters, gave to this very picture. An existing row under one of them
            is used instead of a new one.
    """

    job: Job
    position: int
    evaluations: int
    scheduler_name: str
    scheduler_names: tuple[str, ...] = ()
    scheduler_label: str | None = None
    template: str | None = None
    cell: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    former_keys: tuple[str, ...] = ()
    rank: int | None = None

    @property
    def place(self) -> int:
        """Its place in the order of execution; jobs of other sweeps may share it."""
        return self.position if self.rank is None else self.rank


def _grouped(name: str, value: Any) -> Any:
    """Return what of an extra all jobs of a batch have in common."""
    return [row[0] for row in value] if name == "controlnet" else value


def _normal(name: str, value: Any) -> Any:
    neutral = EXTRAS.get(name)
    if isinstance(neutral, bool | int | float | str):
        return type(neutral)(value)
    return _as_json(value)


def _as_json(value: Any) -> Any:
    """Return a value as it is read back from JSON, where tuples are lists."""
    if isinstance(value, tuple | list):
        return [_as_json(each) for each in value]
    return value


def backend_of(group: str) -> str:
    """Return the back end of a group, whose name begins with it unless it is torch."""
    backend, dash, _ = group.partition("-")
    return backend if dash else TORCH


@lru_cache
def _group_digest(*settings: object) -> str:
    return _digest(settings)[:16]


def _digest(value: object) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:32]
