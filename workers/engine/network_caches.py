"""Caches of a network, switched on for one job and off after it.

A cache keeps what the network computed in the steps before, so it belongs to one job.
Switching it off drops all that it kept, however the job ended.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import diffusers
from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS

from storage.catalogue.caches import CACHES, parse_cache
from storage.job import Job

#: Arguments that depend on the pipeline or on the job.
_OF_JOB: Mapping[str, Callable[[Any, Job], Any]] = {
    "current_timestep_callback": lambda pipe, _job: lambda: pipe.current_timestep,
    "num_inference_steps": lambda _pipe, job: job.steps,
    "mag_ratios": lambda _pipe, _job: FLUX_MAG_RATIOS,
}


@contextmanager
def caching(pipe: Any, job: Job) -> Iterator[None]:
    """Have the network of a pipeline use a job's cache within the block, if it has one.

    Args:
        pipe: The pipeline that paints the job, and no other one meanwhile.
        job: The job.
    """
    text = job.parameter("cache")
    if not text:
        yield
        return
    name, options = parse_cache(text)
    known = CACHES[name]
    given = {each: _OF_JOB[each](pipe, job) for each in known.of_job}
    config = getattr(diffusers, known.config)(**options, **known.fixed, **given)
    pipe.transformer.enable_cache(config)  # all pipelines of the table have one
    try:
        yield
    finally:
        pipe.transformer.disable_cache()
