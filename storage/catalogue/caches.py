"""Caches, which reuse in one step what a network computed in an earlier one.

A job names its cache by one text, with every option spelled out, since a default of
diffusers may change:

    first_block threshold=0.05
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Value of an option.
Number = int | float

_FLUX = "FluxPipeline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A number that a cache takes.

    Attributes:
        default: As in diffusers 0.42.
        low: Least value.
        high: Greatest value.
    """

    default: Number
    low: float
    high: float

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole number."""
        return isinstance(self.default, int)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """A cache of diffusers, and where it works.

    Attributes:
        config: Class in diffusers.
        options: Its options by their names there; the first one is meant where a sweep
            writes a number alone.
        fixed: Further arguments, the same for every job.
        of_job: Further arguments that depend on the job or on its pipeline:
            `current_timestep_callback`, `num_inference_steps`, `mag_ratios`.
        pipelines: Classes with which it was tried: it leaves work out, and an image
            does not depend on the one before it.
    """

    config: str
    options: Mapping[str, Option]
    fixed: Mapping[str, bool | str] = field(default_factory=dict)
    of_job: tuple[str, ...] = ()
    pipelines: frozenset[str]


_SKIP = Option(default=2, low=2, high=100)

CACHES: Mapping[str, Cache] = {
    "first_block": Cache(
        config="FirstBlockCacheConfig",
        options={"threshold": Option(default=0.05, low=0, high=100)},
        pipelines=frozenset(
            {_FLUX, "QwenImagePipeline", "HunyuanImagePipeline", "CogView4Pipeline"}
        ),
    ),
    "taylorseer": Cache(
        config="TaylorSeerCacheConfig",
        options={
            "cache_interval": Option(default=5, low=2, high=100),
            "disable_cache_before_step": Option(default=3, low=1, high=1000),
            "max_order": Option(default=1, low=0, high=4),
        },
        pipelines=frozenset(
            {
                *(_FLUX, "Flux2KleinPipeline", "QwenImagePipeline"),
                *("HunyuanImagePipeline", "OvisImagePipeline", "LongCatImagePipeline"),
            }
        ),
    ),
    # These two keep one state for a network. A pipeline that calls it twice a step,
    # with guidance and without, would mix the two.
    "pyramid_attention": Cache(
        config="PyramidAttentionBroadcastConfig",
        options={"spatial_attention_block_skip_range": _SKIP},
        of_job=("current_timestep_callback",),
        pipelines=frozenset({_FLUX, "Flux2Pipeline"}),
    ),
    "faster": Cache(
        config="FasterCacheConfig",
        options={"spatial_attention_block_skip_range": _SKIP},
        fixed={"is_guidance_distilled": True, "tensor_format": "BCHW"},
        of_job=("current_timestep_callback",),
        pipelines=frozenset({_FLUX, "Flux2Pipeline"}),
    ),
    # It needs ratios that were measured for a model; diffusers has those of Flux.
    "mag": Cache(
        config="MagCacheConfig",
        options={
            "threshold": Option(default=0.06, low=0, high=100),
            "max_skip_steps": Option(default=3, low=1, high=100),
            "retention_ratio": Option(default=0.2, low=0, high=1),
        },
        of_job=("num_inference_steps", "mag_ratios"),
        pipelines=frozenset({_FLUX}),
    ),
}


def format_cache(name: str, given: Mapping[str, Number]) -> str:
    """Return the text of a cache with the options that are given."""
    values = {
        option: given.get(option, known.default)
        for option, known in CACHES[name].options.items()
    }
    return " ".join([name, *(f"{option}={value}" for option, value in values.items())])


def label_of_cache(text: str) -> str:
    """Return a cache as people read it: without defaults, as `first_block 0.1`."""
    name, options = parse_cache(text)
    known = CACHES[name].options
    others = {
        option: value
        for option, value in options.items()
        if value != known[option].default
    }
    first = next(iter(known))
    shown = [
        f"{value:g}" if option == first else f"{option}={value:g}"
        for option, value in others.items()
    ]
    return " ".join([name, *shown])


def parse_cache(text: str) -> tuple[str, dict[str, Number]]:
    """Return the name and the options of a cache that a job names."""
    name, *options = text.split()
    known = CACHES[name].options
    pairs = (option.split("=") for option in options)
    return name, {
        option: (int if known[option].is_whole else float)(value)
        for option, value in pairs
    }
