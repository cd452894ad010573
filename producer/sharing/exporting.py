"""An export, written page by page: pictures, tables of them, and the manifest."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import IO, Any

from producer.display.json_lines import open_row
from producer.sharing.destinations import Destination
from producer.sharing.file_names import Names, Template
from storage.files.fetching import local_each
from storage.files.images import relative_path
from storage.files.inputs import InputFolder
from storage.image_address import ImageAddress
from storage.queries.answers import Wanted, find, read_fields, read_meaning
from storage.queries.columns import COLUMNS
from storage.queries.terms import Query
from storage.sharing.gathered_rows import read_view
from storage.sharing.gathering import Gatherer, Line
from storage.sharing.manifest import FORMAT, HEADER, IMAGES, INPUTS, LINES, REFERENCES
from storage.sharing.shared_items import File, SharedSweep
from storage.sql.database import HEAD, Database
from storage.sql.value_pages import in_pages

#: Images that are read in one page.
PAGE_IMAGES = 500
#: The tables of images, and the folder of the specs.
CSV, JSON, SPECS = "images.csv", "images.jsonl", "specs"


@dataclass(slots=True, kw_only=True)
class Exported:
    """What an export has.

    Attributes:
        counts: Images by what became of them: `copied`, `evicted`, `unmade`, `missing`
            or `cut short` files, and `references` besides them.
        size_bytes: Of the pictures.
        sweeps: Its sweeps.
        fields: Columns of the tables, with their types in Python.
    """

    counts: Counter[str] = field(default_factory=Counter)
    size_bytes: int = 0
    sweeps: Sequence[SharedSweep] = ()
    fields: Mapping[str, type] = field(default_factory=dict)


class Exporter:
    """Writes the images of a query into a destination."""

    def __init__(
        self,
        database: Database,
        images: ImageAddress,
        destination: Destination,
        query: Query,
    ) -> None:
        """Take where images are, where they go, and which of them.

        Raises:
            UsageError: A name in the query does not exist.
            DatabaseError: SQL cannot be reached.
        """
        self._database = database
        self._images = images
        self._destination = destination
        self._query = query
        self._gatherer = Gatherer(database, read_meaning(database, query).sweeps)
        fields = {**read_fields(database, query), "file": str}
        self._done = Exported(fields=fields)

    def write(
        self,
        template: Template,
        *,
        asked: Mapping[str, Any],
        progress: Callable[[Iterable[Line]], Iterable[Line]],
    ) -> Exported:
        """Write everything but contact sheets.

        Args:
            template: The names of their files.
            asked: What is exported, to recognise the export by.
            progress: Passes rows on, and says how many there were.

        Raises:
            UsageError: A value does not fit the template.
            ImageStoreError: The destination cannot be written.
            DatabaseError: SQL cannot be reached.
        """
        columns = [COLUMNS["key"], *template.columns]
        named = find(self._database, self._query, Wanted(columns=columns))
        names = Names(template)
        with ExitStack() as stack:
            manifest, table, lines = (
                stack.enter_context(self._open(name)) for name in (LINES, CSV, JSON)
            )
            writer = csv.DictWriter(table, [*self._done.fields], lineterminator="\n")
            writer.writeheader()
            for page in _pages(progress(named)):
                given = {row["key"]: names.give(row["key"], row) for row in page}
                rows = read_view(self._database, self._query, list(given))
                for line in self._gather(given):
                    _write_line(manifest, line)
                    if line["kind"] == "image" and (row := rows.get(_key(line))):
                        shown = {**row, "file": _name(line)}
                        writer.writerow(shown)
                        _write_line(lines, {**open_row(shown), **_opinions(line)})
            self._write_references(manifest)
            for line in self._gatherer.votes():
                _write_line(manifest, line)
        self._finish(asked)
        return self._done

    def _gather(self, names: Mapping[str, str]) -> Iterator[Line]:
        """Yield the lines of a page of images, once their pictures are added."""
        for line, file in self._with_files(self._gatherer.read(list(names))):
            if line["kind"] == "image":
                self._add(line["image"], file, f"{IMAGES}/{names[_key(line)]}")
            yield line

    def _with_files(self, lines: Iterable[Line]) -> Iterator[tuple[Line, Path | None]]:
        """Yield lines, each with the file of its image if that is made and there."""
        lines = [*lines]
        made = [_key(line) for line in lines if _is_made(line)]
        files = local_each(self._images, map(relative_path, made))
        for line in lines:
            yield line, next(files) if _is_made(line) else None

    def _add(
        self, image: Line, source: Path | None, name: str, *, fate: str = "copied"
    ) -> None:
        """Add the picture of an image, and note its file in the image's line.

        Args:
            image: What its line says.
            source: The file; None without one.
            name: Its path in the export.
            fate: What it counts as once it is added.
        """
        if image["state"] != "done":
            is_evicted = image["state"] == "evicted"
            self._done.counts["evicted" if is_evicted else "unmade"] += 1
            return
        file = self._copy(source, name, image["result"])
        if isinstance(file, str):
            self._done.counts[file] += 1
            return
        image["file"] = asdict(file)
        self._done.counts[fate] += 1
        self._done.size_bytes += file.size_bytes

    def _copy(self, source: Path | None, name: str, made: Line) -> File | str:
        """Add a picture; return what it counts as if its file is not right."""
        try:
            if source and source.stat().st_size == made["size_bytes"]:
                made_at = made["finished_at"]
                return self._destination.add(source, name, made_at=made_at)
        except FileNotFoundError:  # it has gone just now
            return "missing"
        return "cut short" if source else "missing"

    def _write_references(self, manifest: IO[str]) -> None:
        """Write the images that scores were compared with, under their keys."""
        for page in in_pages(self._gatherer.references):
            for line, file in self._with_files(self._gatherer.read(page)):
                if line["kind"] == "image":
                    name = f"{REFERENCES}/{_key(line)}.png"
                    self._add(line["image"], file, name, fate="references")
                _write_line(manifest, line)

    def _finish(self, asked: Mapping[str, Any]) -> None:
        self._done.sweeps = self._gatherer.sweeps()
        for sweep in self._done.sweeps:
            if sweep.reference_of is None:
                with self._open(f"{SPECS}/{sweep.name}.yaml") as file:
                    file.write(sweep.spec)
        header = {
            "format": FORMAT,
            "schema": HEAD,
            "nightsweep": version("nightsweep"),
            "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "asked": asked,
            "images": len(self._gatherer.keys),
            "sweeps": [asdict(each) for each in self._done.sweeps],
            "inputs": [asdict(each) for each in self._add_inputs()],
        }
        with self._open(HEADER) as file:
            file.write(json.dumps(header, ensure_ascii=False, indent=1) + "\n")

    def _add_inputs(self) -> Iterator[File]:
        inputs = InputFolder(self._images)
        for digest in sorted(self._gatherer.inputs):
            try:
                yield self._destination.add(
                    inputs.path(digest), f"{INPUTS}/{digest}.png"
                )
            except FileNotFoundError:
                self._done.counts["missing"] += 1

    def _open(self, name: str) -> IO[str]:
        path = self._destination.texts / name
        path.parent.mkdir(exist_ok=True)
        # As it is in memory, also on systems that write line ends differently.
        return path.open("w", encoding="utf-8", newline="")


def _pages(rows: Iterable[Line]) -> Iterator[list[Line]]:
    given = iter(rows)
    while page := list(islice(given, PAGE_IMAGES)):
        yield page


def _write_line(file: IO[str], line: Mapping[str, Any]) -> None:
    file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _is_made(line: Line) -> bool:
    return bool(line["kind"] == "image" and line["image"]["state"] == "done")


def _key(line: Line) -> str:
    return str(line["image"]["key"])


def _name(line: Line) -> str | None:
    file = line["image"]["file"]
    return file["name"] if file else None


def _opinions(line: Line) -> Line:
    """Return what the table of JSON lines has besides the columns of the view."""
    return {name: line["image"][name] for name in ("scores", "ratings")}
