"""What may not be asked of a scheduler, each rule with its way out.

diffusers drops options that a class does not know, accepts numbers that mean
something else, and paints NaN without an error. These rules refuse all of it
before any work is queued.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from storage import catalogue
from storage.scheduler_options import (
    SchedulerClass,
    kind_of_model,
    names_or,
)

_SIGMAS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
_FLOW_OPTIONS = ("use_flow_sigmas", "prediction_type", "flow_shift", "shift_terminal")
_ETA_CLASSES = ("DDIMScheduler", "TCDScheduler")
#: The Flux pipeline passes its own sigmas; of the classes offered, these take them.
_FLUX_CLASSES = ("FlowMatchEulerDiscreteScheduler", "UniPCMultistepScheduler")
#: The pipeline of latent consistency models passes what these alone take.
_LCM_CLASSES = ("LCMScheduler", "TCDScheduler")
#: Classes that cannot work with a network that predicts the image itself.
_NO_SAMPLE = frozenset(
    {
        *("DPMSolverSDEScheduler", "EulerAncestralDiscreteScheduler", "PNDMScheduler"),
        *("KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"),
    }
)
_DPM = "DPMSolverMultistepScheduler"
_UNIPC = "UniPCMultistepScheduler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A scheduler for a model, as the rules look at it.

    Attributes:
        of: The scheduler class.
        options: What was asked for, names to values.
        pins: What the scheduler's name stands for beside.
        extras: Call parameters such as eta.
        config: The model's original scheduler config.
        family: Of the model: `sd`, `sdxl`, `sd3`, `flux`, `lcm` or `other`.
    """

    of: SchedulerClass
    options: Mapping[str, Any]
    pins: Mapping[str, Any]
    extras: Mapping[str, Any]
    config: Mapping[str, Any]
    family: str

    @property
    def values(self) -> dict[str, Any]:
        """The value of every option, the model's config and defaults included."""
        return self.of.values({**self.pins, **self.options}, self.config)

    @property
    def kind(self) -> str:
        """`flow`, `distilled`, `edm` or `diffusion`: what the model was trained for."""
        return kind_of_model(self.family, self.config)


def find_problems(case: Case) -> list[str]:
    """Say everything that is wrong with a scheduler, in the order of the rules.

    Values are looked at together only when each one is right by itself.
    """
    alone = [each for rule in _ALONE for each in rule(case)]
    return alone or [each for rule in _TOGETHER for each in rule(case)]


def shown(value: object) -> str:
    """Write a value as YAML and JSON do: true, null, text as it is."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def is_noisy(of: SchedulerClass, values: Mapping[str, Any], eta: float) -> bool:
    """Whether a class with these values draws noise at its steps."""
    return {
        "never": False,
        "always": True,
        "eta": eta > 0,
        "sde": str(values.get("algorithm_type", "")).startswith("sde-"),
        "option": bool(values.get("stochastic_sampling")),
    }[of.noise]


def _pipeline(case: Case) -> Iterator[str]:
    if case.kind == "edm":
        yield (
            "a model must have betas for the schedulers of the catalogue, but this one"
            " was trained as in EDM (Karras et al. 2022), where"
            f" {case.of.name} paints noise; name another model"
        )
    if case.family == "lcm" and case.of.name not in _LCM_CLASSES:
        yield (
            "the pipeline of latent consistency models needs a scheduler that takes"
            f" original_inference_steps, got {case.of.name}; use lcm or tcd"
        )


def _family(case: Case) -> Iterator[str]:
    flows = case.of.name in (_DPM, _UNIPC)
    if case.kind == "flow" and case.of.family != "flow" and not flows:
        yield (
            f"a flow-matching model needs a flow-matching scheduler, got"
            f" {case.of.name}; use {names_or(catalogue.ALL['flow'])}"
        )
    if case.kind != "flow" and case.of.family == "flow":
        yield (
            f"{case.of.name} is for flow-matching models, and this one is not;"
            " use euler, heun or dpmpp_2m"
        )
    is_known = flows or case.of.family == "flow"
    if case.family == "flux" and is_known and case.of.name not in _FLUX_CLASSES:
        yield (
            "the Flux pipeline needs a scheduler that takes its sigmas, got"
            f" {case.of.name}; use flow_euler or flow_unipc"
        )


def _known(case: Case) -> Iterator[str]:
    for name, value in case.options.items():
        if name in case.of.options:
            continue
        if name in case.of.fixed:
            yield (
                f"`{name}` of {case.of.name} cannot be set, got {shown(value)}:"
                f" {catalogue.FIXED[name]}"
            )
            continue
        near = difflib.get_close_matches(name, case.of.options, n=1, cutoff=0.6)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        yield (
            f"{case.of.name} has no option `{name}` and would ignore it, got"
            f" {shown(value)}{hint or '; leave it out'}"
        )


def _typed(case: Case) -> Iterator[str]:
    for name, value in case.options.items():
        option = case.of.options.get(name)
        if option is None or option.accepts(value):
            continue
        if name == "prediction_type":
            yield (
                "`prediction_type` cannot be set but to flow_prediction, got"
                f" {shown(value)}: {catalogue.FIXED[name]}"
            )
            continue
        yield f"`{name}` of {case.of.name} must be {option.rule}, got {shown(value)}"


def _eta(case: Case) -> Iterator[str]:
    if "eta" not in case.extras:
        return
    eta = case.extras["eta"]
    if eta and case.of.name not in _ETA_CLASSES:
        yield (
            f"eta is for DDIM and TCD, {case.of.name} ignores it, got {shown(eta)};"
            " leave it out"
        )
    elif not 0 <= eta <= 1:
        yield f"eta must be a number from 0 to 1, got {shown(eta)}"


def _solver_of_config(case: Case) -> Iterator[str]:
    values = case.values
    for name in ("algorithm_type", "solver_type"):
        option = case.of.options.get(name)
        if option is None or values[name] in option.choices:
            continue
        # DPM-Solver takes DEIS for its own algorithm, but not down to sigma zero.
        ends_early = values.get("final_sigmas_type") == "sigma_min"
        if values[name] == "deis" and ends_early:
            continue
        yield (
            f"{case.of.name} cannot be made from a model's config with"
            f" `{name}: {shown(values[name])}`; set `{name}: {option.default}`"
        )


def _sigma_schedules(case: Case) -> Iterator[str]:
    values = case.values
    names = (*_SIGMAS, "use_lu_lambdas", "use_flow_sigmas")
    chosen = [name for name in names if values.get(name)]
    if case.of.name == _UNIPC and chosen == ["use_karras_sigmas", "use_flow_sigmas"]:
        return
    if len(chosen) > 1:
        origins = [
            f"`{name}`" + ("" if name in case.options else " (from the model's config)")
            for name in chosen
        ]
        yield (
            f"{case.of.name} takes one of its sigma schedules at a time, got"
            f" {' and '.join(origins)}; set all but one to false"
        )


def _needs(case: Case) -> Iterator[str]:
    values = case.values
    for name, value in case.options.items():
        option = case.of.options[name]
        idle = (option.default, case.of.inherited(name, case.config))
        if value in idle or not option.needs:
            continue
        present = {each: need for each, need in option.needs.items() if each in values}
        if not present or any(values[each] == present[each] for each in present):
            continue
        wanted = names_or(
            [f"`{each}: {shown(need)}`" for each, need in present.items()]
        )
        yield (
            f"`{name}` of {case.of.name} does nothing without {wanted}, got"
            f" {shown(value)}; set that too, or leave it out"
        )


def _zero_snr(case: Case) -> Iterator[str]:
    prediction = case.config.get("prediction_type", "epsilon")
    if case.kind == "flow":
        prediction = "flow_prediction"
    if case.options.get("rescale_betas_zero_snr") and prediction != "v_prediction":
        yield (
            "`rescale_betas_zero_snr` needs a model with prediction_type v_prediction,"
            f" got {prediction}; leave it out"
        )


def _prediction(case: Case) -> Iterator[str]:
    prediction = str(case.config.get("prediction_type", "epsilon"))
    if case.kind == "flow" or prediction in _predictions(case.of.name):
        return
    known = prediction in ("sample", *_predictions("DDIMScheduler"))
    yield (
        f"{case.of.name} cannot work with what this model predicts, got"
        f" `prediction_type: {prediction}` from its config; "
        + ("use ddim, euler or dpmpp_2m" if known else "correct the model's config")
    )


def _predictions(name: str) -> tuple[str, ...]:
    """Return the prediction types that a class is written for."""
    if name in _NO_SAMPLE:
        return ("epsilon", "v_prediction")
    return ("epsilon", "v_prediction", "sample")


def _zero_snr_noise(case: Case) -> Iterator[str]:
    values, eta = case.values, case.extras.get("eta", 0)
    if case.of.name != "DDIMScheduler" or values["timestep_spacing"] == "leading":
        return
    if eta == 1 and values["rescale_betas_zero_snr"]:
        yield (
            f"eta of {case.of.name} must be below 1 on a model with"
            " `rescale_betas_zero_snr: true`, where it may give NaN, got 1; set"
            " `eta: 0.99`, or use ddim"
        )


def _solvers(case: Case) -> Iterator[str]:
    values = case.values
    final_zero = values.get("final_sigmas_type") == "zero"
    if values.get("algorithm_type") in ("dpmsolver", "sde-dpmsolver") and final_zero:
        yield (
            f"`algorithm_type: {values['algorithm_type']}` cannot end at sigma zero,"
            " got `final_sigmas_type: zero`; set `final_sigmas_type: sigma_min`"
        )
    is_sde = values.get("algorithm_type") == "sde-dpmsolver"
    if case.of.name == _DPM and is_sde and values["solver_order"] > 2:
        yield (
            "`algorithm_type: sde-dpmsolver` has no third order, got `solver_order: 3`;"
            " set `solver_order: 2`"
        )
    noise_prediction = values.get("algorithm_type") == "noise_prediction"
    if noise_prediction and values["thresholding"]:
        yield (
            f"{case.of.name} fails with `algorithm_type: noise_prediction` and"
            " `thresholding: true`; leave one of them out"
        )
    if case.of.name == _UNIPC:
        yield from _unipc(values)


def _unipc(values: Mapping[str, Any]) -> Iterator[str]:
    final_zero = values["final_sigmas_type"] == "zero"
    for name, value in (
        ("solver_type", "bh1"),
        ("predict_x0", False),
        ("lower_order_final", False),
    ):
        if values[name] == value and final_zero:
            yield (
                f"UniPC with `{name}: {shown(value)}` gives NaN at sigma zero,"
                " got `final_sigmas_type: zero`; set `final_sigmas_type: sigma_min`"
            )
    if values["solver_order"] > 2 and not values["lower_order_final"]:
        yield (
            "UniPC of order 3 needs `lower_order_final: true`, got false, and would"
            " fail with a singular matrix; leave it out"
        )


def _flow_options(case: Case) -> Iterator[str]:
    if case.kind == "flow":
        return
    for name in (*_FLOW_OPTIONS, "use_dynamic_shifting"):
        if case.options.get(name):
            yield (
                f"`{name}` is for flow-matching models, and this one is not, got"
                f" {shown(case.options[name])}; leave it out"
            )


def _flow_solvers(case: Case) -> Iterator[str]:
    if case.kind != "flow" or case.of.name not in (_DPM, _UNIPC):
        return
    values = case.values
    if not values["use_flow_sigmas"] or values["prediction_type"] != "flow_prediction":
        yield (
            f"{case.of.name} on a flow-matching model needs `use_flow_sigmas: true`"
            " and `prediction_type: flow_prediction`, and paints noise without them;"
            " use flow_unipc or flow_dpmpp_2m"
        )
    for name, value in (
        ("predict_x0", False),
        ("algorithm_type", "dpmsolver"),
        ("algorithm_type", "sde-dpmsolver"),
    ):
        if values.get(name) == value:
            yield (
                f"{case.of.name} on a flow-matching model must predict the image, got"
                f" `{name}: {shown(value)}`; leave it out"
            )
    if case.of.name == _DPM and case.config.get("use_dynamic_shifting"):
        yield (
            f"{case.of.name} fails on models with `use_dynamic_shifting: true`,"
            " as this one's config has; use flow_unipc"
        )


def _repeatable(case: Case) -> Iterator[str]:
    if case.kind == "flow" and is_noisy(case.of, case.values, 0.0):
        yield (
            "a scheduler of a flow-matching model must draw no noise, because the"
            f" pipelines hand it no generator, got {case.of.name} with"
            f" {_noise_option(case)}; leave that out"
        )


def _noise_option(case: Case) -> str:
    name = "algorithm_type" if case.of.noise == "sde" else "stochastic_sampling"
    return f"`{name}: {shown(case.values[name])}`"


_ALONE: tuple[Callable[[Case], Iterator[str]], ...] = (
    *(_pipeline, _family, _known, _typed, _eta),
)
_TOGETHER: tuple[Callable[[Case], Iterator[str]], ...] = (
    *(_solver_of_config, _sigma_schedules, _flow_options, _flow_solvers, _solvers),
    *(_zero_snr, _zero_snr_noise, _prediction, _needs, _repeatable),
)
