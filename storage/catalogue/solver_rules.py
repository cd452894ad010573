"""Rules on what the formulas of a scheduler class cannot do, each with a way out."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from storage.catalogue.scheduler_case import Case, shown

_DPM = "DPMSolverMultistepScheduler"
_UNIPC = "UniPCMultistepScheduler"
#: Classes that cannot work with a network that predicts the image itself.
_NO_SAMPLE = frozenset(
    {
        *("DPMSolverSDEScheduler", "EulerAncestralDiscreteScheduler", "PNDMScheduler"),
        *("KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"),
    }
)


def solver_of_config(case: Case) -> Iterator[str]:
    """Refuse a class that raises on the solver settings of a model's config."""
    values = case.values
    for name in ("algorithm_type", "solver_type"):
        option = case.of.options.get(name)
        if option is None or values[name] in option.choices:
            continue
        # DPM-Solver replaces DEIS with its own algorithm unless it ends at sigma zero.
        ends_early = values.get("final_sigmas_type") == "sigma_min"
        if values[name] == "deis" and ends_early:
            continue
        yield (
            f"{case.of.name} cannot be made from a model's config with"
            f" `{name}: {shown(values[name])}`; set `{name}: {option.default}`"
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


def _zero_snr(case: Case) -> Iterator[str]:
    prediction = case.config.get("prediction_type", "epsilon")
    if case.kind == "flow":
        prediction = "flow_prediction"
    if case.options.get("rescale_betas_zero_snr") and prediction != "v_prediction":
        yield (
            "`rescale_betas_zero_snr` needs a model with prediction_type v_prediction,"
            f" got {prediction}; leave it out"
        )


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


#: Rules on values that are right by themselves, in the order of their messages.
FORMULAS: tuple[Callable[[Case], Iterator[str]], ...] = (
    *(_solvers, _zero_snr, _zero_snr_noise, _prediction),
)
