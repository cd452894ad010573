"""The command `nightsweep export`: images are copied out, with all that is known."""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from producer.commands.contact_sheet import lay_out
from producer.commands.parquet_file import write_parquet
from producer.display.amounts import free_bytes, images, size
from producer.display.counting import counted
from producer.display.messages import talk
from producer.options import program
from producer.query_options import QueryCommand, query_options
from producer.sharing.destinations import opened
from producer.sharing.exporting import JSON, Exported, Exporter
from producer.sharing.file_names import DEFAULT, Template, default_template
from producer.submission.opening import opened_to_read
from storage.errors import NightsweepError, UsageError
from storage.queries.answers import Wanted, count, find, find_differing
from storage.queries.columns import COLUMNS
from storage.queries.parsing import refine
from storage.queries.terms import Query
from storage.settings import Settings, read_settings
from storage.sharing.gathered_rows import measure
from storage.sql.database import Database
from storage.store import Store

#: Room for tables and the manifest, for each image.
_ROW_BYTES = 4000
#: Columns in which images may differ that would make names unreadable.
_UNREADABLE = ("loras", "embeddings", "schedule", "image")
#: Columns of queries for those of the view.
_ASKED_AS = {"negative_prompt": "negative", "width": "size", "height": "size"}


@click.command(
    cls=QueryCommand, epilog="Example: nightsweep export first-sweep --to pictures.zip"
)
@query_options()
@click.option(
    "--to",
    required=True,
    metavar="DIR|FILE.zip",
    type=click.Path(path_type=Path),
    help="A new folder, or a new file that ends in .zip.",
)
@click.option(
    "--names",
    metavar="TEMPLATE",
    help="Names of files, made of columns: '{prompt:.40}/{scheduler}-{seed}'.  "
    f"[default: {DEFAULT}, and what else differs]",
)
@click.option(
    "--link", is_flag=True, help="Make hard links instead of copies, on the same disk."
)
@click.option("--no-sheet", is_flag=True, help="Draw no contact sheets.")
def export(
    query: Query, *, to: Path, names: str | None, link: bool, no_sheet: bool
) -> None:
    """Copy images out, with readable names and all that is known of them.

    The images that a QUERY describes go to DIR/images, named by a template. Beside
    them are images.csv and images.jsonl (images.parquet, if pyarrow is installed), the
    specs, contact sheets, and a manifest, with which `nightsweep import` takes all of
    it into another home: images, scores, ratings and votes.

    Names are safe on Linux, macOS and Windows. If two images have the same name, the
    key of the later one is added. Prompts are in names, tables and the PNG files.

    Interrupted, the same command goes on. Given again later, it adds what was made
    meanwhile; a zip file is written once.
    """
    settings = read_settings()
    if link and not isinstance(settings.images, Path):
        msg = (
            f"--link must be for images in a folder, but they are in {settings.images};"
            " leave it out."
        )
        raise UsageError(msg)
    with opened_to_read(settings) as database:
        total = count(database, query)
        if not total:
            msg = f"An export must have an image, but none matches {query.text!r}."
            raise UsageError(msg)
        template = Template(names or _default_names(database, query))
        _try_names(database, query, template)
        _refuse_full(database, query, to, is_linked=link)
        asked = {"query": query.text, "names": template.text}
        with opened(to, asked, is_linked=link) as destination:
            exporter = Exporter(database, settings.images, destination, query)
            progress = partial(counted, doing="Exporting images", total=total)
            done = exporter.write(template, asked=asked, progress=progress)
            _write_parquet(destination.texts, done.fields)
            if not no_sheet:
                _draw_sheets(settings, query, done, destination.texts / "sheets")
    click.echo(to)
    _say(done)


def _default_names(database: Database, query: Query) -> str:
    differing = [
        _ASKED_AS.get(name, name)
        for name in find_differing(database, query)
        if name not in _UNREADABLE
    ]
    return default_template(list(dict.fromkeys(differing)))


def _try_names(database: Database, query: Query, template: Template) -> None:
    """Name one image, so that a mistake is told before anything is written.

    Raises:
        UsageError: Its values do not fit the template.
    """
    wanted = Wanted(columns=[*template.columns, COLUMNS["key"]], limit=1)
    for row in find(database, query, wanted):
        template.name(row)


def _refuse_full(
    database: Database, query: Query, to: Path, *, is_linked: bool
) -> None:
    """Refuse an export for which the disk has no room.

    Raises:
        UsageError: Too little is free.
    """
    made, size_bytes = measure(database, query)
    needed = made * _ROW_BYTES + (0 if is_linked else size_bytes)
    free = free_bytes(to.absolute())
    if needed > free:
        msg = (
            f"The disk must have room for {images(made)}, {size(needed)}, but {to} has "
            f"{size(free)} free; choose another disk, or fewer images."
        )
        raise UsageError(msg)


def _write_parquet(folder: Path, fields: Mapping[str, type]) -> None:
    if find_spec("pyarrow"):  # an extra
        rows = _read_back(folder / JSON, fields)
        write_parquet(rows, fields, file=folder / "images.parquet")


def _read_back(file: Path, fields: Mapping[str, type]) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            yield {name: _flat(row[name]) for name in fields}


def _flat(value: Any) -> Any:
    """Return a value of a table: nested ones are JSON, as in the views."""
    is_nested = isinstance(value, dict | list)
    return json.dumps(value, ensure_ascii=False) if is_nested else value


def _draw_sheets(
    settings: Settings, query: Query, done: Exported, folder: Path
) -> None:
    """Draw the contact sheet of each sweep; say why where there is none."""
    # Imported here: Pillow is not needed to show the help.
    from producer.sheet.files import save_pages
    from producer.sheet.lettering import choose_lettering

    with Store(settings) as store:
        for sweep in done.sweeps:
            if sweep.reference_of is not None:
                continue
            try:
                pages = lay_out(store, refine(query, sweep=sweep.name))
                if pages and pages.states.get("done"):
                    lettering = choose_lettering(pages.texts)
                    save_pages(pages, folder / f"{sweep.name}.png", lettering=lettering)
            except NightsweepError as exc:
                talk(f"There is no contact sheet of {sweep.name}: {exc}")


def _say(done: Exported) -> None:
    counts = done.counts
    references = counts["references"]
    also = f", and {images(references)} to compare them with" if references else ""
    talk(f"Exported {images(counts['copied'])}{also}, {size(done.size_bytes)}.")
    left = {
        "unmade": "not made",
        "evicted": "removed before",
        "missing": "with no file in the image folder",
        "cut short": "with a file of another size than was recorded",
    }
    only = [f"{counts[what]:,} {said}" for what, said in left.items() if counts[what]]
    if only:
        talk(f"Only in the tables, without a picture: {', '.join(only)}.")
    if counts["missing"] or counts["cut short"]:
        talk(f"`{program()} verify` says more about files.")
        raise click.exceptions.Exit(1)
