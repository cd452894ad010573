"""Building diffusers' schedulers from class names and options."""

import copy
import importlib
import json
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from storage.catalogue import schedulers
from storage.errors import JobError, UnfitError
from storage.job import Job

#: Most schedulers that are kept with their timesteps set, to be copied.
MOST_KINDS = 1024
#: Most schedulers that are kept as built, without timesteps.
MOST_BUILT = 128
#: Attributes that differ from job to job, and change no timestep.
_SEEDS = frozenset({"noise_sampler_seed"})


class Schedulers:
    """Makes a fresh scheduler for each job of one model.

    Setting timesteps can be slow, and a copy takes 0.2 ms. So one scheduler is kept for
    each class, options and arguments; it is never used, only copied.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Begin without schedulers.

        Args:
            config: The model's own scheduler config, as loaded.
        """
        self._config = config
        self._ready: dict[tuple[Any, ...], Any] = {}

    def build(self, job: Job) -> Any:
        """Build the scheduler of a job, without timesteps.

        Raises:
            JobError: diffusers lacks the class, or refuses the options.
            UnfitError: A package that the class needs is missing here.
        """
        return build(
            job.scheduler_class,
            job.scheduler_options,
            config=self._config,
            seed=job.seed,
            copied=copy.copy,  # `set_timesteps` replaces all that it shares
        )

    def set_timesteps(
        self, scheduler: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """Set the timesteps of a scheduler that `build` returned.

        The timesteps are on the CPU, to be read without waiting for a GPU; its other
        tensors stay where a plain script has them.

        Args:
            scheduler: Fresh; its timesteps were never set.
            args: Positional arguments of its `set_timesteps`.
            kwargs: Arguments by name.

        Raises:
            Exception: Whatever diffusers raises.
        """
        kind = (type(scheduler), *map(_exactly, (_state(scheduler), args, kwargs)))
        if kind not in self._ready:
            if len(self._ready) >= MOST_KINDS:
                self._ready.clear()
            self._ready[kind] = _make_ready(scheduler, args, kwargs)
        own = {name: vars(scheduler)[name] for name in _SEEDS & vars(scheduler).keys()}
        vars(scheduler).update({**copy.deepcopy(vars(self._ready[kind])), **own})


def _make_ready(
    scheduler: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    ready = copy.deepcopy(scheduler)
    ready.set_timesteps(*args, **kwargs)
    ready.timesteps = ready.timesteps.cpu()
    if hasattr(ready, "get_lms_coefficient"):
        # Numerical integration, 3 ms a call; equal in every copy.
        ready.get_lms_coefficient = cache(ready.get_lms_coefficient)
    return ready


def _state(scheduler: Any) -> Mapping[str, Any]:
    """Return what the timesteps may depend on: a pipeline may have changed it."""
    plain = (str, bool, int, float, type(None))
    own = {k: v for k, v in vars(scheduler).items() if isinstance(v, plain)}
    state = {**scheduler.config, **own}
    return {name: value for name, value in state.items() if name not in _SEEDS}


def _exactly(value: Any) -> str:
    """Return a text that is equal for equal arguments, arrays included."""

    def numbers(array: Any) -> Any:
        return array.tolist() if hasattr(array, "tolist") else repr(array)

    return json.dumps(value, default=numbers, sort_keys=True)


def fetch_class(name: str) -> Any:
    """Return a scheduler class of the installed diffusers.

    Raises:
        JobError: diffusers does not have it.
        UnfitError: A package that the class needs is missing here.
    """
    found = getattr(importlib.import_module("diffusers"), name, None)
    if found is None:
        msg = f"a scheduler must be a class of diffusers, got {name}; update diffusers"
        raise JobError(msg)
    if not hasattr(found, "_get_init_keys"):
        raise _missing_package(name)
    return found


def build(
    class_name: str,
    options: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    seed: int,
    copied: Callable[[Any], Any] = copy.deepcopy,
) -> Any:
    """Make a fresh scheduler for one job.

    Building can be slow (0.2 s for KDPM2), so each scheduler is built once and copied.

    Args:
        class_name: Class in diffusers.
        options: The job's options, which override the config.
        config: The model's original scheduler config, as loaded. It must not be the
            config of a scheduler made here: options would leak from job to job.
        seed: The job's seed, for schedulers that make their own noise generator.
        copied: Copies the scheduler that is kept.

    Raises:
        JobError: diffusers lacks the class, or refuses the options.
        UnfitError: A package that the class needs is missing here.
    """
    # Not `canonical_json`: many configs hold infinity, as `lambda_min_clipped`.
    texts = (json.dumps(each, sort_keys=True) for each in (options, config))
    made = copied(_build_once(class_name, *texts))
    if schedulers.takes_seed(class_name):
        made.register_to_config(noise_sampler_seed=seed)
        made.noise_sampler_seed = seed
    return made


@lru_cache(maxsize=MOST_BUILT)
def _build_once(class_name: str, options_json: str, config_json: str) -> Any:
    """Build a scheduler that is never used, only copied; raise as `build` does."""
    made_by, options = fetch_class(class_name), json.loads(options_json)
    own = {"noise_sampler_seed": 0} if schedulers.takes_seed(class_name) else {}
    try:
        return made_by.from_config(json.loads(config_json), **options, **own)
    except ImportError as exc:
        raise _missing_package(class_name) from exc
    except (ValueError, NotImplementedError) as exc:
        msg = f"{class_name} cannot be made with {options}: {exc}"
        raise JobError(msg) from exc


def _missing_package(class_name: str) -> UnfitError:
    packages = " ".join(schedulers.CLASSES[class_name].requires) or "scipy"
    msg = (
        f"{class_name} needs a package that this worker lacks; run"
        f" `pip install {packages}` where the worker runs"
    )
    return UnfitError(msg)
