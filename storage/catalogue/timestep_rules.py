"""Rules on schedulers that a pipeline for flow matching cannot drive.

`set_timesteps` would raise in the worker, or the image would begin at the wrong noise
level, or an option would do nothing.
"""

import dataclasses
from collections.abc import Iterator

from storage.catalogue.scheduler_case import Case, shown
from storage.catalogue.scheduler_names import NAMES
from storage.catalogue.scheduler_options import CLASSES, names_or
from storage.catalogue.timestep_inputs import HANDED, TAKEN, Handed

_DPM = "DPMSolverMultistepScheduler"
_UNIPC = "UniPCMultistepScheduler"
_NEED_MU = ("FlowMatchEulerDiscreteScheduler", _UNIPC)
#: The pipeline of a family, for callers that name no pipeline.
_OF_FAMILY = {"sd3": "StableDiffusion3Pipeline", "flux": "FluxPipeline"}
#: What decides the shift that a pipeline works out.
_OF_MU = (*("base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len"),)
#: The shifts of the names of the catalogue: nobody asked for them.
_OF_NAMES = {
    row.options["flow_shift"] for row in NAMES.values() if "flow_shift" in row.options
}


def driving_problems(case: Case) -> Iterator[str]:
    """Yield why the model's pipeline cannot drive a scheduler for flow matching."""
    handed = _handed(case)
    if case.kind != "flow" or handed is None:
        return
    found = list(_find(case, handed))
    if found:
        yield f"{found[0]}; use {names_or(_that_run(case, handed))}"
        return
    yield from _without_effect(case, handed)


def _handed(case: Case) -> Handed | None:
    pipeline = case.pipeline or _OF_FAMILY.get(case.family, "")
    handed = HANDED.get(pipeline)
    if pipeline == "HiDreamImagePipeline" and case.of.name == _UNIPC:
        return Handed()
    return handed


def _find(case: Case, handed: Handed) -> Iterator[str]:
    """Yield why it fails, without a way out."""
    values, name = case.values, case.of.name
    is_dynamic = _is_dynamic(case)
    inputs = handed.inputs(
        is_flow_solver=bool(values.get("use_flow_sigmas")), is_dynamic=is_dynamic
    )
    lacking = sorted(inputs - TAKEN[name])
    owner = case.pipeline or "this pipeline"
    if lacking:
        yield (
            f"a scheduler of a {owner} must take its {' and '.join(lacking)}, got"
            f" {name}, which does not"
        )
    if name == _DPM and "mu" in inputs and not is_dynamic:
        yield (
            f"{name} takes the shift that a {owner} works out only on models with"
            " `use_dynamic_shifting: true`, got false"
        )
    if name in _NEED_MU and is_dynamic and "mu" not in inputs:
        yield (
            f"`use_dynamic_shifting` of {name} must be false for a {owner}, which works"
            " out no shift, got true"
        )
    yield from _unipc(case, handed, has_sigmas="sigmas" in inputs)


def _unipc(case: Case, handed: Handed, *, has_sigmas: bool) -> Iterator[str]:
    if case.of.name != _UNIPC or not has_sigmas:
        return
    owner = case.pipeline or "this pipeline"
    if case.values["use_karras_sigmas"]:
        yield (
            f"`use_karras_sigmas` of {_UNIPC} must be false for a {owner}, with whose"
            " sigmas it begins half-way, got true"
        )
    elif handed.sigmas == "numbers":
        yield (
            f"a scheduler of a {owner} must compute with sigmas that are no array, got"
            f" {_UNIPC}, which fails"
        )


def _without_effect(case: Case, handed: Handed) -> Iterator[str]:
    """Yield what an option is ignored for, with its way out."""
    is_dynamic = _is_dynamic(case)
    for name in ("shift", "flow_shift"):
        value = case.options.get(name)
        idle = (None, case.of.inherited(name, case.config) if value else None)
        if is_dynamic and value not in idle and value not in _OF_NAMES:
            yield (
                f"`{name}` of {case.of.name} does nothing with `use_dynamic_shifting:"
                f" true`, as here, got {shown(value)}; set that to false too, as the"
                " parameter `shift` does, or leave it out"
            )
    ignored = [n for n in _OF_MU if n in case.options]
    if ignored and not handed.reads_shift:
        yield (
            f"`{ignored[0]}` does nothing in a {case.pipeline}, which works out its"
            f" shift without it, got {shown(case.options[ignored[0]])}; leave it out,"
            " or set `shift`"
        )


def _is_dynamic(case: Case) -> bool:
    """Return whether the scheduler shifts by the image's size.

    DPM-Solver has the option from the model's config alone.
    """
    stated = case.config.get("use_dynamic_shifting")
    return bool(case.values.get("use_dynamic_shifting", stated))


def _that_run(case: Case, handed: Handed) -> list[str]:
    """Return the first name of each class that the pipeline can drive."""
    found: dict[str, str] = {}
    for row in NAMES.values():
        if row.family != "flow" or row.class_name in found:
            continue
        other = dataclasses.replace(
            case,
            of=CLASSES[row.class_name],
            options=row.options,
            pins=row.pins,
        )
        own = _handed(other)
        if own is not None and not list(_find(other, own)):
            found[row.class_name] = row.name
    return list(found.values())
