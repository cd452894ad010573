"""Which images of a query a pivot shows: all, or those with some labels if too many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gallery.pivoting.axis_labels import Axes, Axis, is_part, only
from gallery.pivoting.image_rows import Table, read_ids, read_table
from storage.errors import UsageError
from storage.queries.selection import Selection

#: Images that are looked at to choose an axis.
SAMPLE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """The images of a pivot.

    Attributes:
        total: Images of the query.
        table: Those of the pivot.
        axes: All axes with the labels of these images; a fixed one with all labels.
        fixed: Axes that are fixed, each with its label.
        narrowed: Those of them that were fixed here.
    """

    total: int
    table: Table
    axes: Sequence[Axis]
    fixed: Mapping[str, str]
    narrowed: tuple[str, ...]


def narrow(
    selection: Selection, axes: Axes, fixes: Mapping[str, str], *, most: int
) -> Narrowed:
    """Fix axes of a query until few enough images are left.

    Args:
        selection: The query.
        axes: Its axes.
        fixes: Axes that are fixed already, each with its label.
        most: Images that are few enough.

    Raises:
        UsageError: An axis of `fixes` does not exist.
    """
    ids = read_ids(selection, most=most + 1)
    if len(ids) <= most:
        table = read_table(selection, ids)
        known = axes.read(table)
        _check(fixes, known)
        labels = {axis.name: axis.labels for axis in known if axis.name in fixes}
        return _fixed(table, known, fixes, labels, total=len(ids))
    if fixes:
        _check(fixes, _sample(selection, axes, ids))
    fixed, left = _fix(selection, axes, fixes, ids, most=most)
    table = read_table(selection, left)
    known = axes.read(table)
    seen = {axis.name: axis.labels for axis in known if axis.name in fixed}
    labels = {name: axes.all_labels(name, some) for name, some in seen.items()}
    found = _fixed(table, known, fixed, labels, total=selection.count())
    return replace(found, narrowed=tuple(name for name in fixed if name not in fixes))


def _fix(
    selection: Selection,
    axes: Axes,
    fixes: Mapping[str, str],
    ids: Sequence[int],
    *,
    most: int,
) -> tuple[dict[str, str], Sequence[int]]:
    """Return which axes are fixed, and the ids of the images that are left."""
    fixed = dict(fixes)
    if fixes:
        ids = _read_fixed(selection, axes, fixed, most=most + 1)
    while len(ids) > most:
        axis = _largest(axes, _sample(selection, axes, ids), fixed)
        if axis is None:
            return fixed, ids[:most]
        # Of the first image that has one, so that some images are left.
        fixed[axis.name] = next(filter(None, axis.of_images))[0]
        ids = _read_fixed(selection, axes, fixed, most=most + 1)
    return fixed, ids


def _read_fixed(
    selection: Selection, axes: Axes, fixed: Mapping[str, str], *, most: int
) -> list[int]:
    for is_value in (True, False):
        said = (
            axes.has(name, label, is_value=is_value) for name, label in fixed.items()
        )
        left = replace(selection, conditions=(*selection.conditions, *said))
        if ids := read_ids(left, most=most):
            return ids
    return []


def _sample(selection: Selection, axes: Axes, ids: Sequence[int]) -> list[Axis]:
    some = ids[:: max(len(ids) // SAMPLE, 1)]
    return axes.read(read_table(selection, some))


def _largest(
    axes: Axes, known: Sequence[Axis], fixed: Mapping[str, str]
) -> Axis | None:
    free = [
        axis
        for axis in known
        if axis.name not in fixed
        and not is_part(axis.name)
        and axis.labels
        and axes.size(axis) > 1
    ]
    return max(free, key=axes.size, default=None)


def _fixed(
    table: Table,
    known: Sequence[Axis],
    fixed: Mapping[str, str],
    labels: Mapping[str, Sequence[str]],
    *,
    total: int,
) -> Narrowed:
    """Keep the images that have the labels, or no label of their own on the axis."""
    kept: Sequence[int] = range(len(table["id"]))
    for axis in known:
        if axis.name in fixed:
            label, of_images = fixed[axis.name], axis.of_images
            kept = [i for i in kept if label in of_images[i] or not of_images[i]]
    if len(kept) < len(table["id"]):
        table = {name: [some[i] for i in kept] for name, some in table.items()}
        known = [only(axis, kept) for axis in known]
    shown = [
        replace(axis, labels=labels[axis.name]) if axis.name in labels else axis
        for axis in known
    ]
    return Narrowed(total=total, table=table, axes=shown, fixed=fixed, narrowed=())


def _check(fixes: Mapping[str, str], known: Sequence[Axis]) -> None:
    names = [axis.name for axis in known]
    for name in fixes:
        if name not in names:
            msg = (
                f"a fixed axis must be one of the query's images, got {name!r}; they "
                f"have {', '.join(names) or 'none'}."
            )
            raise UsageError(msg)
