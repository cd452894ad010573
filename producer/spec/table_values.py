"""The values of an axis that a table holds: each row is one, as a bundle is."""

import hashlib
import heapq
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from yaml.nodes import Node, ScalarNode

from producer.spec.entries import fields
from producer.spec.parameters import PARAMETERS, Prompt, SchedulerChoice, shown_as
from producer.spec.problems import Place, Problems, shown
from producer.spec.prompts import check_count, draw_of
from producer.spec.ranges import read_integer
from producer.spec.tables import COLUMNS, Row, read_rows
from producer.spec.text_files import find_path
from producer.spec.yamltext import check_text, text_of
from storage.errors import UsageError

_SIZE = re.compile(r"([0-9]{1,5})\s*[x*]\s*([0-9]{1,5})")
#: Half a surrogate pair is a mistake that is told elsewhere.
_SPLIT = "surrogatepass"
#: Cells that are remembered, since columns mostly repeat a few values.
_MOST_KNOWN = 10_000


class Bundle(NamedTuple):
    """What a row sets; as `producer.spec.axes.Value`."""

    sets: Mapping[str, Any]
    place: Place
    label: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableReader:
    """Reads the tables of one axis.

    Attributes:
        axis: The axis; each row must set it if it is named for a parameter.
        folder: What paths of files are relative to.
        limit: The most values that a table may give.
        problems: Where mistakes are noted, each at its row.
        read_cell: Reads the value of a parameter from a node.
        read_prompts: Reads a prompt from a node; its choices give several.
    """

    axis: str
    folder: Path
    limit: int
    problems: Problems
    read_cell: Callable[[str, Node], Any]
    read_prompts: Callable[[Node], Sequence[Prompt]]
    _known: dict[tuple[str, Any], Mapping[str, Any]] = field(default_factory=dict)

    def read(self, node: Node) -> tuple[list[Bundle], str]:
        """Read a table.

        Args:
            node: `{file, columns, sample, sample_seed}`.

        Returns:
            What its rows set, and a digest of the rows.

        Raises:
            UsageError: The file cannot be read, or holds no rows or too many.
        """
        known = ("file", "columns", "sample", "sample_seed")
        entry = fields(node, self.problems, what="a table", known=known)
        file = find_path(self.folder, text_of(entry["file"], what="file"))
        known_before = len(self.problems)
        columns = self._read_columns(entry)
        rows: Iterable[Row] = read_rows(file, self.problems, columns=columns)
        if "sample" in entry:
            rows = _sample(rows, entry)
        bundles: list[Bundle] = []
        digest = hashlib.sha256()
        count = 0
        for row in rows:
            digest.update(row.text.encode(errors=_SPLIT))
            before = len(bundles)
            with self.problems.at(row.place):
                bundles += self._read_row(row)
            # A wildcard may stand for another text by now.
            for bundle in bundles[before:]:
                digest.update(_shown(bundle.sets.get("prompt")).encode(errors=_SPLIT))
            count += max(1, len(bundles) - before)
            check_count(count, file, self.limit)
        # A row that cannot be read is told of already.
        if not count and len(self.problems) == known_before:
            msg = (
                f"a table must have at least one row, got none in {file}; write one "
                "below the line that names the columns"
            )
            raise UsageError(msg)
        return list(_named_apart(self.axis, bundles)), digest.hexdigest()

    def _read_columns(self, entry: Mapping[str, Node]) -> dict[str, str]:
        if "columns" not in entry:
            return {}
        found = fields(entry["columns"], self.problems, what="`columns`", known=COLUMNS)
        return {name: text_of(node, what=name) for name, node in found.items()}

    def _read_row(self, row: Row) -> Iterator[Bundle]:
        sets: dict[str, Any] = {}
        for name, cell in row.cells.items():
            read = self._known.get((name, cell)) if isinstance(cell, str) else None
            read = read or self._read_cell(row, name)
            for parameter, value in read.items():
                if parameter in sets:
                    msg = (
                        f"a row must set {parameter} once, got it beside `size`; leave "
                        "one of the two empty"
                    )
                    raise UsageError(msg)
                sets[parameter] = value
        label = sets.pop("label", None) or None
        prompts = sets.pop("prompt", [])
        if self.axis in PARAMETERS and not (prompts or self.axis in sets):
            msg = (
                f"a row of the axis {self.axis} must set {self.axis}, got none; fill "
                "its cell, or remove the row"
            )
            raise UsageError(msg)
        for prompt in prompts:
            chosen = ", ".join(prompt.choices) if len(prompts) > 1 else ""
            own = f"{label}: {chosen}" if label and chosen else label
            yield Bundle({"prompt": prompt, **sets}, row.place, own)
        if not prompts:
            yield Bundle(sets, row.place, label)

    def _read_cell(self, row: Row, name: str) -> Mapping[str, Any]:
        """Read what a cell sets; it is remembered if other rows may repeat it."""
        node = row.node(name)
        if isinstance(node, ScalarNode):
            check_text(node, self.problems)
        if name == "label":
            return {name: text_of(node, what=name).strip()}
        if name == "prompt":
            return {name: self.read_prompts(node)}
        sets = {name: node} if name != "size" else _sides(node)
        read = {each: self.read_cell(each, child) for each, child in sets.items()}
        if isinstance(node, ScalarNode):
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[name, row.cells[name]] = read
        return read


def _sides(node: Node) -> dict[str, Node]:
    """Return width and height of a size."""
    text = text_of(node, what="size").strip()
    sides = _SIZE.fullmatch(text)
    if sides is None:
        msg = f"size must be width x height, got {shown(text)}; write 512x768"
        raise UsageError(msg)
    marks = (node.start_mark, node.end_mark)
    width, height = (ScalarNode(node.tag, pixels, *marks) for pixels in sides.groups())
    return {"width": width, "height": height}


def _sample(rows: Iterable[Row], entry: Mapping[str, Node]) -> list[Row]:
    """Choose rows, the same ones everywhere; only these are kept in memory."""
    wanted = read_integer(entry["sample"], "sample", low=1, high=10**9)
    seed = 0
    if "sample_seed" in entry:
        seed = read_integer(entry["sample_seed"], "sample_seed", low=0, high=2**63 - 1)
    chosen = heapq.nsmallest(wanted, rows, key=lambda row: draw_of(row.text, seed))
    if len(chosen) < wanted:
        msg = (
            f"sample must be at most the number of rows, {len(chosen)}, got {wanted}; "
            "lower or remove it"
        )
        raise UsageError(msg)
    return sorted(chosen, key=lambda row: row.place.line)


def _named_apart(axis: str, bundles: Sequence[Bundle]) -> Iterator[Bundle]:
    """Name rows that differ in other parameters than their axis by these."""
    if axis not in PARAMETERS:
        yield from bundles
        return
    counts = Counter(_shown(each.sets[axis]) for each in bundles if not each.label)
    alike: dict[str, list[Bundle]] = {}
    for each in bundles:
        text = _shown(each.sets[axis])
        if not each.label and counts[text] > 1:
            alike.setdefault(text, []).append(each)
    different = {text: _find_different(axis, group) for text, group in alike.items()}
    used: set[str] = set()
    for each in bundles:
        text = _shown(each.sets[axis])
        names = [name for name in different.get(text, ()) if name in each.sets]
        if each.label or not names:
            yield each
            continue
        sets = (f"{name}={shown(_shown(each.sets[name]))}" for name in names)
        label = f"{text} ({', '.join(sets)})"
        if label in used:
            label += f", line {each.place.line}"
        used.add(label)
        yield each._replace(label=label)


def _find_different(axis: str, bundles: Sequence[Bundle]) -> list[str]:
    names = dict.fromkeys(name for each in bundles for name in each.sets)
    return [
        name
        for name in names
        if name != axis and len({_shown(each.sets.get(name)) for each in bundles}) > 1
    ]


def _shown(value: object) -> str:
    if isinstance(value, SchedulerChoice):
        return value.label or value.written
    return shown_as(value)
