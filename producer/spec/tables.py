"""Tables: the rows of a CSV, TSV or JSONL file, each with its cells by parameter."""

import csv
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from producer.spec.habits import way_out_of_key
from producer.spec.parameters import PARAMETERS
from producer.spec.problems import Place, Problems, nearest, shown
from producer.spec.text_files import read_lines
from storage.errors import UsageError
from storage.job import canonical_json

#: What a column may be: a parameter, the row's own name, or both sides of the image.
COLUMNS = ("label", "size", *PARAMETERS)
#: A line of a file: its number, from 1, and its cells as JSON has them, by column.
_Line = tuple[int, Mapping[str, Any]]
_TEXT = "tag:yaml.org,2002:str"


class _Number(str):
    """A number in JSON, as it is written."""

    __slots__ = ()


class _Object(list[tuple[str, Any]]):
    """An object in JSON, as pairs: a key may be there twice."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    Attributes:
        place: Where it begins.
        cells: Its values by column, as JSON has them; empty cells are left out.
    """

    place: Place
    cells: Mapping[str, Any]

    @property
    def text(self) -> str:
        """A text that is equal for rows with equal cells."""
        return canonical_json(self.cells)

    def node(self, column: str) -> Node:
        """Return a cell as a node of YAML that stands at the row's place."""
        mark = yaml.Mark(self.place.source, 0, self.place.line - 1, 0, None, 0)
        return _node(self.cells[column], mark)


def is_table(node: Node) -> bool:
    """Return whether a value is `{file: ...}` with the name of a table."""
    if not isinstance(node, MappingNode):
        return False
    files = (value for key, value in node.value if key.value == "file")
    return any(Path(str(file.value)).suffix.lower() in _FORMATS for file in files)


def read_rows(
    file: Path, problems: Problems, *, columns: Mapping[str, str]
) -> Iterator[Row]:
    """Read a table row by row; it may be larger than memory. Empty rows are skipped.

    Args:
        file: CSV, TSV or JSONL, by its suffix.
        problems: Where columns that are no parameters, and rows that cannot be read,
            are noted.
        columns: Parameter to column, for the columns that are read; if empty, all are,
            and each must be named for a parameter.

    Raises:
        UsageError: The file cannot be read, or has not all of the columns.
    """
    names = {column: name for name, column in columns.items()}
    seen: dict[str, None] = {}
    for number, line in _FORMATS[file.suffix.lower()](file, problems):
        place = Place("", number, 1, file.name)
        for column in line.keys() - seen.keys():
            seen[column] = None
            if not columns:
                _check_column(column, place, problems)
        cells = {
            names.get(column, column): value
            for column, value in line.items()
            if value is not None and column in (names or COLUMNS)
        }
        if cells:
            yield Row(place, cells)
    for column in columns.values():
        if column not in seen:
            msg = (
                f"columns must name columns of {file.name}, got {shown(column)}; "
                f"{nearest(column, seen) if seen else 'the file is empty'}"
            )
            raise UsageError(msg)


def _check_column(name: str, place: Place, problems: Problems) -> None:
    if name not in COLUMNS:
        hint = problems.once(
            " (or name the columns to read: `columns: {prompt: Text}`)"
        )
        way_out = way_out_of_key(name, COLUMNS)
        problems.add(
            place, f"a column must be a parameter, got `{shown(name)}`; {way_out}{hint}"
        )


def _read_csv(file: Path, problems: Problems, *, tabs: bool = False) -> Iterator[_Line]:
    lines = read_lines(file)
    first = next(lines, "")
    delimiter = "\t" if tabs else ";" if ";" in first and "," not in first else ","
    reader = csv.reader(
        itertools.chain([first], lines), delimiter=delimiter, strict=True
    )
    header: list[str] = []
    start = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            while cells and not cells[-1]:
                cells.pop()
            if not header:
                header = _read_header(cells, file, start)
                yield start, dict.fromkeys(header)
            elif len(cells) > len(header):
                problems.add(
                    Place("", start, 1, file.name),
                    f"a row must have at most {len(header)} cells, as many as the "
                    f"first line, got {len(cells)}; put quotes around a text with "
                    "commas",
                )
            else:
                yield (
                    start,
                    {
                        name: cell or None
                        for name, cell in zip(header, cells, strict=False)
                    },
                )
            start = reader.line_num + 1
    except csv.Error as error:
        msg = (
            f"{file.name} line {start}: a row must be CSV, got an error ({error}); put "
            "quotes around a text with commas or quotes, and double the quotes in it"
        )
        raise UsageError(msg) from error


def _read_header(cells: list[str], file: Path, line: int) -> list[str]:
    for index, name in enumerate(cells):
        if name in cells[:index]:
            msg = (
                f"{file.name} line {line}: a column must appear once, got "
                f"`{shown(name)}` again; rename one of the two"
            )
            raise UsageError(msg)
    return cells


def _read_tsv(file: Path, problems: Problems) -> Iterator[_Line]:
    return _read_csv(file, problems, tabs=True)


def _read_jsonl(file: Path, problems: Problems) -> Iterator[_Line]:
    for number, line in enumerate(read_lines(file), start=1):
        if not line.strip():
            continue
        with problems.at(Place("", number, 1, file.name)):
            yield number, _read_object(line)


def _read_object(line: str) -> dict[str, Any]:
    try:
        found = json.loads(
            line,
            object_pairs_hook=_Object,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_Number,
        )
    except (ValueError, RecursionError) as error:
        msg = (
            f"a line of a JSONL file must be a JSON object, got an error ({error}); "
            'write one such as {"prompt": "a cat", "seed": 1}'
        )
        raise UsageError(msg) from error
    if not isinstance(found, _Object):
        msg = (
            f"a line of a JSONL file must be a JSON object, got {shown(line.strip())}; "
            'write one such as {"prompt": "a cat", "seed": 1}'
        )
        raise UsageError(msg)
    cells = dict(found)
    if len(cells) < len(found):
        names = [name for name, _ in found]
        double = next(name for name in names if names.count(name) > 1)
        msg = f"a key must appear once, got `{shown(double)}` again; remove one of them"
        raise UsageError(msg)
    return cells


#: Suffix to what reads the lines of such a file.
_FORMATS: Mapping[str, Callable[[Path, Problems], Iterator[_Line]]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
}


def _node(value: Any, mark: yaml.Mark) -> Node:
    """Return a value of JSON as YAML would read it; an empty text is in quotes."""
    if isinstance(value, _Object):
        pairs = [(_node(name, mark), _node(child, mark)) for name, child in value]
        return MappingNode("tag:yaml.org,2002:map", pairs, mark, mark)
    if isinstance(value, list):
        children = [_node(child, mark) for child in value]
        return SequenceNode("tag:yaml.org,2002:seq", children, mark, mark)
    if value is None:
        return ScalarNode("tag:yaml.org,2002:null", "null", mark, mark)
    if isinstance(value, bool):
        return ScalarNode(_TEXT, str(value).lower(), mark, mark)
    style = None if isinstance(value, _Number) else '"'
    return ScalarNode(_TEXT, value, mark, mark, style=style)
