"""The command `nightsweep extend`: more values or combinations for a sweep."""

import itertools
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

from producer.commands.submit import expand_for, submit_jobs
from producer.display.messages import talk
from producer.expansion.expand import Expansion
from producer.options import sweeps_argument, yes_option
from producer.spec.inclusions import with_included
from producer.spec.overrides import is_written_out
from producer.submission.confirmation import Consent
from producer.submission.opening import opened_to_read, tell_who_works
from producer.submission.sources import stored_source
from producer.submission.submission import Submitted, tell
from storage.errors import ChangedSweepError, NightsweepError, UsageError
from storage.host.atomic_writes import replacing
from storage.jobs import sweeps
from storage.jobs.sweeps import Sweep
from storage.settings import Settings, read_settings


@click.command(epilog="Example: nightsweep extend first-sweep --axis steps+=40,50")
@sweeps_argument
@click.option(
    "--axis",
    "axes",
    multiple=True,
    metavar="NAME+=VALUES",
    help="Values to add: --axis steps+=40,50. Repeatable.",
)
@click.option(
    "--include",
    multiple=True,
    metavar="ENTRY",
    help="Combinations to add, as an entry of `include` in a sweep file names them: "
    "--include '{scheduler: ddim, steps: 8}'. Repeatable.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder that relative paths of the sweep file start from.  [default: that of "
    "--write, else this folder]",
)
@click.option(
    "--write",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the extended spec to a sweep file, without the comments. What was "
    "there is kept as FILE.bak, or FILE.bak2 and so on if you wrote FILE.bak.",
)
@yes_option
def extend(
    names: Sequence[str],
    axes: Sequence[str],
    include: Sequence[str],
    *,
    folder: Path | None,
    file: Path | None,
    yes: bool,
) -> None:
    """Add values or combinations to a sweep, and submit it again.

    Only what is new is made. The sweep is read as it was submitted, not from its file,
    and is active afterwards. Several names may be given. The file stays as it
    is: --write makes it say what is stored.
    """
    _require_something(axes, include)
    start = _choose_folder(names, folder, file)
    settings = read_settings()
    with opened_to_read(settings) as database:
        known = sweeps.require_sweeps(database, names)
    for name in [sweep.name for sweep in known]:
        more = Extension(axes=axes, include=include, folder=start)
        done = extend_sweep(name, more, settings=settings, is_agreed=yes)
        tell(done)
        if file:
            write_spec(file, done.sweep.spec)
        talk(_describe_file(file))
        if done.unmade:
            with opened_to_read(settings) as database:
                tell_who_works(database, name)


def _choose_folder(
    names: Sequence[str], folder: Path | None, file: Path | None
) -> Path:
    """Return what relative paths start from, including those in the file to write."""
    if file is None:
        return folder or Path()
    if len(set(names)) > 1:
        msg = (
            f"--write must be given for one sweep, got {len(set(names))}; extend one "
            "after the other."
        )
        raise UsageError(msg)
    if not file.parent.is_dir():
        msg = (
            f"--write must name a file in a folder that exists, got {file}; make the "
            "folder first."
        )
        raise UsageError(msg)
    if folder and folder.resolve() != file.parent.resolve():
        msg = (
            f"--write must name a file in the folder of the sweep file, got {file} and "
            f"--folder {folder}: relative paths start from there; leave out --folder."
        )
        raise UsageError(msg)
    return file.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """What is added to a sweep.

    Attributes:
        axes: Values of `--axis`.
        include: Values of `--include`.
        folder: What relative paths in the spec start from.
    """

    axes: Sequence[str] = ()
    include: Sequence[str] = ()
    folder: Path = Path()


def expand_extended(sweep: Sweep, more: Extension, settings: Settings) -> Expansion:
    """Return the jobs of a stored sweep with what is added to it; store nothing.

    Raises:
        SpecError: What is added has mistakes.
        UsageError: The sweep would lose values, or means something else by now.
    """
    stored = stored_source(sweep.name, sweep.spec, folder=more.folder)
    extended = with_included(stored, more.include)
    expansion = expand_for(settings, extended, axes=more.axes)
    _require_all(sweep, expansion, more.folder)
    if expansion.spec.table_digests:
        before = expand_for(settings, stored)
        _require_same(sweep, before, more.folder)
    return expansion


def extend_sweep(
    name: str, more: Extension, *, settings: Settings, is_agreed: bool
) -> Submitted:
    """Add to a stored sweep and submit it again; see `expand_extended`.

    Args:
        name: The sweep.
        more: What is added.
        settings: Where it is stored.
        is_agreed: Whether unmade images may leave without a question.
    """
    while True:
        with opened_to_read(settings) as database:
            sweep = sweeps.require_sweeps(database, [name])[0]
        expansion = expand_extended(sweep, more, settings)
        consent = Consent(is_given=is_agreed, read=sweep)
        with suppress(ChangedSweepError):
            # Try again, or what somebody else added meanwhile would be lost.
            return submit_jobs(expansion, settings, consent=consent)


def write_spec(file: Path, text: str) -> None:
    """Write a sweep file, and keep what was there beside it.

    Raises:
        NightsweepError: It cannot be written; what was there is still there.
    """
    try:
        before = file.read_bytes() if file.exists() else None
        if before not in (None, text.encode()):
            with replacing(_find_place(file)) as kept:
                shutil.copy2(file, kept)
        with replacing(file) as fresh:
            fresh.write_text(text, encoding="utf-8")
    except OSError as exc:
        msg = (
            f"The spec must be written to {file}, but it cannot be ({exc.strerror}); "
            "the sweep is extended: run the command again with another --write."
        )
        raise NightsweepError(msg) from exc


def _find_place(file: Path) -> Path:
    """Return where to keep a file without replacing a text that people wrote."""
    for number in itertools.count(1):
        kept = file.with_name(f"{file.name}.bak{number if number > 1 else ''}")
        if not kept.exists() or _is_own(kept):
            break
    return kept


def _is_own(file: Path) -> bool:
    try:
        return is_written_out(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return False


def _describe_file(file: Path | None) -> str:
    if file:
        return f"{file} says the same now."
    return (
        "The sweep file is as before, and submitting it takes away what was added: add "
        "it there, too, or give this command with --write FILE."
    )


def _require_something(axes: Sequence[str], include: Sequence[str]) -> None:
    if not axes and not include:
        msg = (
            "An extension must add values or combinations, got neither; give --axis "
            "steps+=40, or --include '{scheduler: ddim, steps: 8}'."
        )
        raise UsageError(msg)
    for axis in axes:
        _require_plus(axis)


def _require_plus(axis: str) -> None:
    name, equals, values = axis.partition("=")
    if equals and not name.rstrip().endswith("+"):
        msg = (
            f"--axis must add values here, got {axis!r}; write `{name.strip()}+="
            f"{values}`, or change the sweep file and submit it."
        )
        raise UsageError(msg)


def _require_all(sweep: Sweep, expansion: Expansion, folder: Path) -> None:
    """Refuse a spec that lost values, for example since its file of prompts changed."""
    now = expansion.axis_labels
    # Schedulers come from no file, and another nightsweep may name them differently.
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


def _require_same(sweep: Sweep, now: Expansion, folder: Path) -> None:
    """Refuse a spec whose tables set something else by now, under the same labels."""
    if not sweep.may_want(now.digest):
        msg = (
            f"{sweep.name} must keep its values, but it means something else by now, "
            f"such as other rows of its table, read from {folder.resolve()}; name the "
            "folder of its sweep file with --folder, or submit that file first."
        )
        raise UsageError(msg)
