"""Scheduler configs of common kinds of models, as in their files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.builders import DEIS, KARRAS_SDE, SD3, SD15

SDXL = {
    "_class_name": "EulerDiscreteScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "sample_max_value": 1.0,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "trained_betas": None,
    "use_karras_sigmas": False,
}
TURBO = {
    **SDXL,
    "_class_name": "EulerAncestralDiscreteScheduler",
    "timestep_spacing": "trailing",
}
V_PREDICTION = {
    **SD15,
    "_class_name": "DDIMScheduler",
    "prediction_type": "v_prediction",
}
ZERO_SNR_DDIM = {
    **V_PREDICTION,
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}
COSINE = {**SD15, "beta_schedule": "squaredcos_cap_v2"}
LCM = {
    **V_PREDICTION,
    "_class_name": "LCMScheduler",
    "prediction_type": "epsilon",
    "original_inference_steps": 50,
    "rescale_betas_zero_snr": False,
    "timestep_scaling": 10.0,
    "timestep_spacing": "leading",
}
#: As in Playground v2.5: an ordinary scheduler config with EDM's noise levels added.
EDM_WITH_BETAS = {
    **SDXL,
    "sigma_data": 0.5,
    "sigma_max": 80.0,
    "sigma_min": 0.002,
    "use_karras_sigmas": True,
}
EDM = {
    "_class_name": "EDMDPMSolverMultistepScheduler",
    "algorithm_type": "dpmsolver++",
    "dynamic_thresholding_ratio": 0.995,
    "euler_at_final": False,
    "final_sigmas_type": "zero",
    "lower_order_final": True,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "rho": 7.0,
    "sample_max_value": 1.0,
    "sigma_data": 0.5,
    "sigma_max": 80.0,
    "sigma_min": 0.002,
    "solver_order": 2,
    "solver_type": "midpoint",
    "thresholding": False,
}
PIXART = {
    "_class_name": "DPMSolverMultistepScheduler",
    "algorithm_type": "dpmsolver++",
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "dynamic_thresholding_ratio": 0.995,
    "euler_at_final": False,
    "lambda_min_clipped": float("-inf"),
    "lower_order_final": True,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "solver_order": 2,
    "solver_type": "midpoint",
    "steps_offset": 0,
    "thresholding": False,
    "timestep_spacing": "linspace",
    "trained_betas": None,
    "use_karras_sigmas": False,
    "variance_type": None,
}
FLUX = {
    **SD3,
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "max_image_seq_len": 4096,
    "max_shift": 1.15,
    "use_dynamic_shifting": True,
}
SCHNELL = {**FLUX, "shift": 1.0, "use_dynamic_shifting": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of model: its scheduler config and its pipeline.

    Attributes:
        config: The model's original scheduler config.
        pipeline: Class of the pipeline in diffusers.
        family: Family of the model: `sd`, `sdxl`, `sd3`, `flux` or `other`.
    """

    config: Mapping[str, Any]
    pipeline: str = "StableDiffusionPipeline"
    family: str = "sd"


def _xl(config: Mapping[str, Any]) -> Kind:
    return Kind(config=config, pipeline="StableDiffusionXLPipeline", family="sdxl")


KINDS: Mapping[str, Kind] = {
    "sd15": Kind(config=SD15),
    "sd2": Kind(config={**SD15, "prediction_type": "epsilon", "clip_sample": False}),
    "v_prediction": Kind(config=V_PREDICTION),
    "zero_snr": Kind(config=ZERO_SNR_DDIM),
    "cosine": Kind(config=COSINE),
    "lcm": Kind(config=LCM),
    "sample": Kind(config={**SD15, "prediction_type": "sample"}),
    "deis": Kind(config=DEIS),
    "sde_karras": Kind(config=KARRAS_SDE),
    "sdxl": _xl(SDXL),
    "turbo": _xl(TURBO),
    "sdxl_zero_snr": _xl(
        {
            **SDXL,
            "prediction_type": "v_prediction",
            "rescale_betas_zero_snr": True,
            "timestep_spacing": "trailing",
        }
    ),
    "sdxl_cosine": _xl({**SDXL, "beta_schedule": "squaredcos_cap_v2"}),
    "edm_with_betas": _xl(EDM_WITH_BETAS),
    "edm": _xl(EDM),
    "pixart": Kind(config=PIXART, pipeline="PixArtSigmaPipeline", family="other"),
    "sd3": Kind(config=SD3, pipeline="StableDiffusion3Pipeline", family="sd3"),
    "flux": Kind(config=FLUX, pipeline="FluxPipeline", family="flux"),
    "schnell": Kind(config=SCHNELL, pipeline="FluxPipeline", family="flux"),
}
