"""Which axis of a sweep goes where on a contact sheet."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from storage.errors import UsageError

#: Axes in the order in which they are chosen for the columns, and for the rows; ""
#: stands for axes of other names.
COLUMNS_FIRST = ("steps", "guidance", "seed", "", "scheduler", "prompt")
ROWS_FIRST = ("scheduler", "prompt", "", "guidance", "seed", "steps")
#: Values beyond which a single varying axis makes panels instead of one line.
LONGEST_LINE = 8

#: Axis names to the labels of their values, both in the order of display.
Labels = Mapping[str, Sequence[str]]
#: The labels of one image: one on each axis, or several that mean the same. An axis
#: that is missing has no effect on it.
Labelled = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which axis goes where.

    Attributes:
        rows: Axis down the left, or None.
        cols: Axis along the top, or None.
        panels: Axes whose combinations each have a panel of their own.
        labels: The labels of these axes that are shown.
        fixed: Other axes with their only value.
    """

    rows: str | None
    cols: str | None
    panels: tuple[str, ...]
    labels: Labels
    fixed: Mapping[str, str]


def choose_axes(
    labels: Labels, *, rows: str | None = None, cols: str | None = None
) -> Layout:
    """Choose what goes where; further axes that vary make panels.

    Args:
        labels: The axes, narrowed to what is to be shown.
        rows: Axis for the rows; None for the best one left.
        cols: Axis for the columns; None for the best one left.

    Raises:
        UsageError: An axis is unknown, or is given for both.
    """
    for option, name in (("--rows", rows), ("--cols", cols)):
        if name is not None:
            check_axis(name, labels, option=option)
    if rows is not None and rows == cols:
        msg = f"--rows and --cols must be two axes, got {rows!r} for both."
        raise UsageError(msg)
    free = [
        name for name in labels if len(labels[name]) > 1 and name not in (rows, cols)
    ]
    is_line = rows is None and cols is None and len(free) == 1
    if is_line and len(labels[free[0]]) > LONGEST_LINE:
        return _layout(labels, rows=None, cols=None, panels=free)
    if cols is None and free:
        cols = _first(free, COLUMNS_FIRST)
        free.remove(cols)
    if rows is None and free:
        rows = _first(free, ROWS_FIRST)
        free.remove(rows)
    return _layout(labels, rows=rows, cols=cols, panels=free)


def narrow(labels: Labels, fixes: Iterable[str]) -> dict[str, Sequence[str]]:
    """Keep what `--fix` names: `steps=20`, or part of a label, `prompt=fox`.

    Several values of one axis are all kept.

    Raises:
        UsageError: A text is not of this form, or its axis or value is unknown.
    """
    kept: dict[str, set[str]] = {}
    for fix in fixes:
        name, equals, text = (part.strip() for part in fix.partition("="))
        if not equals:
            msg = f"--fix must be AXIS=VALUE such as steps=20, got {fix!r}."
            raise UsageError(msg)
        check_axis(name, labels, option="--fix")
        kept.setdefault(name, set()).update(_matches(name, text, labels[name]))
    return {
        name: [each for each in known if name not in kept or each in kept[name]]
        for name, known in labels.items()
    }


def add_parts(labels: Labels, cells: Iterable[Labelled]) -> dict[str, Sequence[str]]:
    """Add the parts of axes that only cells know, such as `prompt.1`."""
    parts: dict[str, dict[str, None]] = {}
    for cell in cells:
        for name in cell.keys() - labels.keys():
            parts.setdefault(name, {}).update(dict.fromkeys(cell[name]))
    return {**labels, **{name: list(parts[name]) for name in sorted(parts)}}


def pick_parts(labels: Labels, asked: Iterable[str]) -> dict[str, Sequence[str]]:
    """Keep an axis, or its parts if one of them is asked for.

    `prompt.1` and `prompt.2` together say what `prompt` says.
    """
    split = {whole_of(name, labels) for name in asked}

    def is_kept(name: str) -> bool:
        whole = whole_of(name, labels)
        return whole in split if whole else name not in split

    return {name: known for name, known in labels.items() if is_kept(name)}


def is_part(name: str) -> bool:
    """Return whether an axis is a part of a prompt; other names have no dots."""
    return "." in name


def whole_of(name: str, labels: Labels) -> str | None:
    """Return the axis that `name` is a part of, or None."""
    whole = name.rpartition(".")[0]
    return whole if whole in labels else None


def check_axis(name: str, labels: Labels, *, option: str) -> None:
    """Refuse an axis that the sweep does not have.

    Raises:
        UsageError: It does not; the message names the nearest one.
    """
    if name in labels:
        return
    near = difflib.get_close_matches(name, labels, n=1)
    hint = f"; did you mean {near[0]}?" if near else "."
    known = ", ".join(labels) or "it has none"
    msg = f"{option} must name an axis of the sweep ({known}), got {name!r}{hint}"
    raise UsageError(msg)


def named(axis: str, label: str) -> str:
    """Return a label that says what it is: `steps 20`, but `ddim` alone."""
    if not label:
        return f"(empty {axis.replace('_', ' ')})"
    if axis == "negative_prompt":
        return f"negative: {label}"
    return f"{axis} {label}" if _number(label) is not None else label


def _layout(
    labels: Labels, *, rows: str | None, cols: str | None, panels: Sequence[str]
) -> Layout:
    shown = [name for name in (rows, cols, *panels) if name is not None]
    return Layout(
        rows=rows,
        cols=cols,
        panels=tuple(panels),
        labels={name: labels[name] for name in shown},
        fixed={
            name: known[0]
            for name, known in labels.items()
            if name not in shown and known
        },
    )


def _first(names: Sequence[str], order: Sequence[str]) -> str:
    def place(name: str) -> int:
        return order.index(name if name in order else "")

    return min(names, key=place)


def _matches(axis: str, text: str, labels: Sequence[str]) -> list[str]:
    if text in labels:
        return [text]
    number = _number(text)
    if number is not None:
        found = [each for each in labels if _number(each) == number]
    else:
        found = [each for each in labels if text and text.casefold() in each.casefold()]
    if found:
        return found
    near = difflib.get_close_matches(text, labels, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    known = ", ".join(labels[:12]) + (", ..." if len(labels) > 12 else "")
    msg = f"--fix must name a value of {axis} ({known}), got {text!r}{hint}"
    raise UsageError(msg)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
