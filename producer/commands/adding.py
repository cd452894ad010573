"""Combinations that a grid lacks are added to its sweep, as `extend --include` does."""

from collections.abc import Mapping, Sequence

from gallery.actions import Added
from producer.commands.extend import Extension, expand_extended, extend_sweep
from producer.display.amounts import images
from producer.expansion.expand import Expansion
from producer.spec.inclusions import write_entry
from producer.submission.opening import opened_to_read
from producer.submission.submission import describe_submission
from storage.errors import UsageError
from storage.fleet import registry
from storage.jobs import sweeps
from storage.jobs.differences import Comparison
from storage.jobs.sweeps import Sweep
from storage.queries.names import sweep_names
from storage.queries.selection import compile_query
from storage.settings import Settings
from storage.sql.database import Database

#: What a combination names: axes of the sweep, each with one or several labels.
Cell = Mapping[str, Sequence[str]]


def add_combinations(
    settings: Settings, query: str, wanted: Sequence[Cell], *, is_agreed: bool
) -> Added:
    """Add combinations to the sweep that a query names, or say what that would do.

    Args:
        settings: Where the sweep is.
        query: A query of one sweep.
        wanted: The combinations; names that are no axes of the sweep are passed over.
        is_agreed: Whether they are added; else they are only counted.

    Raises:
        UsageError: The query is not of one sweep, or this is no way to add to it.
        SpecError: A combination cannot be made.
    """
    with opened_to_read(settings) as database:
        sweep = _only_sweep(database, query)
        entries = [write_entry(_values(sweep, cell)) for cell in wanted]
        more = Extension(include=entries)
        expansion = expand_extended(sweep, more, settings)
        _require_its_own(sweep, expansion)
        found = Comparison(database, sweep).compare(expansion.batches())
        if found.lost:
            msg = (
                f"{sweep.name} must keep its images, but {images(found.lost)} would "
                "leave it, since its spec means less by now; submit its file again."
            )
            raise UsageError(msg)
        if not found.come:
            said = (
                f"{sweep.name} has these combinations already, or others that mean the "
                "same; nothing is added."
            )
            return Added(said=said, count=0, idle=())
        if not is_agreed:
            said = (
                f"No job has these combinations. This adds {images(found.come)} to "
                f"{sweep.name}, as an `include` of its spec."
            )
            return Added(said=said, count=found.come, idle=())
    done = extend_sweep(sweep.name, more, settings=settings, is_agreed=True)
    with opened_to_read(settings) as database:
        is_idle = done.unmade and not registry.living_backends(database)
    said = " ".join([*describe_submission(done), *(f"{w}." for w in done.warnings)])
    return Added(said=said, count=done.new, idle=(sweep.name,) if is_idle else ())


def _only_sweep(database: Database, query: str) -> Sweep:
    with database.read() as connection:
        scope = compile_query(connection, query).scope
        names = {number: name for name, number in sweep_names(connection).items()}
    if scope.sweep_id is None:
        msg = (
            "A combination must be added to one sweep, but the query names "
            f"{len(scope.sweep_ids) or 'none'}; begin it with the name of a sweep."
        )
        raise UsageError(msg)
    return sweeps.require_sweeps(database, [names[scope.sweep_id]])[0]


def _values(sweep: Sweep, cell: Cell) -> Cell:
    """Return what an entry of `include` names: all axes of a sweep.

    Raises:
        UsageError: A combination is one of choices of a prompt, or of no values.
    """
    chosen = {axis: labels for axis, labels in cell.items() if axis in sweep.axes}
    choices = [axis for axis in cell if axis.startswith("prompt.")]
    if choices:
        msg = (
            f"A combination must name whole prompts, but {choices[0]} is a choice "
            "within one; put prompt on that side of the grid instead."
        )
        raise UsageError(msg)
    if not chosen:
        msg = f"A combination must name axes of {sweep.name}, got none; name some."
        raise UsageError(msg)
    return chosen


def _require_its_own(sweep: Sweep, expansion: Expansion) -> None:
    """Refuse what a label means only to people, and samples, which take no more."""
    if expansion.drawn is not None:
        msg = (
            f"{sweep.name} must be whole to take more combinations, but it is a sample "
            "of one; give it a larger `count`, or submit it without `sample`."
        )
        raise UsageError(msg)
    for axis, labels in expansion.axis_labels.items():
        new = [each for each in labels if each not in sweep.axes.get(axis, ())]
        if new:
            msg = (
                f"A combination must be of values that {sweep.name} has, but its "
                f"{axis} would be {new[0]!r}; add it to `include` in the sweep file."
            )
            raise UsageError(msg)
