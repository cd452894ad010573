"""The name of a job's scheduler, given the options that it really has."""

import json
from collections.abc import Mapping
from typing import Any

from storage.catalogue.scheduler_names import NAMES, Name
from storage.catalogue.scheduler_options import CLASSES


def names_of(
    class_name: str,
    options: Mapping[str, Any],
    extras: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
) -> list[str]:
    """Return every name of the catalogue that means exactly this scheduler on a model.

    Args:
        class_name: Class in diffusers.
        options: As `schedulers.effective_options` returns them.
        extras: Extras of the job; only `eta` belongs to a scheduler.
        config: The model's original scheduler config.
    """
    given = _given(options, extras)
    fitting = _fitting(class_name, options, extras, config=config)
    return [name for name in fitting if not _beside(NAMES[name], given)]


def short_name(
    class_name: str,
    options: Mapping[str, Any],
    extras: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    asked: str = "",
) -> str:
    """Return the name to show: one whose pinned options fit, else the class name.

    Args:
        class_name: Class in diffusers.
        options: As `schedulers.effective_options` returns them.
        extras: Extras of the job; only `eta` belongs to a scheduler.
        config: The model's original scheduler config, which together with
            `options` determines the scheduler.
        asked: The canonical name that was requested. It is used if it fits; otherwise,
            the first of the fitting names that leave the fewest options to be listed.

    Returns:
        `dpmpp_2m_karras`; with options that the name leaves to the model,
        `ddim(clip_sample=true)`; if no name has these options,
        `DPMSolverMultistepScheduler(solver_order=1)`.
    """
    given = _given(options, extras)
    fitting = _fitting(class_name, options, extras, config=config)
    if not fitting:
        return _with_options(class_name, given)
    best = min(fitting, key=lambda name: len(_beside(NAMES[name], given)))
    name = asked if asked in fitting else best
    return _with_options(name, _beside(NAMES[name], given))


def is_called_right(
    called: str,
    class_name: str,
    options: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
) -> bool:
    """Return whether what a stored name says is true on a model.

    A name that says nothing counts as right.

    Args:
        called: As `short_name` of this or an older version returned it; the options in
            parentheses are those of the job.
        class_name: Class in diffusers.
        options: Options of the job.
        config: The model's original scheduler config.
    """
    of, entry = CLASSES.get(class_name), NAMES.get(called.partition("(")[0])
    if of is None or entry is None:
        return True
    pins = entry.pins.items()
    return all(
        name in options or of.inherited(name, config) == value for name, value in pins
    )


def label_of(name: str) -> str:
    """Return what A1111's page calls a scheduler, by its name from `short_name`.

    A name that the page does not know is returned as it is.
    """
    return NAMES[name].label if name in NAMES else name


def _given(options: Mapping[str, Any], extras: Mapping[str, Any]) -> dict[str, Any]:
    return {**options, "eta": extras["eta"]} if extras.get("eta") else {**options}


def _fitting(
    class_name: str,
    options: Mapping[str, Any],
    extras: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
) -> list[str]:
    """Return the names whose pinned options and extras a scheduler has."""
    of = CLASSES.get(class_name)
    values = of.values(options, config) if of else {}
    values["eta"] = extras.get("eta", 0.0)
    return [
        entry.name
        for entry in NAMES.values()
        if entry.class_name == class_name
        and {**entry.pins, **entry.extras}.items() <= values.items()
    ]


def _beside(entry: Name, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given options that the name does not stand for."""
    return {
        name: value
        for name, value in given.items()
        if name not in entry.pins and name not in entry.extras
    }


def _with_options(name: str, options: Mapping[str, Any]) -> str:
    if not options:
        return name
    given = (f"{each}={json.dumps(options[each])}" for each in sorted(options))
    return f"{name}({', '.join(given)})"
