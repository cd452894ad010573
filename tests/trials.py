"""Schedulers on kinds of models: the plan's answer and diffusers' behaviour."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from typing import Any

from diffusers.utils import logging as diffusers_logging

from storage.catalogue import schedulers
from storage.catalogue.pipeline_families import FAMILIES
from storage.catalogue.schedulers import NAMES, Scheduler
from storage.job import canonical_json
from tests.denoising import Outcome, denoise, set_timesteps
from tests.model_configs import KINDS, Kind
from workers.engine.pipelines import DTYPES
from workers.engine.schedulers import build

#: Classes that divide by the difference of neighbouring noise levels.
DIVIDING = (
    *("DEISMultistep", "DPMSolverMultistep", "DPMSolverSDE", "LMSDiscrete", "SASolver"),
    "UniPCMultistep",
)
#: Classes that look up each timestep's signal level in a table.
TABLES = ("DDIMScheduler", "DDPMScheduler", "PNDMScheduler")


class Trial:
    """One scheduler on one kind of model.

    Attributes:
        name: Name of the scheduler in the catalogue.
        kind: The kind of model.
    """

    def __init__(self, name: str, kind: Kind) -> None:
        self.name = name
        self.kind = kind
        self._asked: Scheduler = NAMES[name].scheduler
        self._begins_at_zero = FAMILIES[kind.pipeline].begins_at_zero
        given = (self._asked, {"config": kind.config, "family": kind.family})
        self._unfit = schedulers.check(given[0], **given[1])

    @property
    def is_fit(self) -> bool:
        """Whether the model can use the scheduler with some number of steps."""
        return not self._unfit

    def refusal(self, steps: int, dtype: str = "float32") -> str:
        """Return why a plan refuses a number of steps; empty if it accepts it."""
        found = self._unfit or schedulers.check_steps(
            self._asked,
            config=self.kind.config,
            steps=steps,
            dtype=dtype,
            begins_at_zero=self._begins_at_zero,
        )
        return found[0] if found else ""

    def count(self, steps: int) -> int:
        """Return the evaluations that a plan counts."""
        options = schedulers.effective_options(self._asked, self.kind.config)
        return schedulers.evaluations(
            self._asked.class_name, options, config=self.kind.config, steps=steps
        )

    @cached_property
    def trajectory(self) -> str:
        """A text that is equal for trials with equal results."""
        return self._describe(but=frozenset())

    def run(self, steps: int, dtype: str = "float32") -> Outcome:
        """Denoise; trials with equal results run once."""
        key = (self.trajectory, steps, dtype)
        if key not in _RUNS:
            with _quiet():
                _RUNS[key] = self._run(steps, dtype)
        return _RUNS[key]

    def fault_of_timesteps(self, steps: int) -> str:
        """Return the fault of the timesteps that diffusers sets; empty if none."""
        key = (self._timesteps, steps)
        if key not in _FAULTS:
            with _quiet():
                _FAULTS[key] = self._find_fault(steps)
        return _FAULTS[key]

    @cached_property
    def _timesteps(self) -> str:
        """A text that is equal for trials with equal timesteps."""
        return self._describe(but=frozenset({"prediction_type"}))

    def _describe(self, *, but: frozenset[str]) -> str:
        drives = [self._begins_at_zero, self.kind.family == "flux"]
        try:
            made = self._scheduler()
        except Exception as error:  # noqa: BLE001 - whatever diffusers raises
            return canonical_json([self._asked.class_name, repr(error)])
        names = made._get_init_keys(type(made)) - {"self", *but}
        taken = {name: repr(made.config[name]) for name in sorted(names)}
        # Every class reads these two.
        foreign = {name: made.config.get(name) for name in ("sigma_min", "sigma_max")}
        extras = dict(self._asked.extras)
        return canonical_json([self._asked.class_name, taken, foreign, extras, drives])

    def _scheduler(self) -> Any:
        """Return a fresh scheduler: some change their config while they run."""
        settings = json.dumps(self._asked.settings)
        kind = next(name for name, kind in KINDS.items() if kind is self.kind)
        return copy.deepcopy(_make(self._asked.class_name, settings, kind))

    def _find_fault(self, steps: int) -> str:
        made = self._scheduler()
        try:
            set_timesteps(made, steps=steps, family=self.kind.family)
        except (ValueError, IndexError) as error:
            return repr(error)
        if len(made.timesteps) != self.count(steps):
            return f"{len(made.timesteps)} evaluations"
        return _fault(made, is_looked_up=not self._begins_at_zero)

    def _run(self, steps: int, dtype: str) -> Outcome:
        try:
            made = self._scheduler()
            set_timesteps(made, steps=steps, family=self.kind.family)
            return denoise(
                made,
                begins_at_zero=self._begins_at_zero,
                dtype=DTYPES[dtype],
                eta=self._asked.extras.get("eta", 0.0),
            )
        except Exception as error:  # noqa: BLE001 - whatever diffusers raises
            return Outcome(latents=None, evaluations=0, error=repr(error))


_RUNS: dict[tuple[str, int, str], Outcome] = {}


_FAULTS: dict[tuple[str, int], str] = {}


@contextmanager
def _quiet() -> Iterator[None]:
    level = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity_error()
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(level)


@cache
def _make(class_name: str, settings: str, kind: str) -> Any:
    config = KINDS[kind].config
    with _quiet():
        return build(class_name, json.loads(settings), config=config, seed=8)


def _fault(made: Any, *, is_looked_up: bool) -> str:
    first, name = made.timesteps[0], type(made).__name__
    find = getattr(made, "index_for_timestep", None)
    if find and is_looked_up and find(first) != 0:
        return "begins at another step than the first"
    if name in TABLES and first >= made.config.num_train_timesteps:
        return "begins beyond the training"
    levels = _levels(made) if name.startswith(DIVIDING) else ()
    has_equal = len(levels) > 1 and bool((levels[1:] == levels[:-1]).any())
    return "two noise levels are the same" if has_equal else ""


def _levels(made: Any) -> Any:
    """Return each step's noise level; DPM++ SDE lists all but the first twice."""
    is_twice = type(made).__name__.startswith("DPMSolverSDE")
    return made.sigmas[::2] if is_twice else made.sigmas[:-1]
