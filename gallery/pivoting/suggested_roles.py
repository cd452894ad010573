"""Where each axis of a pivot goes at first."""

import math
from collections.abc import Mapping, Sequence

from gallery.pivoting.axis_labels import is_part

#: Axes in the order in which each place takes one; "" stands for axes of other names.
FIRST: Mapping[str, Sequence[str]] = {
    "cols": (
        *("steps", "guidance", "", "seed", "model", "sweep", "scheduler", "prompt"),
        *("negative", "negative_prompt"),
    ),
    "rows": (
        *("scheduler", "model", "sweep", "prompt", "", "negative", "negative_prompt"),
        *("guidance", "seed", "steps"),
    ),
}
#: Axes that are shown one below the other, and axes behind the slider.
BEHIND: Mapping[str, Sequence[str]] = {
    "supers": ("prompt", "negative", "negative_prompt", "sweep", "model"),
    "slider": ("seed", "guidance", "eta"),
}
#: Labels beyond which a single axis is better scrolled than looked at in one line.
LONGEST_LINE = 12
#: Combinations up to which a further axis goes beside another one.
MOST_BESIDE = 40


def suggest_roles(counts: Mapping[str, int]) -> dict[str, str]:
    """Return `rows`, `cols`, `supers`, `slider` or `stack` for each axis.

    Args:
        counts: The axes that vary and are not fixed, with how many labels each has.
    """
    # The parts of prompts together say what `prompt` says.
    free = [name for name in counts if not ("prompt" in counts and is_part(name))]
    roles = dict.fromkeys(counts, "stack")
    if len(free) == 1:
        is_long = counts[free[0]] > LONGEST_LINE
        return {**roles, free[0]: "rows" if is_long else "cols"}
    for role, order in FIRST.items():
        if free:
            taken = min(free, key=lambda name: _place(name, order))
            roles[taken] = role
            free.remove(taken)
    for role, names in BEHIND.items():
        if some := [name for name in names if name in free]:
            roles[some[0]] = role
            free.remove(some[0])
    sizes = {role: math.prod(_of_role(counts, roles, role)) for role in FIRST}
    for name in sorted(free, key=counts.__getitem__):
        role = min(sizes, key=sizes.__getitem__)
        if sizes[role] * counts[name] <= MOST_BESIDE:
            roles[name] = role
            sizes[role] *= counts[name]
    return roles


def _place(name: str, order: Sequence[str]) -> int:
    return order.index(name if name in order else "")


def _of_role(
    counts: Mapping[str, int], roles: Mapping[str, str], role: str
) -> list[int]:
    return [counts[name] for name, its in roles.items() if its == role]
