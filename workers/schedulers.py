"""From a scheduler's name and options to a diffusers object."""

import copy
import importlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from storage import schedulers
from storage.errors import JobError, UnfitError
from storage.job import Job, canonical_json


class Schedulers:
    """Makes a fresh scheduler for each job of one model.

    Some constructors take long (KDPM2 0.2 s), and a copy takes 0.2 ms: so each kind
    is built once, never used, and copied.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Take the model's own scheduler config, as it was loaded."""
        self._config = config
        self._pristine: dict[tuple[str, str], Any] = {}
        self._coefficients: dict[tuple[str, str, int], Callable[..., float]] = {}

    def make(self, job: Job) -> Any:
        """Make the scheduler of a job; its timesteps are not set.

        Raises:
            JobError: diffusers refuses the options.
            UnfitError: A package that it needs is missing here.
        """
        kind = (job.scheduler_class, canonical_json(job.scheduler_options))
        if kind not in self._pristine:
            self._pristine[kind] = build(
                job.scheduler_class,
                job.scheduler_options,
                config=self._config,
                seed=job.seed,
            )
        made = copy.deepcopy(self._pristine[kind])
        if schedulers.takes_seed(job.scheduler_class):
            made.noise_sampler_seed = job.seed
        if hasattr(made, "get_lms_coefficient"):
            # 3 ms each by numerical integration, the same for equal step counts.
            made.get_lms_coefficient = self._coefficients.setdefault(
                (*kind, job.steps), cache(made.get_lms_coefficient)
            )
        return made


def fetch_class(name: str) -> Any:
    """Give a scheduler class of the installed diffusers.

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
    made_by = fetch_class(class_name)
    own = {"noise_sampler_seed": seed} if schedulers.takes_seed(class_name) else {}
    try:
        return made_by.from_config(config, **options, **own)
    except ImportError as exc:
        raise _missing_package(class_name) from exc
    except (ValueError, NotImplementedError) as exc:
        msg = f"{class_name} cannot be made with {dict(options)}: {exc}"
        raise JobError(msg) from exc


def _missing_package(class_name: str) -> UnfitError:
    packages = " ".join(schedulers.CLASSES[class_name].requires) or "scipy"
    msg = (
        f"{class_name} needs a package that this worker lacks; run"
        f" `pip install {packages}` where the worker runs"
    )
    return UnfitError(msg)
