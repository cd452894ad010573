"""The shift of flow matching, by one name for all classes that have one."""

from collections.abc import Mapping
from typing import Any

from storage.catalogue.scheduler_case import shown
from storage.catalogue.scheduler_names import NAMES, Scheduler
from storage.catalogue.scheduler_options import CLASSES
from storage.errors import UsageError

#: The option that is the shift, in the classes that have one of them.
_OPTIONS = ("shift", "flow_shift")
_DYNAMIC = "use_dynamic_shifting"


def shift_options(
    scheduler: Scheduler, shift: float, *, config: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options of a scheduler that has a fixed shift.

    Args:
        scheduler: As resolved.
        shift: 0.01 to 100; 1 leaves the noise levels as they are.
        config: The model's original scheduler config.

    Raises:
        UsageError: The class has no shift, or another one decides.
    """
    of = CLASSES[scheduler.class_name]
    name = next((each for each in _OPTIONS if each in of.options), None)
    if name is None:
        msg = (
            f"shift must be left out for {of.name}, which has none, got {shown(shift)};"
            " use flow_euler, or leave it out"
        )
        raise UsageError(msg)
    own = NAMES[scheduler.name].options if scheduler.name else {}
    written = {k: v for k, v in scheduler.options.items() if own.get(k) != v}
    if name in written and written[name] != shift:
        msg = (
            f"shift must be set once, got {shown(written[name])} from `{name}` of the"
            f" scheduler and {shown(shift)} from `shift`; leave out one of the two"
        )
        raise UsageError(msg)
    if _DYNAMIC in of.options:
        return {**scheduler.options, name: shift, _DYNAMIC: False}
    if _DYNAMIC not in of.fixed or not config.get(_DYNAMIC):
        return {**scheduler.options, name: shift}
    msg = (
        f"shift must be left out for {of.name} on a model that shifts by the image's"
        f" size, got {shown(shift)}; use flow_euler or flow_unipc"
    )
    raise UsageError(msg)
