"""From a scheduler's name and options to a diffusers object."""

import copy
import importlib
import json
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from storage.catalogue import schedulers
from storage.errors import JobError, UnfitError
from storage.job import Job, canonical_json

#: Kinds of schedulers, with their step counts, that are kept ready to be copied.
MOST_KINDS = 1024
#: Schedulers that are kept as they were built.
MOST_BUILT = 128


class Schedulers:
    """Makes a fresh scheduler for each job of one model.

    Some take long to set their timesteps, and a copy takes 0.2 ms: so each kind is made
    ready once for a number of steps, never used, and copied.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        set_timesteps: Callable[[Any, Job], None],
    ) -> None:
        """Keep nothing yet.

        Args:
            config: The model's own scheduler config, as it was loaded.
            set_timesteps: Sets the timesteps of a scheduler as the pipeline does.
        """
        self._config = config
        self._set_timesteps = set_timesteps
        self._ready: dict[tuple[Any, ...], Any] = {}

    def make(self, job: Job) -> Any:
        """Make the scheduler of a job, with its timesteps set.

        They are on the CPU, where they can be read without waiting for a GPU; whatever
        else the scheduler computed stays on the device where a plain script has it.

        Raises:
            JobError: diffusers refuses the options.
            UnfitError: A package that it needs is missing here.
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
            # 3 ms each by numerical integration, and the same in every copy.
            ready.get_lms_coefficient = cache(ready.get_lms_coefficient)
        return ready


def fetch_class(name: str) -> Any:
    """Return a scheduler class of the installed diffusers.

    Raises:
        JobError: diffusers does not have it.
        UnfitError: A package that it needs is missing here.
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

    KDPM2 takes 0.2 s to be built, so that each is built once and copied.

    Args:
        class_name: Class in diffusers.
        options: Of the job, on top of the config.
        config: The model's original scheduler config, as it was loaded. Never that
            of a scheduler made here: options would leak from job to job.
        seed: Of the job; the noise of schedulers that draw their own follows it.

    Raises:
        JobError: diffusers refuses the options.
        UnfitError: A package that it needs is missing here.
    """
    # Infinity is a value of many configs, as in `lambda_min_clipped`.
    texts = (json.dumps(each, sort_keys=True) for each in (options, config))
    made = copy.deepcopy(_build_once(class_name, *texts))
    if schedulers.takes_seed(class_name):
        made.register_to_config(noise_sampler_seed=seed)
        made.noise_sampler_seed = seed
    return made


@lru_cache(maxsize=MOST_BUILT)
def _build_once(class_name: str, options_json: str, config_json: str) -> Any:
    """Build a scheduler that is never used, only copied.

    Raises:
        JobError: diffusers refuses the options.
        UnfitError: A package that it needs is missing here.
    """
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
