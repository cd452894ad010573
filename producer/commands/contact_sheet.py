"""The command `nightsweep grid`: a contact sheet of a sweep."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.display.amounts import size
from producer.display.counting import counted
from producer.display.messages import talk
from producer.options import program
from producer.query_options import QueryCommand, query_options
from producer.running.sweep_state import describe_incomplete
from producer.sheet.layout import (
    Labelled,
    Labels,
    add_parts,
    choose_axes,
    narrow,
    pick_parts,
)
from producer.sheet.picture import FACTS, FILE_MISSING, Picture
from producer.spec.problems import listed, shown
from producer.submission.opening import opened_to_read
from storage.errors import UsageError
from storage.files.fetching import local_each
from storage.image_address import ImageAddress
from storage.jobs import sweep_counts, sweeps
from storage.jobs.completeness import find_incomplete
from storage.jobs.sweeps import Sweep
from storage.queries.answers import read_meaning
from storage.queries.parsing import refine
from storage.queries.terms import Query
from storage.sql.database import Database
from storage.store import Store

if TYPE_CHECKING:
    from producer.sheet.pages import Pages

#: Images beyond which no sheet is made.
MOST_IMAGES = 50_000
#: Pixels that the longer side of a cell may have.
CELL_PX = click.IntRange(16, 2048)

# Texts that a warning names; the rest is counted.
_MOST_NAMED = 3


@click.command(
    cls=QueryCommand,
    epilog="Example: nightsweep grid first-sweep --rows prompt --cols scheduler",
)
@query_options()
@click.option(
    "--rows", metavar="AXIS", help="Axis down the left.  [default: a varying one]"
)
@click.option(
    "--cols", metavar="AXIS", help="Axis along the top.  [default: a varying one]"
)
@click.option(
    "--fix",
    "fixes",
    metavar="AXIS=VALUE",
    multiple=True,
    help="Show only this value of an axis, or values that contain it: steps=20, "
    "prompt=fox. Repeatable.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write: .png, .jpg or .webp.  "
    "[default: $NIGHTSWEEP_HOME/grids/NAME.png]",
)
@click.option(
    "--cell",
    metavar="SIZE",
    type=CELL_PX,
    help="Pixels of the longer side of an image.  [default: what suits the images]",
)
@click.option(
    "--keys",
    "has_keys",
    is_flag=True,
    help="Write below each image its key, as `show` and `open` take it.",
)
def grid(query: Query, *, out: Path | None, **asked: Any) -> None:
    """Draw one labelled contact sheet of a sweep.

    QUERY names the sweep, and may say which of its images to draw, as for `nightsweep
    find`.

    Axes that vary besides rows and columns get a panel for each combination of their
    values. The parts of a prompt, the choices of its braces, are the axes prompt.1,
    prompt.2 and so on. A sheet that does not fit on one page leaves out the panels and
    rows whose images are all still to be made; failed ones are shown. The rest becomes
    as many files as it needs. Prints the files' paths.
    """
    # Imported here: Pillow is not needed to show the help.
    from producer.sheet.files import check_file, save_pages
    from producer.sheet.lettering import choose_lettering, find_illegible

    if out is not None:
        check_file(out)
    with Store() as store:
        name = _require(store, query)
        file = out or store.settings.home / "grids" / f"{name}.png"
        with _opened(store, name) as (database, sweep):
            _refuse_unmade(name, sweep_counts.count_states(database, sweep))
            incomplete = find_incomplete(database, sweep)
        pages = lay_out(store, query, **asked)
    if pages is None:
        talk(f"{name} has no such image; show more with fewer terms and --fix.")
        return
    _refuse_unmade(name, pages.states, where=" where --fix looks")
    _refuse_gone(name, pages.states, store.settings.images)
    lettering = choose_lettering(pages.texts)
    for path in save_pages(pages, file, lettering=lettering):
        click.echo(path)
    talk(_summary(pages))
    if incomplete:
        talk(describe_incomplete(name, incomplete))
    if illegible := find_illegible(pages.texts, lettering):
        talk(
            "Warning: no typeface of this machine has all letters of "
            f"{listed(_name_some(illegible))}; `?` stands for them; "
            "install one that has them, such as Noto Sans CJK or Noto Emoji."
        )


def lay_out(
    store: Store,
    query: Query | str,
    *,
    rows: str | None = None,
    cols: str | None = None,
    fixes: Sequence[str] = (),
    **drawn: Any,
) -> "Pages | None":
    """Return the pages of a sweep's contact sheet, or None if no image is left.

    Args:
        store: Where the sweep is.
        query: Its name, and which of its images.
        rows: Axis down the left; None for the best one.
        cols: Axis along the top; None for the best one.
        fixes: As `--fix` takes them.
        drawn: `cell` and `has_keys`, as `make_pages` takes them.

    Raises:
        UsageError: A sweep, axis or value does not exist, or the sheet is too large.
    """
    # Imported here: Pillow is not needed to refuse a wrong name.
    from producer.sheet.pages import make_pages

    query = refine(query)
    sweep = _require(store, query)
    with _opened(store, sweep) as (_, stored):
        known = stored.axes
    early = [fix for fix in fixes if fix.partition("=")[0].strip() in known]
    which = refine(query, sweep=sweep, current=True)
    pictures = _read_pictures(store, which, labels=narrow(known, early))
    if not pictures:
        return None
    labels = add_parts(known, (picture.cell for picture in pictures))
    labels = narrow(labels, fixes)
    pictures = [each for each in pictures if _is_shown(each.cell, labels)]
    if not pictures:
        return None
    asked = [fix.partition("=")[0].strip() for fix in fixes]
    asked += [axis for axis in (rows, cols) if axis is not None]
    layout = choose_axes(pick_parts(labels, asked), rows=rows, cols=cols)
    return make_pages(sweep, pictures, layout, **drawn)


def _require(store: Store, query: Query) -> str:
    """Return the name of the one sweep that a query is about.

    Raises:
        UsageError: It names no sweep, or several.
    """
    if not query.terms:
        msg = "grid must name a sweep, got none; write `nightsweep grid NAME`."
        raise UsageError(msg)
    with opened_to_read(store.settings) as database:
        named = read_meaning(database, query).sweeps
        if len(named) == 1:
            return named[0]
        first = query.terms[0]
        if not named and first.is_bare_word:  # a sweep's name, most likely
            sweeps.require_sweeps(database, [first.values[0].text])
    got = " and ".join(named) or "none"
    msg = f"grid must name one sweep, got {got}; write `nightsweep grid NAME`."
    raise UsageError(msg)


def _refuse_unmade(name: str, states: Mapping[str, int], *, where: str = "") -> None:
    """Refuse a sheet without an image.

    Args:
        name: Name of the sweep.
        states: State to the count of its images.
        where: What was looked at, if not all of the sweep.

    Raises:
        UsageError: No image is made.
    """
    if states.get("done") or states.get(FILE_MISSING):
        return
    counts = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))
    msg = (
        f"a contact sheet must have an image that is made, but {name} has none yet"
        f"{where} ({counts}); `{program()} status --sweep {name}` says how far it is."
    )
    raise UsageError(msg)


def _refuse_gone(name: str, states: Mapping[str, int], images: ImageAddress) -> None:
    """Refuse a sheet without image files; it would replace one with pictures.

    Raises:
        UsageError: No file is there.
    """
    if states.get("done"):
        return
    msg = (
        f"a contact sheet must have an image whose file is there, but none of the "
        f"{states[FILE_MISSING]:,} of {name} is in {images}; mount the disk that holds "
        f"them, and see `{program()} verify`."
    )
    raise UsageError(msg)


def _name_some(texts: Sequence[str]) -> list[str]:
    named = [f'"{shown(text)}"' for text in texts[:_MOST_NAMED]]
    more = len(texts) - len(named)
    return [*named, f"{more:,} more"] if more else named


@contextmanager
def _opened(store: Store, name: str) -> Iterator[tuple[Database, Sweep]]:
    with opened_to_read(store.settings) as database:
        (sweep,) = sweeps.require_sweeps(database, [name])
        yield database, sweep


def _read_pictures(store: Store, query: Query, *, labels: Labels) -> list[Picture]:
    shown = []
    for row in counted(store.stream(query), "Reading images"):
        cell = _read_cell(row["cell"])
        if not _is_shown(cell, labels):
            continue
        shown.append((row, cell))
        if len(shown) > MOST_IMAGES:
            msg = (
                f"a contact sheet must have at most {MOST_IMAGES:,} images, "
                "the sweep has more; show less of it, such as seed:0."
            )
            raise UsageError(msg)
    images = store.settings.images
    _refuse_larger_than_cache(images, sum(row["size_bytes"] or 0 for row, _ in shown))
    files = local_each(images, [row["path"] for row, _ in shown if row["path"]])
    return [
        _picture(row, cell, next(files) if row["path"] else None) for row, cell in shown
    ]


def _refuse_larger_than_cache(images: ImageAddress, size_bytes: int) -> None:
    """Refuse a sheet whose images are dropped from the cache before it is drawn.

    Raises:
        UsageError: They are in a bucket, and are more than the cache may hold.
    """
    if isinstance(images, Path) or size_bytes <= images.cache_bytes:
        return
    msg = (
        "the images of a contact sheet must fit in the cache, of "
        f"{size(images.cache_bytes)}, but they have {size(size_bytes)}; show less of "
        "them, such as seed:0, or set NIGHTSWEEP_CACHE_GB to more."
    )
    raise UsageError(msg)


def _read_cell(text: str) -> Labelled:
    """Read the labels of a job on each axis: one, or several that mean the same."""
    cell = json.loads(text)
    return {
        axis: (label,) if isinstance(label, str) else tuple(label)
        for axis, label in cell.items()
    }


def _picture(row: Mapping[str, Any], cell: Labelled, path: Path | None) -> Picture:
    name = row["scheduler_label"] or row["scheduler"]
    is_gone = bool(row["path"]) and path is None
    return Picture(
        key=row["key"],
        cell=cell,
        state=FILE_MISSING if is_gone else row["state"],
        path=path,
        facts={fact: row[fact] for fact in FACTS} | {"scheduler": name},
    )


def _is_shown(cell: Labelled, labels: Labels) -> bool:
    return all(
        any(label in labels.get(axis, known) for label in known)
        for axis, known in cell.items()
    )


def _summary(pages: "Pages") -> str:
    total = sum(pages.states.values())
    made, gone = pages.states.get("done", 0), pages.states.get(FILE_MISSING, 0)
    count = len(pages.sheets)
    text = f"{count} page{'s' if count > 1 else ''}, {made:,} of {total:,} images made"
    if gone:
        text += f", {gone:,} file{'s' if gone > 1 else ''} missing"
    others = [
        f"{n:,} {state}"
        for state, n in sorted(pages.states.items())
        if state not in ("done", FILE_MISSING)
    ]
    if others:
        text += f" ({', '.join(others)})"
    if pages.hidden:
        text += (
            f"; {pages.hidden:,} more have no place of their own here: "
            "--fix chooses which are shown"
        )
    if pages.unbegun:
        text += (
            f"; {pages.unbegun:,} more are in panels and rows of which nothing is made "
            "yet"
        )
    return f"{text}."
