"""The tables of the scheduler catalogue: classes, options and names, as literals.

`storage.catalogue.schedulers` interprets them; a test compares them with diffusers. To
add a scheduler, add one row to `CLASS_ROWS` and one or more to `NAME_ROWS`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypedDict


class OptionRow(TypedDict, total=False):
    """What an option accepts, for every class that has it.

    Without `kind` and `choices`, the kind follows from the default: bool, int or
    float. An option with `needs` does nothing unless one of the options in `needs` has
    the value stated there. `reads` are values of other classes that diffusers treats
    as the default if a model's config has them; it raises on any other value that is
    not among the choices.
    """

    kind: str
    choices: tuple[str, ...]
    reads: tuple[str, ...]
    minimum: float
    maximum: float
    needs: Mapping[str, Any]


class ClassRow(TypedDict, total=False):
    """One scheduler class of diffusers.

    Attributes:
        family: `diffusion`, `flow` or `distilled`.
        about: What it is, in one line.
        evaluations: Model evaluations for n steps: `n`, `2n-1`, or `n+1` for PNDM,
            whose Runge-Kutta start makes it n+9.
        noise: When it draws noise: `never`, `always`, `eta` (while eta is above 0),
            `sde` (algorithm_type starts with sde), `option` (stochastic_sampling).
        options: What a sweep may set, each with the class's own default.
        unpinned: Options of `PINNED` that the names of this class leave to the
            model's config nevertheless, each with the reason.
        fixed: The rest of the class's parameters, which a sweep may not set;
            `TRAINED` if not given.
        limits: Rows that override `OPTIONS` for this class.
        requires: Packages beyond those that diffusers needs.
    """

    family: str
    about: str
    evaluations: str
    noise: str
    options: Mapping[str, Any]
    unpinned: Mapping[str, str]
    fixed: tuple[str, ...]
    limits: Mapping[str, OptionRow]
    requires: tuple[str, ...]


class NameRow(NamedTuple):
    """A name for a class with options; `label` is what A1111's web page calls it.

    A name stands for a value of every option that distinguishes schedulers of its
    class: the class's default for those in `PINNED`, unless `options` says otherwise or
    the class has it in `unpinned`, and everything else in `options`. The model's config
    decides the rest.
    """

    name: str
    label: str
    class_name: str
    options: Mapping[str, Any] = {}
    extras: Mapping[str, Any] = {}


_FLOW_USE = {"use_flow_sigmas": True}
_DYNAMIC = {"use_dynamic_shifting": True}
_THRESHOLDING = {"thresholding": True}
_SIGMA_SCHEDULE = {
    "use_karras_sigmas": True,
    "use_exponential_sigmas": True,
    "use_beta_sigmas": True,
}

OPTIONS: Mapping[str, OptionRow] = {
    "algorithm_type": {"choices": ("dpmsolver++", "sde-dpmsolver++", "dpmsolver")},
    "base_image_seq_len": {"minimum": 1, "needs": _DYNAMIC},
    "base_shift": {"kind": "float", "needs": _DYNAMIC},
    "clip_sample_range": {"minimum": 0.01, "needs": {"clip_sample": True}},
    "corrector_order": {"minimum": 1, "maximum": 3},
    "disable_corrector": {"kind": "ints", "minimum": 0},
    "dynamic_thresholding_ratio": {
        "minimum": 0.01,
        "maximum": 1.0,
        "needs": _THRESHOLDING,
    },
    "final_sigmas_type": {"choices": ("zero", "sigma_min")},
    "flow_shift": {"minimum": 0.01, "maximum": 100.0, "needs": _FLOW_USE},
    "interpolation_type": {"choices": ("linear", "log_linear")},
    "max_image_seq_len": {"minimum": 1, "needs": _DYNAMIC},
    "max_shift": {"kind": "float", "needs": _DYNAMIC},
    "original_inference_steps": {"minimum": 1, "maximum": 1000},
    "prediction_type": {"choices": ("flow_prediction",), "needs": _FLOW_USE},
    "predictor_order": {"minimum": 1, "maximum": 3},
    "sample_max_value": {"minimum": 0.01, "needs": _THRESHOLDING},
    "shift": {"minimum": 0.01, "maximum": 100.0},
    "shift_terminal": {
        "kind": "float",
        "minimum": 0.001,
        "maximum": 0.999,
        "needs": _FLOW_USE,
    },
    "sigma_max": {"kind": "float", "minimum": 0.0001, "needs": _SIGMA_SCHEDULE},
    "sigma_min": {"kind": "float", "minimum": 0.0001, "needs": _SIGMA_SCHEDULE},
    "solver_order": {"minimum": 1, "maximum": 3},
    "solver_type": {
        "choices": ("midpoint", "heun"),
        "reads": ("logrho", "bh1", "bh2"),
    },
    "steps_offset": {
        "minimum": 0,
        "maximum": 10,
        "needs": {"timestep_spacing": "leading"},
    },
    "time_shift_type": {"choices": ("exponential", "linear"), "needs": _DYNAMIC},
    "timestep_scaling": {"minimum": 0.01},
    "timestep_spacing": {"choices": ("leading", "linspace", "trailing")},
    "variance_type": {
        # Not fixed_large_log: diffusers takes the root of its logarithm, which is NaN.
        "choices": ("fixed_small", "fixed_small_log", "fixed_large")
    },
}

#: Options that distinguish schedulers, each with what it decides. A name pins them; a
#: class name leaves them to the model's config, as diffusers' `from_config` does.
PINNED: Mapping[str, str] = {
    "algorithm_type": "the equation that is solved: with noise or without",
    "corrector_order": "the order of the corrector",
    "disable_corrector": "the steps that are not corrected",
    "euler_at_final": "the last step",
    "final_sigmas_type": "the noise level at which the last step ends",
    "interpolation_type": "the noise levels between those of the training",
    "lower_order_final": "the order of the last steps where there are few",
    "predict_x0": "what the solver predicts, image or noise",
    "predictor_order": "the order of the predictor",
    "skip_prk_steps": "whether there is a Runge-Kutta start",
    "solver_order": "the order of the solver",
    "solver_type": "the formula of the second order",
    "stochastic_sampling": "whether steps add noise",
    "use_beta_sigmas": "the spacing of the noise levels",
    "use_exponential_sigmas": "the spacing of the noise levels",
    "use_flow_sigmas": "the spacing of the noise levels",
    "use_karras_sigmas": "the spacing of the noise levels",
    "use_lu_lambdas": "the spacing of the noise levels",
}

#: Options that stay as the model's config has them, whatever the name, each with the
#: reason. A name that has one of them in its own options pins it.
OF_THE_MODEL: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("clip_sample", "clip_sample_range", "thresholding", "sample_max_value"),
            "dynamic_thresholding_ratio",
        ),
        "pixels are clipped and latents are not",
    ),
    **dict.fromkeys(
        ("prediction_type", "rescale_betas_zero_snr", "variance_type"),
        "the network was trained so",
    ),
    **dict.fromkeys(
        ("sigma_min", "sigma_max"), "the network was trained between these noise levels"
    ),
    **dict.fromkeys(
        ("original_inference_steps", "timestep_scaling"), "the network was distilled so"
    ),
    **dict.fromkeys(
        ("set_alpha_to_one", "steps_offset", "timestep_spacing"),
        "the model was released with these timesteps",
    ),
    **dict.fromkeys(
        (
            *("shift", "flow_shift", "shift_terminal", "time_shift_type"),
            *("use_dynamic_shifting", "base_shift", "max_shift"),
            *("base_image_seq_len", "max_image_seq_len"),
        ),
        "the model was released with this shift for its sizes",
    ),
}

#: Parameters that a sweep may not set, each with the reason.
FIXED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "num_train_timesteps",
            "beta_start",
            "beta_end",
            "beta_schedule",
            "trained_betas",
            "prediction_type",
            "timestep_type",
            "lambda_min_clipped",
            "variance_type",
            "invert_sigmas",
        ),
        "the model was trained with it, so its own config decides",
    ),
    "noise_sampler_seed": "it follows from the job's seed; vary `seed` instead",
    "tau_func": "it is a function, which a sweep file cannot hold",
    "solver_p": "it is another scheduler, which a sweep file cannot hold",
    **dict.fromkeys(
        (
            "use_flow_sigmas",
            "flow_shift",
            "use_dynamic_shifting",
            "time_shift_type",
            "shift_terminal",
        ),
        "flow matching with this class is not supported; use flow_unipc",
    ),
    **dict.fromkeys(
        ("timestep_spacing", "steps_offset"),
        "this class accepts it and never reads it",
    ),
}

_SCHEDULE = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule")
#: What nearly every class takes only from the model.
TRAINED = (*_SCHEDULE, "trained_betas", "prediction_type")
_NO_FLOW = ("use_flow_sigmas", "flow_shift")
_NO_SHIFT = ("use_dynamic_shifting", "time_shift_type")

_SIGMAS = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
}
_FLOW = {
    "prediction_type": "epsilon",
    "use_flow_sigmas": False,
    "flow_shift": 1.0,
}
_THRESHOLD = {
    "thresholding": False,
    "dynamic_thresholding_ratio": 0.995,
    "sample_max_value": 1.0,
}
_CLIP = {"clip_sample_range": 1.0}
_LINSPACE = {"timestep_spacing": "linspace", "steps_offset": 0}
_LEADING = {"timestep_spacing": "leading", "steps_offset": 0}
_ZERO_SNR = {"rescale_betas_zero_snr": False}
_KARRAS = {"use_karras_sigmas": True}
_EXPONENTIAL = {"use_exponential_sigmas": True}
_BETA = {"use_beta_sigmas": True}
_SDE = {"algorithm_type": "sde-dpmsolver++"}
_HEUN = {"solver_type": "heun"}
_ORDER_3 = {"solver_order": 3}
_FLOW_SOLVER = {
    "use_flow_sigmas": True,
    "prediction_type": "flow_prediction",
    "flow_shift": 3.0,
}
_DPM = "DPMSolverMultistepScheduler"
_DPM_SINGLE = "DPMSolverSinglestepScheduler"
_FLOW_EULER = "FlowMatchEulerDiscreteScheduler"

_DISTILLED: ClassRow = {
    "family": "distilled",
    "evaluations": "n",
    "options": {
        "original_inference_steps": 50,
        "clip_sample": False,
        "set_alpha_to_one": True,
        "timestep_scaling": 10.0,
        **_CLIP,
        **_THRESHOLD,
        **_ZERO_SNR,
    },
    "fixed": (*TRAINED, "timestep_spacing", "steps_offset"),
}

CLASS_ROWS: Mapping[str, ClassRow] = {
    "DDIMScheduler": {
        "about": "Denoising diffusion implicit models; eta above 0 adds noise",
        "noise": "eta",
        "options": {"clip_sample": True, "set_alpha_to_one": True}
        | (_CLIP | _THRESHOLD | _LEADING | _ZERO_SNR),
    },
    "DDPMScheduler": {
        "about": "The original stochastic sampler; needs many steps",
        "noise": "always",
        "options": {"clip_sample": True, "variance_type": "fixed_small"}
        | (_CLIP | _THRESHOLD | _LEADING | _ZERO_SNR),
    },
    "DEISMultistepScheduler": {
        "about": "Exponential integrator, multistep",
        "options": {
            "solver_order": 2,
            "algorithm_type": "deis",
            "solver_type": "logrho",
            "lower_order_final": True,
        }
        | (_THRESHOLD | _SIGMAS | _LINSPACE),
        "fixed": (*TRAINED, *_NO_FLOW, *_NO_SHIFT),
        "limits": {
            "algorithm_type": {
                "choices": ("deis",),
                "reads": ("dpmsolver", "dpmsolver++"),
            },
            "solver_type": {
                "choices": ("logrho",),
                "reads": ("midpoint", "heun", "bh1", "bh2"),
            },
        },
    },
    "DPMSolverMultistepScheduler": {
        "about": "DPM-Solver and DPM-Solver++, multistep; the usual choice",
        "noise": "sde",
        "options": {
            "solver_order": 2,
            "algorithm_type": "dpmsolver++",
            "solver_type": "midpoint",
            "lower_order_final": True,
            "euler_at_final": False,
            "use_lu_lambdas": False,
            "final_sigmas_type": "zero",
        }
        | (_FLOW | _THRESHOLD | _SIGMAS | _LINSPACE | _ZERO_SNR),
        "fixed": (
            *_SCHEDULE,
            *("trained_betas", "lambda_min_clipped", "variance_type", *_NO_SHIFT),
        ),
        "limits": {
            "algorithm_type": {
                "choices": (
                    *("dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver"),
                )
            }
        },
    },
    "DPMSolverSDEScheduler": {
        "about": "DPM-Solver++ for stochastic equations, midpoint, Brownian tree",
        "evaluations": "2n-1",
        "noise": "always",
        "options": _SIGMAS | _LINSPACE,
        "fixed": (*TRAINED, "noise_sampler_seed"),
        "requires": ("torchsde",),
    },
    "DPMSolverSinglestepScheduler": {
        "about": "DPM-Solver and DPM-Solver++, singlestep",
        "noise": "sde",
        "options": {
            "solver_order": 2,
            "algorithm_type": "dpmsolver++",
            "solver_type": "midpoint",
            "lower_order_final": False,
            "final_sigmas_type": "zero",
        }
        | (_THRESHOLD | _SIGMAS),
        "unpinned": {
            "lower_order_final": "it is always on where the last noise level is zero"
        },
        "fixed": (
            *TRAINED,
            *("lambda_min_clipped", "variance_type", *_NO_FLOW, *_NO_SHIFT),
        ),
    },
    "EulerAncestralDiscreteScheduler": {
        "about": "Euler with noise added at every step",
        "noise": "always",
        "options": _LINSPACE | _ZERO_SNR,
    },
    "EulerDiscreteScheduler": {
        "about": "Euler's method on the probability flow",
        "options": {
            "interpolation_type": "linear",
            "sigma_min": None,
            "sigma_max": None,
            "final_sigmas_type": "zero",
        }
        | (_SIGMAS | _LINSPACE | _ZERO_SNR),
        "fixed": (*TRAINED, "timestep_type"),
    },
    "HeunDiscreteScheduler": {
        "about": "Heun's second-order method (Karras et al. 2022, algorithm 2)",
        "evaluations": "2n-1",
        "options": {"clip_sample": False} | (_CLIP | _SIGMAS | _LINSPACE),
    },
    "KDPM2AncestralDiscreteScheduler": {
        "about": "DPM-Solver-2 with noise added at every step",
        "evaluations": "2n-1",
        "noise": "always",
        "options": _SIGMAS | _LINSPACE,
    },
    "KDPM2DiscreteScheduler": {
        "about": "DPM-Solver-2 in the form of Karras et al. 2022",
        "evaluations": "2n-1",
        "options": _SIGMAS | _LINSPACE,
    },
    "LMSDiscreteScheduler": {
        "about": "Linear multistep",
        "options": _SIGMAS | _LINSPACE,
        "requires": ("scipy",),
    },
    "PNDMScheduler": {
        "about": "Pseudo numerical methods; skip_prk_steps makes it PLMS",
        "evaluations": "n+1",
        "options": {"skip_prk_steps": False, "set_alpha_to_one": False} | _LEADING,
        "unpinned": {
            "skip_prk_steps": "the model says whether it wants the start; plms has none"
        },
    },
    "UniPCMultistepScheduler": {
        "about": "Unified predictor-corrector; strong at few steps",
        "options": {
            "solver_order": 2,
            "predict_x0": True,
            "solver_type": "bh2",
            "lower_order_final": True,
            "disable_corrector": [],
            "final_sigmas_type": "zero",
            "use_dynamic_shifting": False,
            "shift_terminal": None,
            "sigma_min": None,
            "sigma_max": None,
        }
        | (_FLOW | _THRESHOLD | _SIGMAS | _LINSPACE | _ZERO_SNR),
        "fixed": (*_SCHEDULE, "trained_betas", "solver_p", "time_shift_type"),
        "limits": {
            "solver_type": {
                "choices": ("bh2", "bh1"),
                "reads": ("midpoint", "heun", "logrho"),
            }
        },
    },
    "SASolverScheduler": {
        "about": "Stochastic Adams, predictor-corrector",
        "noise": "always",
        "options": {
            "predictor_order": 2,
            "corrector_order": 2,
            "algorithm_type": "data_prediction",
            "lower_order_final": True,
        }
        | (_THRESHOLD | _SIGMAS | _LINSPACE),
        "fixed": (
            *TRAINED,
            *("tau_func", "lambda_min_clipped", "variance_type", *_NO_FLOW),
        ),
        "limits": {
            "algorithm_type": {"choices": ("data_prediction", "noise_prediction")}
        },
    },
    "LCMScheduler": {
        **_DISTILLED,
        "about": "Latent consistency; distilled models only",
        "noise": "always",
    },
    "TCDScheduler": {
        **_DISTILLED,
        "about": "Trajectory consistency; distilled models only",
        "noise": "eta",
    },
    "FlowMatchEulerDiscreteScheduler": {
        "family": "flow",
        "about": "Euler's method for flow matching",
        "noise": "option",
        "options": {
            "shift": 1.0,
            "use_dynamic_shifting": False,
            "base_shift": 0.5,
            "max_shift": 1.15,
            "base_image_seq_len": 256,
            "max_image_seq_len": 4096,
            "shift_terminal": None,
            "time_shift_type": "exponential",
            "stochastic_sampling": False,
        }
        | _SIGMAS,
        "fixed": ("num_train_timesteps", "invert_sigmas"),
        "limits": {"shift_terminal": {"minimum": 0.001, "maximum": 0.999}},
    },
    "FlowMatchHeunDiscreteScheduler": {
        "family": "flow",
        "about": "Heun's second-order method for flow matching",
        "evaluations": "2n-1",
        "options": {"shift": 1.0},
        "fixed": ("num_train_timesteps",),
    },
}

#: The names, in the order in which they are listed.
NAME_ROWS: tuple[NameRow, ...] = (
    NameRow("ddim", "DDIM", "DDIMScheduler"),
    NameRow("ddim_eta", "DDIM eta", "DDIMScheduler", extras={"eta": 1.0}),
    NameRow("ddpm", "DDPM", "DDPMScheduler"),
    NameRow("pndm", "PNDM", "PNDMScheduler"),
    NameRow("plms", "PLMS", "PNDMScheduler", {"skip_prk_steps": True}),
    NameRow("lms", "LMS", "LMSDiscreteScheduler"),
    NameRow("lms_karras", "LMS Karras", "LMSDiscreteScheduler", _KARRAS),
    NameRow("euler", "Euler", "EulerDiscreteScheduler"),
    NameRow("euler_karras", "Euler Karras", "EulerDiscreteScheduler", _KARRAS),
    NameRow(
        *("euler_exponential", "Euler Exponential", "EulerDiscreteScheduler"),
        _EXPONENTIAL,
    ),
    NameRow("euler_beta", "Euler Beta", "EulerDiscreteScheduler", _BETA),
    NameRow(
        *("euler_sgm_uniform", "Euler SGM Uniform", "EulerDiscreteScheduler"),
        {"timestep_spacing": "trailing"},
    ),
    NameRow("euler_a", "Euler a", "EulerAncestralDiscreteScheduler"),
    NameRow("heun", "Heun", "HeunDiscreteScheduler"),
    NameRow("heun_karras", "Heun Karras", "HeunDiscreteScheduler", _KARRAS),
    NameRow("dpm2", "DPM2", "KDPM2DiscreteScheduler"),
    NameRow("dpm2_karras", "DPM2 Karras", "KDPM2DiscreteScheduler", _KARRAS),
    NameRow("dpm2_a", "DPM2 a", "KDPM2AncestralDiscreteScheduler"),
    NameRow(
        *("dpm2_a_karras", "DPM2 a Karras", "KDPM2AncestralDiscreteScheduler"),
        _KARRAS,
    ),
    NameRow("dpmpp_2m", "DPM++ 2M", _DPM),
    NameRow("dpmpp_2m_karras", "DPM++ 2M Karras", _DPM, _KARRAS),
    NameRow("dpmpp_2m_exponential", "DPM++ 2M Exponential", _DPM, _EXPONENTIAL),
    NameRow("dpmpp_2m_beta", "DPM++ 2M Beta", _DPM, _BETA),
    NameRow("dpmpp_2m_lu", "DPM++ 2M Lu", _DPM, {"use_lu_lambdas": True}),
    NameRow("dpmpp_2m_sde", "DPM++ 2M SDE", _DPM, _SDE),
    NameRow("dpmpp_2m_sde_karras", "DPM++ 2M SDE Karras", _DPM, _SDE | _KARRAS),
    NameRow(
        *("dpmpp_2m_sde_exponential", "DPM++ 2M SDE Exponential", _DPM),
        _SDE | _EXPONENTIAL,
    ),
    NameRow("dpmpp_2m_sde_heun", "DPM++ 2M SDE Heun", _DPM, _SDE | _HEUN),
    NameRow(
        *("dpmpp_2m_sde_heun_karras", "DPM++ 2M SDE Heun Karras", _DPM),
        _SDE | _HEUN | _KARRAS,
    ),
    NameRow("dpmpp_3m", "DPM++ 3M", _DPM, _ORDER_3),
    NameRow("dpmpp_3m_karras", "DPM++ 3M Karras", _DPM, _ORDER_3 | _KARRAS),
    NameRow("dpmpp_3m_sde", "DPM++ 3M SDE", _DPM, _ORDER_3 | _SDE),
    NameRow(
        *("dpmpp_3m_sde_karras", "DPM++ 3M SDE Karras", _DPM),
        _ORDER_3 | _SDE | _KARRAS,
    ),
    NameRow(
        *("dpmpp_3m_sde_exponential", "DPM++ 3M SDE Exponential", _DPM),
        _ORDER_3 | _SDE | _EXPONENTIAL,
    ),
    NameRow(
        *("dpmsolver_2m", "DPM-Solver 2M", _DPM),
        {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
    ),
    NameRow("dpmpp_2s", "DPM++ 2S", _DPM_SINGLE),
    NameRow("dpmpp_2s_karras", "DPM++ 2S Karras", _DPM_SINGLE, _KARRAS),
    NameRow("dpmpp_2s_sde", "DPM++ 2S SDE", _DPM_SINGLE, _SDE),
    NameRow("dpmpp_3s", "DPM++ 3S", _DPM_SINGLE, _ORDER_3),
    NameRow("dpmpp_sde", "DPM++ SDE", "DPMSolverSDEScheduler"),
    NameRow("dpmpp_sde_karras", "DPM++ SDE Karras", "DPMSolverSDEScheduler", _KARRAS),
    NameRow("deis", "DEIS", "DEISMultistepScheduler"),
    NameRow("deis_karras", "DEIS Karras", "DEISMultistepScheduler", _KARRAS),
    NameRow("unipc", "UniPC", "UniPCMultistepScheduler"),
    NameRow("unipc_karras", "UniPC Karras", "UniPCMultistepScheduler", _KARRAS),
    NameRow("sa_solver", "SA-Solver", "SASolverScheduler"),
    NameRow("lcm", "LCM", "LCMScheduler"),
    NameRow("tcd", "TCD", "TCDScheduler"),
    NameRow("tcd_eta", "TCD eta", "TCDScheduler", extras={"eta": 0.3}),
    NameRow("flow_euler", "Flow Euler", _FLOW_EULER),
    NameRow("flow_euler_karras", "Flow Euler Karras", _FLOW_EULER, _KARRAS),
    NameRow(
        *("flow_euler_exponential", "Flow Euler Exponential", _FLOW_EULER),
        _EXPONENTIAL,
    ),
    NameRow("flow_euler_beta", "Flow Euler Beta", _FLOW_EULER, _BETA),
    NameRow("flow_heun", "Flow Heun", "FlowMatchHeunDiscreteScheduler"),
    NameRow("flow_unipc", "Flow UniPC", "UniPCMultistepScheduler", _FLOW_SOLVER),
    NameRow("flow_dpmpp_2m", "Flow DPM++ 2M", _DPM, _FLOW_SOLVER),
)

#: Names that other programs use; a trailing `_k` for `_karras` is always accepted.
ALIASES: Mapping[str, str] = {
    "euler_ancestral": "euler_a",
    "kdpm_2": "dpm2",
    "kdpm_2_a": "dpm2_a",
    "dpm2_ancestral": "dpm2_a",
    "uni_pc": "unipc",
    "flow_match_euler": "flow_euler",
    "flow_match_heun": "flow_heun",
}

#: Words that other programs append to a name, and the options that they stand for. A
#: name without a word has the plain schedule. The names include `Karras` and others.
SCHEDULES: Mapping[str, Mapping[str, str]] = {
    **{
        word: {"timestep_spacing": word} for word in ("trailing", "leading", "linspace")
    },
    "sgmuniform": {"timestep_spacing": "trailing"},
    "karras": {"use_karras_sigmas": "true"},
    "exponential": {"use_exponential_sigmas": "true"},
    "beta": {"use_beta_sigmas": "true"},
    **{word: {} for word in ("normal", "simple", "automatic", "uniform", "default")},
    "gpu": {},
}

#: Names that are known but not offered, each with the reason.
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(
        ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler", "edm_euler"),
        "it is for models trained as in EDM (Karras et al. 2022), and though diffusers"
        " lists it as compatible with others it turns their latents into noise; use"
        " euler",
    ),
    "CosineDPMSolverMultistepScheduler": "it is for Stable Audio; use dpmpp_2m_sde",
    "IPNDMScheduler": "it is for another family of models; use pndm",
    "DDIMParallelScheduler": "it is DDIM for a parallel sampler; use ddim",
    "DDPMParallelScheduler": "it is DDPM for a parallel sampler; use ddpm",
    "FlowMatchLCMScheduler": (
        "its pipelines hand it no generator, so its images cannot be reproduced;"
        " use flow_euler"
    ),
    **dict.fromkeys(
        ("DPM++ 2S a", "DPM++ 2S a Karras", "dpmpp_2s_ancestral"),
        "diffusers has no equivalent; use dpmpp_2s_sde or euler_a",
    ),
    **dict.fromkeys(
        ("DPM fast", "DPM adaptive", "Restart"),
        "diffusers has no equivalent; use dpmpp_2m_karras",
    ),
}

#: What `scheduler: all` means, by kind of model: one name for each class. It stands for
#: the class as the model configures it; the name's own options are taken only if the
#: class cannot run otherwise. Variants such as Karras sigmas are left to `every`.
ALL: Mapping[str, tuple[str, ...]] = {
    "diffusion": (
        *("ddim", "ddpm", "pndm", "lms", "euler", "euler_a", "heun", "dpm2", "dpm2_a"),
        *("dpmpp_2m", "dpmpp_2s", "dpmpp_sde", "deis", "unipc", "sa_solver"),
    ),
    "distilled": ("lcm", "tcd"),
    "edm": ("euler",),  # refused, as all schedulers are
    "flow": ("flow_euler", "flow_heun", "flow_unipc", "flow_dpmpp_2m"),
}
