"""Rules on what may not be requested of a scheduler, each with a way out.

diffusers drops options that a class does not know, accepts numbers that mean
something else, and paints NaN without an error. These rules refuse all of it
before any work is queued.
"""

import difflib
from collections.abc import Callable, Iterator

from storage.catalogue import tables as catalogue
from storage.catalogue.scheduler_case import Case, is_noisy, shown
from storage.catalogue.scheduler_options import SIGMA_SCHEDULES, names_or
from storage.catalogue.solver_rules import FORMULAS, solver_of_config
from storage.catalogue.timestep_rules import driving_problems

_FLOW_OPTIONS = ("use_flow_sigmas", "prediction_type", "flow_shift", "shift_terminal")
_ETA_CLASSES = ("DDIMScheduler", "TCDScheduler")
#: The pipeline of latent consistency models passes what only these classes take.
_LCM_CLASSES = ("LCMScheduler", "TCDScheduler")
#: Pipelines for flow matching whose schedulers may draw noise.
_HANDING_GENERATOR = frozenset({"SanaPipeline"})
_DPM = "DPMSolverMultistepScheduler"
_UNIPC = "UniPCMultistepScheduler"


def find_problems(case: Case) -> list[str]:
    """Return everything that is wrong with a scheduler, in the order of the rules.

    Values are checked together only if each one is right by itself.
    """
    alone = [each for rule in _ALONE for each in rule(case)]
    return alone or [each for rule in _TOGETHER for each in rule(case)]


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
                "`prediction_type` can only be set to flow_prediction, got"
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


def _sigma_schedules(case: Case) -> Iterator[str]:
    values = case.values
    names = (*SIGMA_SCHEDULES, "use_flow_sigmas")
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


def _repeatable(case: Case) -> Iterator[str]:
    if case.kind != "flow" or case.pipeline in _HANDING_GENERATOR:
        return
    if is_noisy(case.of, case.values, 0.0):
        yield (
            "a scheduler of a flow-matching model must draw no noise, because"
            f" {case.pipeline or 'its pipeline'} hands it no generator, got"
            f" {case.of.name} with {_noise_option(case)}; leave that out"
        )


def _noise_option(case: Case) -> str:
    name = "algorithm_type" if case.of.noise == "sde" else "stochastic_sampling"
    return f"`{name}: {shown(case.values[name])}`"


_ALONE: tuple[Callable[[Case], Iterator[str]], ...] = (
    *(_pipeline, _family, _known, _typed, _eta),
)
_TOGETHER: tuple[Callable[[Case], Iterator[str]], ...] = (
    *(solver_of_config, _sigma_schedules, _flow_options, _flow_solvers, *FORMULAS),
    *(driving_problems, _needs, _repeatable),
)
