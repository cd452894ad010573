"""The sweep file: from YAML to a spec in which every value is valid.

`producer.expansion.expand` checks what depends on the model (sizes, schedulers that fit
it). Problems are gathered and reported together.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from yaml.nodes import MappingNode, Node

from producer.spec.axes import Axis, ValueReader
from producer.spec.calls import flatten_calls
from producer.spec.conditions import ConditionEntry, read_entries
from producer.spec.drawn_seeds import draw_seeds
from producer.spec.entries import fields, list_meant
from producer.spec.mappings import is_workflow
from producer.spec.orders import BREADTH_FIRST, read_order
from producer.spec.overrides import apply_options, write_out
from producer.spec.parameters import (
    CALLS,
    PARAMETERS,
    REQUIRED,
    UNSET,
    integer,
)
from producer.spec.problems import Place, Problems, shown
from producer.spec.remarks import Remark
from producer.spec.samples import Sample, read_sample
from producer.spec.scores import ScoreEntry, read_scores
from producer.spec.stopping import (
    StopRules,
    read_gpu_hours,
    read_image_count,
    read_until,
)
from producer.spec.text_files import find_path
from producer.spec.wildcards import Wildcards
from producer.spec.yamltext import (
    Source,
    compose,
    folder_of,
    place_of,
    read_source,
    text_of,
)
from storage.errors import Problem, SpecError, UsageError

#: The most jobs of a sweep that sets no `limits.max_jobs`: a typing error in a range
#: should not fill the disk.
MAX_JOBS = 100_000
#: The most that `limits.max_jobs` may be.
LARGEST_MAX_JOBS = 10_000_000
#: Disk space to leave free where a sweep sets no `limits.min_free`.
MIN_FREE_BYTES = 1_000_000_000

_KEYS = (
    *("version", "name", "base", "axes", "exclude", "include", "scores", "limits"),
    *("wildcards", "order", "sample"),
)
#: What stops a sweep, by its key in `limits`.
_STOPS: Mapping[str, Callable[[str], Any]] = {
    "gpu_hours": read_gpu_hours,
    "until": read_until,
    "stop_after_jobs": read_image_count,
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_AXIS_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_ -]{0,63}")
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(MB|GB|TB)")
_UNIT_BYTES = {"MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A sweep as its file describes it.

    Attributes:
        name: The sweep's name.
        text: The YAML, as given, or as changed by options and by drawn seeds.
        folder: What relative paths are relative to.
        base: Parameters that are the same for every job, unless an axis sets them.
        places: Where each parameter of `base` was written.
        axes: In the order in which they are shown.
        exclude: Cells to leave out.
        include: Cells to add.
        scores: Metrics to compute, each once.
        max_jobs: The most jobs that the sweep may have.
        min_free_bytes: Disk space that must stay free.
        stop: What stops it before all is made.
        order: In which order it is made, of `producer.spec.orders`.
        sample: How many of its images are drawn; None for all of them.
        place: The start of the file.
        remarks: Warnings about texts that may be meant otherwise.
        table_digests: Of the tables that its axes read.
    """

    name: str
    text: str
    folder: Path
    base: Mapping[str, Any]
    places: Mapping[str, Place]
    axes: tuple[Axis, ...]
    exclude: tuple[ConditionEntry, ...]
    include: tuple[ConditionEntry, ...]
    scores: tuple[ScoreEntry, ...]
    max_jobs: int
    min_free_bytes: int
    stop: StopRules
    place: Place
    remarks: tuple[Remark, ...] = ()
    table_digests: tuple[str, ...] = ()
    order: str = BREADTH_FIRST
    sample: Sample | None = None

    @property
    def calls(self) -> list[str]:
        """Inputs that only some pipelines have, and that any part of it names."""
        named = {*self.base, *(name for axis in self.axes for name in axis.parameters)}
        for entry in (*self.exclude, *self.include):
            named.update(condition.key for condition in entry.conditions)
        return [name for name in CALLS if name in named]


def read_spec(
    source: Source, *, sets: Sequence[str] = (), axes: Sequence[str] = ()
) -> Spec:
    """Read a sweep file.

    Args:
        source: A YAML or JSON file, `-` for standard input, or a stored spec.
        sets: Values of `--set`, such as `base.width=768`.
        axes: Values of `--axis`, such as `steps=8,12,20`.

    Raises:
        SpecError: With everything that is wrong, in the order of the lines.
    """
    problems = Problems()
    spec = parse_spec(source, sets=sets, axes=axes, problems=problems)
    problems.check()
    return spec


def parse_spec(
    source: Source,
    *,
    sets: Sequence[str] = (),
    axes: Sequence[str] = (),
    problems: Problems,
) -> Spec:
    """Read what can be read of a sweep file; the rest becomes problems.

    Raises:
        SpecError: The file cannot be read as YAML at all.
    """
    name, text = read_source(source)
    root = compose(text, source=name)
    if not isinstance(root, MappingNode) or is_workflow(root):
        raise SpecError([Problem(where=name, message=_no_mapping(root))])
    flatten_calls(root, problems)
    if sets or axes:
        apply_options(root, sets=sets, axes=axes, problems=problems)
    if draw_seeds(root, problems) or sets or axes:
        text = write_out(root, sets=sets, axes=axes)
    place = Place("", 1, 1, name)
    return _Parser(root, problems, place).parse(text=text, folder=folder_of(source))


class _Parser:
    """Reads the sections of one spec, each on its own."""

    def __init__(self, root: MappingNode, problems: Problems, place: Place) -> None:
        self._sections = fields(root, problems, what="a sweep file", known=_KEYS)
        self._problems = problems
        self._place = place
        #: Sections that unknown keys are taken for.
        self._misspelt = list_meant(root, _KEYS)

    def parse(self, *, text: str, folder: Path) -> Spec:
        """Read all sections; leave out what is wrong, and note it."""
        self._check_version()
        max_jobs, min_free_bytes, stop = self._read_limits()
        reader = ValueReader(
            folder=folder,
            limit=max_jobs,
            problems=self._problems,
            wildcards=self._read_wildcards(folder, max_jobs),
        )
        base = self._read_base(reader)
        axes = self._read_axes(reader)
        self._check_required(base, axes)
        return Spec(
            name=self._read_name(),
            text=text,
            folder=folder,
            base=base,
            places={key: place_of(node) for key, node in self._fields("base")},
            axes=axes,
            exclude=self._read_entries("exclude", axes, reader),
            include=self._read_entries("include", axes, reader),
            scores=self._read_scores(),
            max_jobs=max_jobs,
            min_free_bytes=min_free_bytes,
            stop=stop,
            place=self._place,
            remarks=tuple(self._problems.remarks),
            table_digests=tuple(reader.table_digests),
            order=self._read_order(),
            sample=self._read_sample(),
        )

    def _fields(
        self,
        section: str,
        known: Sequence[str] | None = None,
        *,
        with_nulls: bool = False,
    ) -> Iterator[tuple[str, Node]]:
        node = self._sections.get(section)
        if node is not None:
            with self._problems.at(place_of(node)):
                found = fields(
                    node,
                    self._problems,
                    what=f"`{section}`",
                    known=known,
                    with_nulls=with_nulls,
                )
                yield from found.items()

    def _check_version(self) -> None:
        node = self._sections.get("version")
        if node is not None:
            with self._problems.at(place_of(node)):
                _parse_version(text_of(node, what="version"))

    def _read_name(self) -> str:
        node = self._sections.get("name")
        if node is None and "name" in self._misspelt:
            return ""
        if node is None:
            self._problems.add(
                self._place,
                "a sweep must have a name, got none; add a line such as "
                "`name: my-sweep`",
            )
            return ""
        try:
            return parse_name(text_of(node, what="name"))
        except UsageError as error:
            self._problems.add(place_of(node), str(error))
            return ""

    def _read_limits(self) -> tuple[int, int, StopRules]:
        max_jobs, min_free_bytes = MAX_JOBS, MIN_FREE_BYTES
        stops: dict[str, Any] = {}
        for key, node in self._fields("limits", ("max_jobs", "min_free", *_STOPS)):
            with self._problems.at(place_of(node)):
                text = text_of(node, what=key)
                if key == "max_jobs":
                    max_jobs = integer(key, 1, LARGEST_MAX_JOBS)(text)
                elif key == "min_free":
                    min_free_bytes = _parse_size(text)
                else:
                    stops[key] = _STOPS[key](text)
        return max_jobs, min_free_bytes, StopRules(**stops)

    def _read_wildcards(self, folder: Path, limit: int) -> Wildcards | None:
        node = self._sections.get("wildcards")
        if node is not None:
            with self._problems.at(place_of(node)):
                text = text_of(node, what="wildcards")
                path = find_path(folder, text, what="wildcards must be a folder")
                return Wildcards(path, limit, self._problems)
        return None

    def _read_base(self, reader: ValueReader) -> dict[str, Any]:
        base: dict[str, Any] = {}
        for parameter, node in self._fields("base", PARAMETERS, with_nulls=True):
            with self._problems.at(place_of(node)):
                base[parameter] = reader.read_one(parameter, node, what="`base`")
        return {name: value for name, value in base.items() if value is not UNSET}

    def _read_axes(self, reader: ValueReader) -> tuple[Axis, ...]:
        axes: list[Axis] = []
        written = dict(self._fields("axes", with_nulls=True))
        for name, node in written.items():
            with self._problems.at(place_of(node)):
                axis = reader.read_axis(name, node, others=written)
                if axis.name == name:
                    _check_axis_name(name)
                _check_overlap(axis, axes)
                if axis.values:
                    axes.append(axis)
        return tuple(axes)

    def _check_required(self, base: Mapping[str, Any], axes: Sequence[Axis]) -> None:
        sections = [self._sections.get(name) for name in ("base", "axes")]
        if any(node and not isinstance(node, MappingNode) for node in sections):
            return
        if not self._misspelt.isdisjoint(("base", "axes")):
            return
        written = {key.value for node in sections if node for key, _ in node.value}
        for node in sections:
            written |= list_meant(node, PARAMETERS)
        for parameter in REQUIRED:
            setting = [axis for axis in axes if parameter in axis.parameters]
            lacking = [
                v for axis in setting for v in axis.values if parameter not in v.sets
            ]
            if parameter in written or (setting and not lacking):
                continue
            self._problems.add(
                lacking[0].place if lacking else self._place,
                f"a sweep must have a {parameter}, got none; add `{parameter}` to "
                "`base` or to `axes`",
            )

    def _read_entries(
        self, section: str, axes: Sequence[Axis], reader: ValueReader
    ) -> tuple[ConditionEntry, ...]:
        if section not in self._sections:
            return ()
        node = self._sections[section]
        return read_entries(section, node, axes=axes, reader=reader)

    def _read_order(self) -> str:
        node = self._sections.get("order")
        if node is not None:
            with self._problems.at(place_of(node)):
                return read_order(text_of(node, what="order"))
        return BREADTH_FIRST

    def _read_sample(self) -> Sample | None:
        node = self._sections.get("sample")
        if node is not None:
            with self._problems.at(place_of(node)):
                return read_sample(node, self._problems)
        return None

    def _read_scores(self) -> tuple[ScoreEntry, ...]:
        node = self._sections.get("scores")
        return read_scores(node, self._problems) if node is not None else ()


def _no_mapping(root: Node | None) -> str:
    got = "an empty file"
    if isinstance(root, MappingNode):
        got = "a workflow of ComfyUI"
    elif root is not None:
        got = "a list" if isinstance(root.value, list) else "a single value"
    return (
        f"a sweep file must be a mapping with name, base and axes, got {got}; start "
        "from examples/first-sweep.yaml"
    )


def _parse_version(text: str) -> None:
    if text != "1":
        msg = f"version must be 1, got {shown(text)}; this nightsweep reads no other"
        raise UsageError(msg)


def parse_name(text: str) -> str:
    """Return the name of a sweep.

    Raises:
        UsageError: It cannot be one.
    """
    if not _NAME.fullmatch(text):
        msg = (
            "name must be 1 to 64 letters, digits, dots, hyphens or underscores and "
            f"start with a letter or digit, got {shown(text)}; it is a name, not a path"
        )
        raise UsageError(msg)
    return text


def _parse_size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        msg = f"min_free must be a size such as 20 GB, got {shown(text)}; add MB or GB"
        raise UsageError(msg)
    return int(Decimal(match[1]) * _UNIT_BYTES[match[2]])


def _check_axis_name(name: str) -> None:
    if name not in PARAMETERS and not _AXIS_NAME.fullmatch(name):
        msg = (
            "the name of an axis must be 1 to 64 letters, digits, blanks, hyphens or "
            f"underscores and start with a letter, got {shown(name)}; rename it"
        )
        raise UsageError(msg)


def _check_overlap(axis: Axis, others: Sequence[Axis]) -> None:
    for other in others:
        for parameter in axis.parameters:
            if parameter in other.parameters:
                msg = (
                    f"a parameter must be set by one axis, got {parameter} in "
                    f"`{other.name}` and in `{axis.name}`; remove it from one"
                )
                raise UsageError(msg)
