"""The command `nightsweep grid`: a contact sheet of a sweep."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.counting import counted
from producer.sheet.axes import (
    Labelled,
    Labels,
    add_parts,
    choose_axes,
    narrow,
    pick_parts,
)
from producer.spec.problems import listed, shown
from storage.errors import ImageStoreError, UsageError
from storage.filters import Filter
from storage.store import Store

if TYPE_CHECKING:
    from producer.sheet.pages import Pages, Picture

#: Images beyond which no sheet is made.
MOST_IMAGES = 50_000
#: What stands for the state of an image that was made, and whose file is gone.
FILE_MISSING = "file missing"

# Texts that a warning names; the rest is counted.
_MOST_NAMED = 3
_FACTS = ("model", "width", "height", "prompt", "steps", "guidance", "seed")


@click.command(
    epilog="Example: nightsweep grid --sweep first-sweep --rows prompt --cols scheduler"
)
@click.option("--sweep", metavar="NAME", required=True, help="The sweep to draw.")
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
    help="Show only this value of an axis, or values with this part: steps=20, "
    "prompt=fox. Repeatable.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="PNG file to write.  [default: $NIGHTSWEEP_HOME/grids/SWEEP.png]",
)
def grid(
    sweep: str,
    rows: str | None,
    cols: str | None,
    fixes: Sequence[str],
    out: Path | None,
) -> None:
    """Draw one labelled contact sheet of a sweep.

    Axes that vary beyond rows and columns get a panel for each of their values. The
    parts of a prompt, the choices of its braces, are the axes prompt.1, prompt.2 and
    so on. What does not fit on one page makes several files. Prints their paths.
    """
    if out is not None and out.suffix.lower() != ".png":
        msg = f"--out must end in .png, got {str(out)!r}."
        raise UsageError(msg)
    if out is not None and not out.parent.is_dir():
        msg = (
            f"--out must lie in a folder that exists, got {str(out)!r}; make it first."
        )
        raise UsageError(msg)
    with Store() as store:
        file = out or store.settings.home / "grids" / f"{sweep}.png"
        pages = lay_out(store, sweep, rows=rows, cols=cols, fixes=fixes)
    if pages is None:
        click.echo(f"{sweep} has no such image; show more with fewer --fix.", err=True)
        return
    for path in save_pages(pages, file):
        click.echo(path)
    click.echo(_summary(pages), err=True)
    if illegible := _find_illegible(pages):
        click.echo(
            "Warning: no typeface of this machine has all letters of "
            f"{listed(illegible)}; `?` stands for them; install one that has them, "
            "such as Noto Sans CJK.",
            err=True,
        )


def lay_out(
    store: Store,
    sweep: str,
    *,
    rows: str | None = None,
    cols: str | None = None,
    fixes: Sequence[str] = (),
) -> "Pages | None":
    """Give the pages of a sweep's contact sheet, or None where no image is left.

    Args:
        store: Where the sweep is.
        sweep: Its name.
        rows: Axis down the left; None for the best one.
        cols: Axis along the top; None for the best one.
        fixes: As `--fix` takes them.

    Raises:
        UsageError: The sweep, an axis or a value does not exist, or it is too large.
    """
    # Imported here: Pillow is not needed to refuse a wrong name.
    from producer.sheet.pages import make_pages

    known = _axes_of(store, sweep)
    early = [fix for fix in fixes if fix.partition("=")[0].strip() in known]
    pictures = _read_pictures(store, sweep, narrow(known, early))
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
    return make_pages(sweep, pictures, layout)


def save_pages(pages: "Pages", file: Path) -> list[Path]:
    """Draw and write each page; several are numbered, sheet-1.png.

    Raises:
        ImageStoreError: A file cannot be written.
    """
    from producer.sheet.drawing import draw_sheet

    count = len(pages.sheets)
    digits = len(str(count))
    paths = []
    sheets = counted(pages.sheets, "Drawing pages", total=count)
    for number, sheet in enumerate(sheets, start=1):
        numbered = file.with_stem(f"{file.stem}-{number:0{digits}}")
        path = numbered if count > 1 else file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draw_sheet(sheet).save(path, "PNG")
        except OSError as exc:
            msg = (
                f"a contact sheet must be writable, but {path} gives: {exc}; "
                "name another file with --out."
            )
            raise ImageStoreError(msg) from exc
        paths.append(path)
    return paths


def _find_illegible(pages: "Pages") -> list[str]:
    from producer.sheet.lettering import find_illegible

    texts = find_illegible(text for sheet in pages.sheets for text in sheet.texts)
    named = [f'"{shown(text)}"' for text in texts[:_MOST_NAMED]]
    more = len(texts) - len(named)
    return [*named, f"{more:,} more"] if more else named


def _axes_of(store: Store, sweep: str) -> Labels:
    known = {each["name"]: each["axes"] for each in store.sweeps()}
    if sweep not in known:
        names = ", ".join(sorted(known)) or "none yet"
        msg = f"--sweep must be one that was submitted ({names}), got {sweep!r}."
        raise UsageError(msg)
    axes: Labels = known[sweep]
    return axes


def _read_pictures(store: Store, sweep: str, labels: Labels) -> "list[Picture]":
    pictures = []
    rows = store.stream(Filter(sweep=sweep, is_current=True))
    for row in counted(rows, "Reading images"):
        cell = _read_cell(row["cell"])
        if not _is_shown(cell, labels):
            continue
        pictures.append(_picture(row, cell, store.settings.images))
        if len(pictures) > MOST_IMAGES:
            msg = (
                f"a contact sheet must have at most {MOST_IMAGES:,} images, "
                f"{sweep} has more; show less with --fix, such as --fix seed=0."
            )
            raise UsageError(msg)
    return pictures


def _read_cell(text: str) -> Labelled:
    """Read the labels of a job on each axis: one, or several that mean the same."""
    cell = json.loads(text)
    return {
        axis: (label,) if isinstance(label, str) else tuple(label)
        for axis, label in cell.items()
    }


def _picture(row: Mapping[str, Any], cell: Labelled, images: Path) -> "Picture":
    from producer.sheet.pages import Picture

    name = row["scheduler_label"] or row["scheduler"]
    path = images / row["path"] if row["path"] else None
    is_gone = path is not None and not path.is_file()
    return Picture(
        cell=cell,
        state=FILE_MISSING if is_gone else row["state"],
        path=None if is_gone else path,
        facts={**{fact: row[fact] for fact in _FACTS}, "scheduler": name},
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
    return f"{text}."
