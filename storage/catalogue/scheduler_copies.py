"""Why two ways to name a scheduler mean the same one on a model."""

from collections.abc import Mapping
from typing import Any

from storage.catalogue.scheduler_case import shown
from storage.catalogue.scheduler_names import Scheduler
from storage.catalogue.scheduler_options import CLASSES

#: How many options a reason names one by one.
_LISTED = 3


def why_same(first: Scheduler, second: Scheduler, *, config: Mapping[str, Any]) -> str:
    """Return why two schedulers do the same, as the end of a sentence: "since ...".

    Args:
        first: Has the class and the effective options of `second`.
        second: The other scheduler.
        config: The model's original scheduler config.
    """
    if first.settings == second.settings:
        return "since they are two spellings of one scheduler"
    of = CLASSES[first.class_name]
    set_by_one = first.settings.keys() ^ second.settings.keys()
    values = {**first.settings, **second.settings}
    stated = {
        name: values[name]
        for name in sorted(set_by_one)
        if values[name] != of.options[name].default
    }
    if not stated:
        return (
            "since only one of them sets what the model's own config has at its default"
        )
    listed = [f"`{name}: {shown(value)}`" for name, value in stated.items()]
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return f"since the model's own config sets {', '.join(listed[:_LISTED])}{more}"
