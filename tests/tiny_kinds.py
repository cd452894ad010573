"""All small pipelines with random weights, and what makes all of them paint 64 x 64."""

import functools
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import pytest

from tests.tiny_families import MAKERS
from tests.tiny_further import FURTHER
from tests.tiny_pipelines import make_flux, make_sd, make_sd3, make_sdxl

MEANS = {"latents_mean": (0.1, -0.2, 0.3, 0.4), "latents_std": (1.0, 2.0, 0.5, 1.5)}

#: By the pipeline's class; a word after it tells models of one class apart.
KINDS: Mapping[str, Callable[[Path], Path]] = {
    "StableDiffusionPipeline": make_sd,
    "StableDiffusionPipeline distilled": partial(make_sd, time_cond_proj_dim=8),
    "StableDiffusionXLPipeline": make_sdxl,
    "StableDiffusionXLPipeline means": partial(make_sdxl, force_upcast=False, **MEANS),
    "StableDiffusion3Pipeline": make_sd3,
    "StableDiffusion3Pipeline shifts": partial(make_sd3, use_dynamic_shifting=True),
    "FluxPipeline": partial(make_flux, embeds_guidance=True),
    "FluxPipeline schnell": partial(make_flux, embeds_guidance=False),
    **MAKERS,
    **FURTHER,
}

#: Those of them whose calls cannot be merged.
ALONE = ("StableDiffusionPAGPipeline", "StableDiffusionXLPAGPipeline")

#: The only size that pipelines with sizes of their own are left with.
_SQUARE = {"1.0": [64.0, 64.0]}


def allow_small_sizes(patch: pytest.MonkeyPatch) -> None:
    """Let pipelines that paint large images whatever is asked for paint small ones.

    HunyuanImage fills up texts to fewer tokens. PRX gets what it calls of ftfy, which
    is not installed here.
    """
    for made_by, name in (
        (diffusers.PixArtAlphaPipeline, "ASPECT_RATIO_256_BIN"),
        (diffusers.PixArtSigmaPipeline, "ASPECT_RATIO_256_BIN"),
        (diffusers.SanaPipeline, "ASPECT_RATIO_1024_BIN"),
    ):
        patch.setattr(sys.modules[made_by.__module__], name, _SQUARE)
    prx = sys.modules[diffusers.PRXPipeline.__module__]
    patch.setitem(prx.ASPECT_RATIO_BINS, 256, _SQUARE)
    ftfy = SimpleNamespace(fix_text=lambda text: text)
    patch.setattr(prx, "ftfy", ftfy, raising=False)
    hunyuan = sys.modules[diffusers.HunyuanDiTPipeline.__module__]
    patch.setattr(hunyuan, "SUPPORTED_SHAPE", [(64, 64)])
    _set_once_made(patch, diffusers.Kandinsky5T2IPipeline, resolutions=[(64, 64)])
    _set_once_made(patch, diffusers.HiDreamImagePipeline, default_sample_size=8)
    _set_once_made(patch, diffusers.HunyuanImagePipeline, tokenizer_max_length=320)


def _set_once_made(patch: pytest.MonkeyPatch, made_by: Any, **attributes: Any) -> None:
    """Set attributes of each pipeline of a class that is made from now on."""
    make = made_by.__init__

    @functools.wraps(make)
    def init(pipe: Any, *args: Any, **kwargs: Any) -> None:
        make(pipe, *args, **kwargs)
        vars(pipe).update(attributes)

    patch.setattr(made_by, "__init__", init)
