"""What switches a cache on in a script, as `workers.engine.network_caches` does."""

from collections.abc import Iterator

from storage.catalogue.caches import CACHES, parse_cache
from storage.job import Job


def cache_imports(job: Job) -> Iterator[tuple[str, str]]:
    """Yield the (library, class) that a job's cache needs; none for most jobs."""
    if text := job.parameter("cache"):
        known = CACHES[parse_cache(text)[0]]
        yield "diffusers", known.config
        if "mag_ratios" in known.of_job:
            yield "diffusers.hooks.mag_cache", "FLUX_MAG_RATIOS"


def cache_arguments(job: Job) -> list[list[str]]:
    """Return the arguments of the cache's class, in groups."""
    name, options = parse_cache(job.parameter("cache"))
    known = CACHES[name]
    of_job = {
        "current_timestep_callback": "lambda: pipe.current_timestep",
        "num_inference_steps": str(job.steps),
        "mag_ratios": "FLUX_MAG_RATIOS",
    }
    return [
        [f"{option}={value!r}" for option, value in options.items()],
        [f"{each}={_literal(value)}" for each, value in known.fixed.items()],
        [f"{each}={of_job[each]}" for each in known.of_job],
    ]


def cache_begins(job: Job) -> str:
    """Return what the call with these arguments begins with; empty for most jobs."""
    if not (text := job.parameter("cache")):
        return ""
    return f"pipe.transformer.enable_cache({CACHES[parse_cache(text)[0]].config}"


def _literal(value: bool | str) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
