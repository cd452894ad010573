"""Building diffusers' schedulers from class names and options."""

import copy
import importlib
import json
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from storage.catalogue import schedulers
from storage.errors import JobError, UnfitError
from storage.job import Job, canonical_json

#: Most schedulers that are kept with their timesteps set, to be copied.
MOST_KINDS = 1024
#: Most schedulers that are kept as built, without timesteps.
MOST_BUILT = 128


class Schedulers:
    """Makes a fresh scheduler for each job of one model.

    Setting timesteps can be slow, and a copy takes 0.2 ms. So one scheduler is kept for
    each class, options, steps and size; it is never used, only copied.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        set_timesteps: Callable[[Any, Job], None],
    ) -> None:
        """Begin without schedulers.

        Args:
            config: The model's own scheduler config, as loaded.
            set_timesteps: Sets a scheduler's timesteps for a job, as the pipeline does.
        """
        self._config = config
        self._set_timesteps = set_timesteps
        self._ready: dict[tuple[Any, ...], Any] = {}

    def make(self, job: Job) -> Any:
        """Make the scheduler of a job, with its timesteps set.

        The timesteps are on the CPU, to be read without waiting for a GPU; its other
        tensors stay where a plain script has them.

        Raises:
            JobError: diffusers lacks the class, or refuses the options.
            UnfitError: A package that the class needs is missing here.
        """
        options = canonical_json(job.scheduler_options)
        kind = (job.scheduler_class, options, job.steps, job.width, job.height)
        if kind not in self._ready:
            if len(self._ready) >= MOST_KINDS:
                self._ready.clear()
            self._ready[kind] = self._make_ready(job)
        made = copy.deepcopy(self._ready[kind])
        if schedulers.takes_seed(job.scheduler_class):
            made.noise_sampler_seed = job.seed
        return made

    def _make_ready(self, job: Job) -> Any:
        ready = build(
            job.scheduler_class,
            job.scheduler_options,
            config=self._config,
            seed=job.seed,
        )
        self._set_timesteps(ready, job)
        ready.timesteps = ready.timesteps.cpu()
        if hasattr(ready, "get_lms_coefficient"):
            # Numerical integration, 3 ms a call; equal in every copy.
            ready.get_lms_coefficient = cache(ready.get_lms_coefficient)
        return ready


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
) -> Any:
    """Make a fresh scheduler for one job.

    Building can be slow (0.2 s for KDPM2), so each scheduler is built once and copied.

    Args:
        class_name: Class in diffusers.
        options: The job's options, which override the config.
        config: The model's original scheduler config, as loaded. It must not be the
            config of a scheduler made here: options would leak from job to job.
        seed: The job's seed, for schedulers that make their own noise generator.

    Raises:
        JobError: diffusers lacks the class, or refuses the options.
        UnfitError: A package that the class needs is missing here.
    """
    # Not `canonical_json`: many configs hold infinity, as `lambda_min_clipped`.
    texts = (json.dumps(each, sort_keys=True) for each in (options, config))
    made = copy.deepcopy(_build_once(class_name, *texts))
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
