"""The values of an axis: scalars, lists, ranges, files, names and bundles."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from yaml.nodes import MappingNode, Node, SequenceNode

from producer.spec.cache_choices import read_cache
from producer.spec.calls import read_integers
from producer.spec.choices import optional_text, read_model, read_scheduler
from producer.spec.control_nets import read_control_nets
from producer.spec.drawn_seeds import refuse_drawn
from producer.spec.entries import fields, items, way_out_of_double
from producer.spec.habits import renamed, way_out_of_key
from producer.spec.input_images import read_input
from producer.spec.mappings import refuse_foreign
from producer.spec.numerals import draw_instead
from producer.spec.parameters import (
    LISTS,
    NUMBERS,
    PARAMETERS,
    PARSERS,
    REQUIRED,
    UNSET,
    WEIGHTS,
    SchedulerChoice,
    Unset,
)
from producer.spec.problems import Place, Problems, as_axis, shown, told_at
from producer.spec.quantisations import read_quantisation
from producer.spec.ranges import read_range
from producer.spec.remarks import remark_on_null_seed
from producer.spec.schedules import read_schedule
from producer.spec.table_values import TableReader
from producer.spec.tables import is_table
from producer.spec.texts import TextReader
from producer.spec.weight_files import read_embeddings, read_loras
from producer.spec.wildcards import Wildcards
from producer.spec.yamltext import is_null, place_of, text_of
from storage.errors import UsageError

_WEIGHT_READERS: Mapping[str, Callable[..., object]] = {
    "loras": read_loras,
    "embeddings": read_embeddings,
    "controlnet": read_control_nets,
}
#: Parameters that name an image.
_IMAGES = ("image", "control_image")
#: Parameters that a job goes without where they are null.
_LEFT_OUT = frozenset({*_IMAGES, "schedule", "quantize", "cache"})


@dataclass(frozen=True, slots=True)
class Value:
    """One point of an axis: the parameters that it sets.

    Attributes:
        sets: Parameter to value, in the order written.
        place: Where it was written.
        label: The sweep's own name for it, where it gave one.
    """

    sets: Mapping[str, Any]
    place: Place
    label: str | None = None


@dataclass(frozen=True, slots=True)
class RangeValues(Collection[Value]):
    """The values of one range of whole numbers, each made on demand.

    Attributes:
        name: The parameter that the values set.
        numbers: All numbers of the range; there may be millions.
        place: Where the range was written.
    """

    name: str
    numbers: range
    place: Place

    def __len__(self) -> int:
        """Count the values."""
        return len(self.numbers)

    def __iter__(self) -> Iterator[Value]:
        """Make the values one at a time."""
        return (Value({self.name: number}, self.place) for number in self.numbers)

    def __contains__(self, value: object) -> bool:
        """Return whether the range has an equal value."""
        return any(value == each for each in self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A named list of values, in the order in which they are shown.

    Attributes:
        name: A parameter, or any name where all values are bundles.
        parameters: All parameters that any of the values sets.
        values: At least one.
        labelled: The values that have a label, by label.
        place: Where it was written.
    """

    name: str
    parameters: tuple[str, ...]
    values: Collection[Value]
    labelled: Mapping[str, Value] = field(default_factory=dict)
    place: Place


@dataclass(slots=True)
class Count:
    """A count of values as they are read; too many are refused.

    Attributes:
        what: What the values belong to, for the message.
        most: How many values there may be.
        is_of_jobs: Whether each makes jobs, so that `limits.max_jobs` decides.
        values: How many were read so far.
    """

    what: str
    most: int
    is_of_jobs: bool = True
    values: int = 0

    @property
    def is_over(self) -> bool:
        """Whether there are too many."""
        return self.values > self.most

    def add(self, values: int) -> None:
        """Count more values.

        Raises:
            UsageError: There are too many.
        """
        self.values += values
        if self.is_over:
            limit, way_out = " (limits.max_jobs)", " or raise the limit"
            if not self.is_of_jobs:
                limit, way_out = "", ", or leave them out of the axes"
            msg = (
                f"{self.what} must name at most {self.most} values{limit}, got more; "
                f"name fewer{way_out}"
            )
            raise UsageError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueReader:
    """Reads values; knows where files are, and how many values are too many.

    Attributes:
        folder: What relative paths are relative to.
        limit: The most jobs that the sweep may have, so the most values too.
        problems: Where mistakes inside a value are noted.
        wildcards: What `__name__` in a prompt stands for; None for plain text.
        table_digests: Of the tables read so far.
    """

    folder: Path
    limit: int
    problems: Problems
    wildcards: Wildcards | None = None
    table_digests: list[str] = field(default_factory=list)

    @property
    def _texts(self) -> TextReader:
        return TextReader(
            folder=self.folder,
            limit=self.limit,
            problems=self.problems,
            wildcards=self.wildcards,
        )

    def read_axis(self, name: str, node: Node, *, others: Mapping[str, Node]) -> Axis:
        """Read all values of the axis `name`; wrong ones become problems.

        Args:
            name: As written. Another program's name for a parameter is reported, but
                read all the same.
            node: Its values.
            others: All axes.

        Raises:
            UsageError: The axis has no values or too many, or its name allows bundles
                only.
        """
        entries = items(node)
        if not entries:
            msg = (
                f"an axis must have at least one value, got an empty list for {name}; "
                "add values or remove the axis"
            )
            raise UsageError(msg)
        if name not in PARAMETERS and not all(map(_sets_several, entries)):
            name = self._named_here(name, node, others)
        read: list[Collection[Value]] = []
        count = Count(f"the axis {name}", self.limit)
        for entry in entries:
            before = len(read)
            with self.problems.at(place_of(entry)):
                read.append(self._read_entry(name, entry))
            count.add(sum(map(len, read[before:])))
        if len(read) == 1 and isinstance(read[0], RangeValues):
            return Axis(
                name=name, parameters=(name,), values=read[0], place=place_of(node)
            )
        values = [value for each in read for value in each]
        labelled = self._check_labels(values)
        names = dict.fromkeys(key for value in values for key in value.sets)
        return Axis(
            name=name,
            parameters=tuple(names) or (name,),
            values=tuple(values),
            labelled=labelled,
            place=place_of(node),
        )

    def read_one(self, parameter: str, node: Node, *, what: str) -> Any:
        """Read the single value of a parameter.

        Raises:
            UsageError: It is wrong, or several values.
        """
        if isinstance(node, SequenceNode) and parameter not in {*LISTS, *WEIGHTS}:
            got = "a list"
        else:
            first, *others = self.read_values(parameter, node)
            if not others and not is_set(first):
                return first
            got = f"{len(others) + 1} values" if others else shown(first.written)
        option, way_out = place_of(node).option, "move it to `axes`"
        if option.startswith("--set base."):
            way_out = f"write {as_axis(parameter, option.partition('=')[2])}"
        msg = f"{parameter} must be one value in {what}, got {got}; {way_out}"
        raise UsageError(msg)

    def read_values(self, parameter: str, node: Node) -> Sequence[Any]:
        """Read one entry of a list of values; a range or a prompt gives several.

        Raises:
            UsageError: It is wrong.
        """
        if is_null(node):
            if parameter == "seed":
                place = place_of(node)
                advice = told_at(place, draw_instead("and no seed is drawn; "))
                self.problems.remarks.append(remark_on_null_seed(place, advice))
            return [_unset(parameter)]
        if isinstance(node, MappingNode):
            refuse_foreign(parameter, node)
            refuse_drawn(parameter, node)
        if parameter == "prompt":
            return self._texts.read_prompts(node)
        if parameter in _IMAGES:
            return [read_input(parameter, node, self.folder, self.problems)]
        if read := self._own_forms.get(parameter):
            return [read(node)]
        if parameter in {*LISTS, *WEIGHTS}:
            return [self._read_list(parameter, node)]
        if isinstance(node, MappingNode) and parameter in NUMBERS:
            return read_range(parameter, node, self.problems, limit=self.limit)
        return [PARSERS[parameter](text_of(node, what=parameter))]

    @property
    def _own_forms(self) -> Mapping[str, Callable[[Node], Any]]:
        """What reads the values of parameters with a form of their own."""
        return {
            "negative_prompt": lambda node: self._texts.read_text(
                "negative_prompt", node
            ),
            "model": lambda node: read_model(node, self.problems),
            "scheduler": lambda node: read_scheduler(node, self.problems),
            "schedule": lambda node: read_schedule(node, self.problems),
            "quantize": lambda node: read_quantisation(node, self.problems),
            "cache": lambda node: read_cache(node, self.problems),
        }

    def _read_list(self, parameter: str, node: Node) -> object:
        if parameter in LISTS:
            return read_integers(parameter, node)
        read = _WEIGHT_READERS[parameter]
        return read(node, folder=self.folder, problems=self.problems)

    def _named_here(self, name: str, node: Node, others: Mapping[str, Node]) -> str:
        here = renamed(name, PARAMETERS)
        hint = told_at(place_of(node), way_out_of_key(name, PARAMETERS))
        is_double = here is not None and here in others
        if here and is_double:
            hint = way_out_of_double(name, others, here)
        more = self.problems.once(
            " (only an axis of `{label, set}` bundles may have any name)"
        )
        msg = (
            f"an axis must be named for a parameter, got `{shown(name)}`; {hint}{more}"
        )
        if here is None or is_double:
            raise UsageError(msg)
        self.problems.add(place_of(node), msg)
        return here

    def _read_entry(self, name: str, node: Node) -> Collection[Value]:
        place = place_of(node)
        if _is_bundle(node):
            return [self._read_bundle(name, node)]
        if is_table(node):
            return self._read_table(name, node)
        values = self.read_values(name, node)
        if isinstance(values, range):
            return RangeValues(name, values, place)
        return [Value({name: one}, place, _label_of(name, one)) for one in values]

    def _read_bundle(self, name: str, node: Node) -> Value:
        entry = fields(node, self.problems, what="a bundle", known=("label", "set"))
        sets: dict[str, Any] = {}
        inner: dict[str, Node] = {}
        if "set" in entry:
            inner = fields(
                entry["set"],
                self.problems,
                what="`set` of a bundle",
                known=PARAMETERS,
                with_nulls=True,
            )
        for parameter, child in inner.items():
            with self.problems.at(place_of(child)):
                sets[parameter] = self.read_one(parameter, child, what="a bundle")
        if not inner or (name in PARAMETERS and name not in inner):
            needed = name if name in PARAMETERS else "at least one parameter"
            msg = (
                f"a bundle of the axis {name} must set {needed}, got "
                f"{', '.join(inner) or 'nothing'}; name it under `set`"
            )
            raise UsageError(msg)
        return Value(sets, place_of(node), optional_text(entry, "label"))

    def _read_table(self, name: str, node: Node) -> list[Value]:
        reader = TableReader(
            axis=name,
            folder=self.folder,
            limit=self.limit,
            problems=self.problems,
            read_cell=partial(self.read_one, what="a row"),
            read_prompts=partial(self.read_values, "prompt"),
        )
        bundles, digest = reader.read(node)
        self.table_digests.append(digest)
        return [Value(*bundle) for bundle in bundles]

    def _check_labels(self, values: list[Value]) -> dict[str, Value]:
        """Return the values that have a label, by label."""
        used: dict[str, Value] = {}
        for value in values:
            if value.label is None:
                continue
            if value.label in used:
                self.problems.add(
                    value.place,
                    f"a label must be used once in an axis, got {value.label} again; "
                    "rename one of the two",
                )
            used.setdefault(value.label, value)
        return used


def _is_bundle(node: Node) -> bool:
    return isinstance(node, MappingNode) and any(
        k.value == "set" for k, _ in node.value
    )


def _sets_several(node: Node) -> bool:
    return _is_bundle(node) or is_table(node)


def _label_of(name: str, value: object) -> str | None:
    """Return how a value is called, if not as it is written."""
    if value is UNSET and name in _LEFT_OUT:
        return "none"
    if name == "quantize":  # each model has its own word for the network
        return str(value)
    return getattr(value, "label", None)


def _unset(parameter: str) -> Unset:
    if parameter in REQUIRED:
        msg = (
            f"{parameter} must have a value, got null, and has no default; write one, "
            "or put quotes around a text"
        )
        raise UsageError(msg)
    return UNSET


def is_set(value: object) -> bool:
    """Return whether a value stands for several schedulers, such as `all`."""
    return isinstance(value, SchedulerChoice) and value.is_set
