"""Seeds that are drawn for a sweep: `{random: 4}`, or `{random: 4, of: 8}`.

They are drawn from the sweep's name, so that `plan` and `submit` draw the same, and
numbers take their place in the spec, so that a stored sweep keeps them.
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from contextlib import suppress

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from producer.spec.entries import fields, items
from producer.spec.problems import Problems
from producer.spec.ranges import read_integer, read_range
from producer.spec.yamltext import place_of
from storage.errors import UsageError

#: The most seeds that one entry draws; each is written down in the spec.
MOST_DRAWN = 100_000
#: Seeds are below this where `of` says nothing: 32 bits, as in most programs.
BELOW = 2**32
_INTEGER = "tag:yaml.org,2002:int"
_LIST = "tag:yaml.org,2002:seq"


def draw_seeds(root: MappingNode, problems: Problems) -> bool:
    """Put numbers in the place of all seeds of `base` and `axes` that are to be drawn.

    Args:
        root: The whole spec; changed in place.
        problems: Where mistakes are noted; a mistake leaves seed 0 in its place.

    Returns:
        Whether there were any.
    """
    sections = {key.value: node for key, node in root.value}
    name = sections.get("name")
    drawer = _Drawer(name.value if isinstance(name, ScalarNode) else "", problems)
    is_any = False
    for section in ("base", "axes"):
        node = sections.get(section)
        pairs = node.value if isinstance(node, MappingNode) else []
        for index, (key, value) in enumerate(pairs):
            if key.value == "seed" and any(map(_is_drawn, items(value))):
                pairs[index] = (key, drawer.replace(value))
                is_any = True
    return is_any


def refuse_drawn(parameter: str, node: MappingNode) -> None:
    """Refuse seeds that are to be drawn elsewhere than in `base` and `axes`.

    Raises:
        UsageError: They are.
    """
    if parameter == "seed" and _is_drawn(node):
        msg = (
            "seeds are drawn in `base` and `axes` only, got `random` elsewhere; write "
            "numbers here"
        )
        raise UsageError(msg)


def draw(name: str, count: int, *, below: int, taken: Iterable[int] = ()) -> list[int]:
    """Draw seeds; a larger count draws the same ones, and more.

    Args:
        name: What they are drawn from. Results depend on this function: never change
            which seeds it draws.
        count: How many, all different.
        below: The seeds are 0 or more, and less than this.
        taken: Seeds that are not drawn.

    Raises:
        UsageError: There are fewer seeds than that.
    """
    seen = {seed for seed in taken if seed < below}
    free = below - len(seen)
    if count > free:
        msg = (
            f"random must be at most the number of seeds to draw from, {free}, got "
            f"{count}; lower it or raise `of`"
        )
        raise UsageError(msg)
    seeds: list[int] = []
    numbers = _numbers(name)
    while len(seeds) < count:
        seed = next(numbers) % below
        if seed not in seen:
            seen.add(seed)
            seeds.append(seed)
    return seeds


def _numbers(name: str) -> Iterator[int]:
    for index in itertools.count():
        digest = hashlib.sha256(f"{name}\n{index}".encode()).digest()
        yield int.from_bytes(digest)


class _Drawer:
    """Draws the seeds of one sweep."""

    def __init__(self, name: str, problems: Problems) -> None:
        self._name = name
        self._problems = problems

    def replace(self, node: Node) -> Node:
        """Return a list of seeds in which numbers are in the place of drawn ones."""
        entries = items(node)
        taken = set(itertools.chain.from_iterable(map(_seeds_of, entries)))
        written: list[Node] = []
        for entry in entries:
            if not _is_drawn(entry):
                written.append(entry)
                continue
            seeds = [0]
            with self._problems.at(place_of(entry)):
                seeds = self._draw(entry, taken)
            taken.update(seeds)
            marks = (entry.start_mark, entry.end_mark)
            written += [ScalarNode(_INTEGER, str(seed), *marks) for seed in seeds]
        if len(written) == 1:
            return written[0]
        marks = (node.start_mark, node.end_mark)
        return SequenceNode(_LIST, written, *marks, flow_style=True)

    def _draw(self, node: Node, taken: set[int]) -> list[int]:
        entry = fields(node, self._problems, what="drawn seeds", known=("random", "of"))
        if "random" not in entry:
            msg = "random must have a value, got null; write how many seeds to draw"
            raise UsageError(msg)
        count = read_integer(entry["random"], "random", low=1, high=MOST_DRAWN)
        below = BELOW
        if "of" in entry:
            below = read_integer(entry["of"], "of", low=1, high=2**63)
        return draw(self._name, count, below=below, taken=taken)


def _is_drawn(node: Node) -> bool:
    return isinstance(node, MappingNode) and any(
        key.value == "random" for key, _ in node.value
    )


def _seeds_of(node: Node) -> Iterable[int]:
    """Return the seeds that an entry names, for what can be read of it."""
    if isinstance(node, ScalarNode) and node.value.isdecimal():
        return [int(node.value)]
    if isinstance(node, MappingNode) and not _is_drawn(node):
        with suppress(UsageError):
            return read_range("seed", node, Problems(), limit=MOST_DRAWN)
    return []
