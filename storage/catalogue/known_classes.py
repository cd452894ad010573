"""Classes of diffusers that a model's files may name, known without importing it.

Plain data of diffusers 0.42; a test compares it with the installed classes.
"""

import re
from difflib import get_close_matches

from storage.catalogue import tables as catalogue
from storage.catalogue.pipeline_families import FAMILIES
from storage.errors import ModelError

#: Pipelines that make an image from text alone, besides those of the families. They are
#: called with the usual inputs, and were never tried.
UNTRIED_PIPELINES = frozenset(
    {
        *("BriaFiboPipeline", "BriaPipeline", "CogView3PlusPipeline"),
        *("Cosmos2TextToImagePipeline", "HunyuanDiTPAGPipeline", "IFPipeline"),
        *("Ideogram4Pipeline", "KolorsPAGPipeline", "LDMTextToImagePipeline"),
        *("LuminaPipeline", "NucleusMoEImagePipeline", "OmniGenPipeline"),
        *("PRXPipeline", "PRXPixelPipeline", "PixArtSigmaPAGPipeline"),
        *("SanaPAGPipeline", "SanaSprintPipeline", "StableDiffusion3PAGPipeline"),
        *("StableDiffusionPAGPipeline", "StableDiffusionXLPAGPipeline"),
    }
)
#: Schedulers of diffusers that are not offered. A model may have one as its own, and
#: paint with others.
OTHER_SCHEDULERS = frozenset(
    {
        *("AmusedScheduler", "BlockRefinementScheduler"),
        *("CMStochasticIterativeScheduler", "CogVideoXDDIMScheduler"),
        *("CogVideoXDPMScheduler", "CosineDPMSolverMultistepScheduler"),
        *("DDIMInverseScheduler", "DDIMParallelScheduler", "DDPMParallelScheduler"),
        *("DDPMWuerstchenScheduler", "DPMSolverMultistepInverseScheduler"),
        *("DiscreteDDIMScheduler", "EDMDPMSolverMultistepScheduler"),
        *("EDMEulerScheduler", "EntropyBoundScheduler"),
        *("FlowMapEulerDiscreteScheduler", "FlowMatchLCMScheduler"),
        *("HeliosDMDScheduler", "HeliosScheduler", "IPNDMScheduler"),
        *("KarrasVeScheduler", "LTXEulerAncestralRFScheduler", "MiniMaxH3Scheduler"),
        *("PiflowScheduler", "RFD4ProteinaScheduler", "RePaintScheduler"),
        *("SCMScheduler", "ScoreSdeVeScheduler", "UnCLIPScheduler"),
        *("VQDiffusionScheduler",),
    }
)
#: Words in the names of pipelines that need more than a text.
_NEEDS_MORE = re.compile(
    "Img2Img|Image2Image|Inpaint|Control|Edit|Fill|Adapter|Upscale|Refiner|Kontext"
    "|SuperResolution|Pix2Pix|Depth2|Redux|Prior|Variation|Video|Audio|3D"
)


def require_pipeline(class_name: str) -> None:
    """Refuse a pipeline that does not make an image from text alone.

    Raises:
        ModelError: It does not; the message has a way out.
    """
    known = FAMILIES.keys() | UNTRIED_PIPELINES
    if class_name in known:
        return
    if _NEEDS_MORE.search(class_name):
        msg = (
            f"a model must make images from text alone, got a {class_name}, which"
            " begins with more than a text; name a text-to-image model"
        )
        raise ModelError(msg)
    near = get_close_matches(class_name, sorted(known), n=1, cutoff=0.8)
    hint = f"did you mean {near[0]} in its model_index.json? " if near else ""
    msg = (
        "a model's pipeline must be one of diffusers that makes images from text, got"
        f" {class_name}; {hint}name another model"
    )
    raise ModelError(msg)


def require_scheduler(class_name: str) -> None:
    """Refuse a model whose own scheduler diffusers does not have and cannot load.

    Raises:
        ModelError: The class is unknown; the message has a way out.
    """
    known = catalogue.CLASS_ROWS.keys() | OTHER_SCHEDULERS
    if class_name in known:
        return
    near = get_close_matches(class_name, sorted(known), n=1, cutoff=0.8)
    hint = f"; did you mean {near[0]}?" if near else "; name another model"
    msg = (
        "a model's own scheduler must be a class of diffusers, got"
        f" {class_name} in its model_index.json{hint}"
    )
    raise ModelError(msg)
