"""What each scheduler class accepts, and what it inherits from a model's config."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from storage.catalogue import tables as catalogue
from storage.catalogue.timestep_inputs import HANDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of a scheduler class that a sweep may set.

    Attributes:
        name: Parameter of the class's constructor.
        kind: `bool`, `int`, `float`, `str`, or `ints` (a list of whole numbers).
        default: The class's own default; None means that null is allowed.
        choices: All allowed values, for `str`.
        reads: Values of other classes that diffusers treats as the default.
        minimum: Smallest value, inclusive; None for no bound.
        maximum: Largest value, inclusive; None for no bound.
        needs: The option does nothing unless one of these options has this value.
    """

    name: str
    kind: str
    default: Any
    choices: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    needs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rule(self) -> str:
        """What a value must be: "true or false", "a whole number from 1 to 3"."""
        if self.kind == "bool":
            return "true or false"
        if self.choices:
            return " or ".join(self.choices)
        noun = {"int": "a whole number", "float": "a number"}
        text = noun.get(self.kind, "a list of whole numbers")
        if self.minimum is not None:
            text += f" from {self.minimum:g}"
        if self.maximum is not None:
            text += f" to {self.maximum:g}"
        return text

    def accepts(self, value: object) -> bool:
        """Return whether `value` has the right kind, choice and range."""
        if value is None:
            return self.default is None
        if self.kind == "bool":
            return isinstance(value, bool)
        if self.kind == "str":
            return value in self.choices
        if self.kind == "ints":
            return isinstance(value, list | tuple) and all(map(self._is_within, value))
        return self._is_within(value)

    def typed(self, value: Any) -> Any:
        """Return an accepted value in one form, so that 1 and 1.0 become the same."""
        if value is None or self.kind in ("bool", "str"):
            return value
        if self.kind == "ints":
            return [int(each) for each in value]
        return int(value) if self.kind == "int" else float(value)

    def _is_within(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if not math.isfinite(value) or (self.kind != "float" and value != int(value)):
            return False
        above = self.minimum is None or value >= self.minimum
        return above and (self.maximum is None or value <= self.maximum)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerClass:
    """One scheduler class of diffusers.

    Attributes:
        name: Its name in diffusers, `DDIMScheduler`.
        family: `diffusion`, `flow` or `distilled`.
        about: What it is, in one line.
        evaluations: Model evaluations for n steps: `n`, `2n-1` or `n+1`.
        noise: When it draws noise; see `storage.catalogue.tables.ClassRow`.
        options: What a sweep may set, by name.
        pins: Those of `options` that distinguish schedulers of this class, with the
            class's defaults: what its names stand for unless they say otherwise.
        fixed: The class's other parameters.
        requires: Packages to install beyond what diffusers needs.
    """

    name: str
    family: str
    about: str
    evaluations: str
    noise: str
    options: Mapping[str, Option]
    pins: Mapping[str, Any]
    fixed: tuple[str, ...]
    requires: tuple[str, ...] = ()

    def inherited(self, name: str, config: Mapping[str, Any]) -> Any:
        """Return what `from_config` uses for an option that is not set.

        Args:
            name: One of `options`.
            config: The model's original scheduler config: the JSON file's content,
                or diffusers' `scheduler.config`.

        Returns:
            The config's value if it has one, else the class's default. A value of
            another class becomes the default if diffusers treats it as that; where
            diffusers raises, it stays, so that setting the option makes a difference.
        """
        option = self.options[name]
        if name not in config or name in config.get("_use_default_values", ()):
            return option.default
        value = _as_loaded(name, config)
        return option.default if value in option.reads else value

    def values(
        self, options: Mapping[str, Any], config: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the value of every option, with `options` set on top of `config`."""
        return {name: self.inherited(name, config) for name in self.options} | {
            name: value for name, value in options.items() if name in self.options
        }


def _as_loaded(name: str, config: Mapping[str, Any]) -> Any:
    """Return the config's value after the model's own scheduler was built from it.

    That scheduler replaces another class's value with its own default, and workers
    build every other scheduler from that scheduler's config.
    """
    own = CLASSES.get(str(config.get("_class_name")))
    option = own.options.get(name) if own else None
    value = config[name]
    return option.default if option and value in option.reads else value


def _kind(row: catalogue.OptionRow, default: object) -> str:
    if "choices" in row:
        return "str"
    return row.get("kind", type(default).__name__)


def _option(name: str, default: object, limits: catalogue.OptionRow) -> Option:
    shared = catalogue.OPTIONS.get(name, catalogue.OptionRow())
    row = catalogue.OptionRow(**{**shared, **limits})
    return Option(
        name=name,
        kind=_kind(row, default),
        default=default,
        choices=row.get("choices", ()),
        reads=row.get("reads", ()),
        minimum=row.get("minimum"),
        maximum=row.get("maximum"),
        needs=row.get("needs", {}),
    )


def _scheduler_class(name: str, row: catalogue.ClassRow) -> SchedulerClass:
    limits = row.get("limits", {})
    unpinned = row.get("unpinned", {})
    return SchedulerClass(
        name=name,
        family=row.get("family", "diffusion"),
        about=row["about"],
        evaluations=row.get("evaluations", "n"),
        noise=row.get("noise", "never"),
        options={
            option: _option(option, default, limits.get(option, catalogue.OptionRow()))
            for option, default in row["options"].items()
        },
        pins={
            option: default
            for option, default in row["options"].items()
            if option in catalogue.PINNED and option not in unpinned
        },
        fixed=row.get("fixed", catalogue.TRAINED),
        requires=row.get("requires", ()),
    )


#: Every scheduler class that nightsweep offers, by its name in diffusers.
CLASSES: Mapping[str, SchedulerClass] = {
    name: _scheduler_class(name, row) for name, row in catalogue.CLASS_ROWS.items()
}


#: Options that space noise levels rather than timesteps; a class takes one at a time.
SIGMA_SCHEDULES = (
    *("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"),
    "use_lu_lambdas",
)


def kind_of_model(family: str, config: Mapping[str, Any], *, pipeline: str = "") -> str:
    """Return which schedulers a model was trained for.

    Args:
        family: Family of the model: `sd`, `sdxl`, `sd3`, `flux`, `lcm` or `other`.
        config: The model's original scheduler config.
        pipeline: Class of its pipeline; empty where it is not known.

    Returns:
        `flow`, `distilled`, `edm` or `diffusion`. Many ordinary models have noise
        levels as in EDM besides their betas; only models without betas need them.
    """
    own = str(config.get("_class_name", ""))
    if family in ("sd3", "flux") or pipeline in HANDED or own.startswith("FlowMatch"):
        return "flow"
    if config.get("prediction_type") == "flow_prediction":
        return "flow"
    is_edm = own.startswith("EDM") or "sigma_data" in config
    if is_edm and "beta_start" not in config:
        return "edm"
    return "distilled" if own in ("LCMScheduler", "TCDScheduler") else "diffusion"


def names_or(names: Sequence[str]) -> str:
    """Join names for a sentence: "a", "a or b", "a, b or c"."""
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
