"""The command `nightsweep extend`: more values on the axes of a sweep."""

from collections.abc import Sequence
from pathlib import Path

import click

from producer.expansion.expand import Expansion
from producer.opening import opened_to_read
from producer.options import sweeps_argument
from producer.spec.yamltext import StoredSpec
from producer.submit import describe_submission, expand_for, submit_jobs
from storage import sweeps
from storage.errors import UsageError
from storage.settings import read_settings
from storage.sweeps import Sweep


@click.command(epilog="Example: nightsweep extend first-sweep --axis steps+=40,50")
@sweeps_argument
@click.option(
    "--axis",
    "axes",
    multiple=True,
    required=True,
    metavar="NAME+=VALUES",
    help="Values to add: --axis steps+=40,50. Repeatable.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="What relative paths of the sweep file start from.",
)
def extend(names: Sequence[str], axes: Sequence[str], *, folder: Path) -> None:
    """Add values to the axes of a sweep, and submit it again.

    Only what is new is made. The sweep is read as it was submitted, not from its file,
    and is active afterwards. Several names may be given.
    """
    for axis in axes:
        _require_plus(axis)
    settings = read_settings()
    with opened_to_read(settings) as database:
        known = sweeps.require_sweeps(database, names)
    for sweep in known:
        stored = StoredSpec(name=sweep.name, text=sweep.spec, folder=folder.resolve())
        expansion = expand_for(settings, stored, axes=axes)
        _require_all(sweep, expansion, folder)
        done = submit_jobs(expansion, settings)
        for warning in done.warnings:
            click.echo(f"Warning: {warning}.", err=True)
        for line in describe_submission(done):
            click.echo(line, err=True)


def _require_plus(axis: str) -> None:
    name, equals, values = axis.partition("=")
    if equals and not name.rstrip().endswith("+"):
        msg = (
            f"--axis must add values here, got {axis!r}; write `{name.strip()}+="
            f"{values}`, or change the sweep file and submit it."
        )
        raise UsageError(msg)


def _require_all(sweep: Sweep, expansion: Expansion, folder: Path) -> None:
    """Refuse a spec that lost values, as where a file of prompts is another one now."""
    now = expansion.axis_labels
    # A scheduler is in no file, and another nightsweep may show it by another name.
    named = [
        axis.name for axis in expansion.spec.axes if "scheduler" in axis.parameters
    ]
    for axis, labels in sweep.axes.items():
        if axis in named:
            continue
        lost = [label for label in labels if label not in now.get(axis, ())]
        if lost:
            msg = (
                f"{sweep.name} must keep its values, but its {axis} {lost[0]!r} is "
                f"gone, read from {folder.resolve()}; name the folder of its sweep "
                "file with --folder, or change that file and submit it."
            )
            raise UsageError(msg)
