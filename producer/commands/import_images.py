"""The command `nightsweep import`: what `export` wrote is taken into this home."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import click
from yaml import MappingNode

from producer.display.amounts import images
from producer.display.counting import counted
from producer.display.messages import talk
from producer.options import program
from producer.spec.overrides import apply_options, write_out
from producer.spec.problems import Problems
from producer.spec.sweepfile import parse_name
from producer.spec.yamltext import compose
from storage.errors import UsageError
from storage.files.folders import take_folder
from storage.settings import read_settings
from storage.sharing.importing import Imported, Page, take_in
from storage.sharing.manifest import read_header
from storage.sharing.shared_items import SharedSweep
from storage.sharing.sources import opened
from storage.sharing.sweep_arrivals import Unmade
from storage.sql.database import open_database

#: Problems of the export that are named; the rest is counted.
_NAMED = 5


@click.command("import", epilog="Example: nightsweep import pictures.zip")
@click.argument(
    "export",
    metavar="DIR|FILE.zip",
    type=click.Path(path_type=Path),
)
@click.option(
    "--name", metavar="NAME", help="Another name for the sweep of the export."
)
def import_command(export: Path, *, name: str | None) -> None:
    """Take in what `export` wrote, nothing twice.

    Images, scores, ratings and votes are found again by their keys. Images that are
    here already stay as they are. A picture is taken only if its pixels have the hash
    that was recorded.

    Sweeps keep their names. If another sweep of this home has the name, --name gives
    another one. A sweep with images that are not made is paused, so that nothing is
    made here unasked; `nightsweep resume NAME` makes them. Models do not come along:
    their fingerprints do, and where they were.

    Interrupted at any moment, the same command goes on. The spec of an imported sweep
    is somebody else's: read it before you submit it again.
    """
    settings = read_settings()
    with opened(export) as source:
        header = read_header(source.header(), where=source.where)
        names = _names(header.sweeps, name)
        settings.make_home()
        with closing(open_database(settings.database_url)) as database:
            done = take_in(
                database,
                take_folder(database, settings.images),
                source,
                header,
                names=names,
                progress=lambda pages: _counted(pages, header.images),
            )
    _say(done)


def _counted(pages: Iterable[Page], total: int) -> Iterable[Page]:
    return counted(pages, "Importing images", total=total, size=len)


def _names(
    sweeps: Iterable[SharedSweep], name: str | None
) -> Mapping[str, SharedSweep]:
    """Return the sweeps by their names in the export, with those that they get here."""
    known = {each.name: each for each in sweeps}
    own = [each for each in known.values() if each.reference_of is None]
    if name is None:
        return known
    if len(own) != 1:
        listed = ", ".join(each.name for each in own)
        msg = (
            f"--name must be for one sweep, but the export has {len(own)} ({listed}); "
            "export the one by itself, or leave --name out."
        )
        raise UsageError(msg)
    (only,) = own
    renamed = replace(only, name=name, spec=_renamed(only.spec, name))
    return {**known, only.name: renamed}


def _renamed(spec: str, name: str) -> str:
    """Return the text of a spec with another name in it.

    Raises:
        UsageError: A sweep cannot have the name.
    """
    sets, problems = [f"name={parse_name(name)}"], Problems()
    root = compose(spec, source="the export")
    if not isinstance(root, MappingNode):
        return spec
    apply_options(root, sets=sets, axes=[], problems=problems)
    problems.check()
    return write_out(root, sets=sets, axes=[])


def _say(done: Imported) -> None:
    counts = done.images
    total = sum(counts.values())
    listed = ", ".join(done.sweeps)
    talk(
        f"{listed}: {images(total)}, {counts['new']:,} new, {counts['here']:,} here "
        "already."
    )
    left = {
        "unmade": "not made",
        "evicted": "removed, there or here",
        "in hand": "left to workers of this home",
        "without file": "with no file in the export",
    }
    only = [f"{counts[what]:,} {said}" for what, said in left.items() if counts[what]]
    if only:
        talk(f"Without a new picture: {', '.join(only)}.")
    if any(done.opinions.values()):
        new = (f"{count:,} {what}" for what, count in done.opinions.items() if count)
        talk(f"Also new: {', '.join(new)}.")
    for each in done.unmade:
        _say_unmade(each)
    _say_problems(done)


def _say_unmade(sweep: Unmade) -> None:
    name, absent = sweep.name, sweep.absent
    if absent:
        talk(
            f"{name} is paused: the export lacks {images(absent)} of it; `{program()} "
            f"submit {name}` has them made here."
        )
    else:
        talk(
            f"{name} is paused, with {images(sweep.stored)} to make; `{program()} "
            f"resume {name}` has them made here."
        )


def _say_problems(done: Imported) -> None:
    for problem in done.problems[:_NAMED]:
        talk(f"Not taken: {problem}.")
    if (more := len(done.problems) - _NAMED) > 0:
        talk(f"Not taken: {more:,} more.")
    if done.problems:
        talk("Copy the export again, or export it again, and give the same command.")
        raise click.exceptions.Exit(1)
