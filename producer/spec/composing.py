"""YAML text to nodes, within limits that no real sweep reaches.

An alias stands for all nodes of its anchor. A few hundred bytes of aliases of aliases
stand for millions of nodes, so nodes are counted while the text is read.
"""

from typing import NamedTuple, NoReturn, cast

import yaml
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, SequenceNode

#: Levels of lists and mappings inside each other; the deepest value of a sweep file,
#: an option of a scheduler, is on the seventh.
MOST_LEVELS = 20
#: The most nodes that all aliases of a file together may stand for.
MOST_REPEATED = 100_000


class LimitError(yaml.MarkedYAMLError):
    """YAML beyond a limit; `problem` is the whole sentence."""


class _Size(NamedTuple):
    nodes: int
    levels: int


class LimitedLoader(yaml.SafeLoader):
    """Composes nodes; stops where they are nested or repeated too much.

    Tabs between the values of braces and brackets are blanks, as in YAML 1.2 and JSON.
    """

    def __init__(self, text: str) -> None:
        """Take the text.

        Raises:
            yaml.YAMLError: It holds a character that YAML does not allow.
        """
        super().__init__(text)
        self._level = self._repeated = 0
        self._sizes: dict[int, _Size] = {}

    def scan_to_next_token(self) -> None:
        """Skip blanks and comments, and tabs inside braces and brackets."""
        super().scan_to_next_token()
        while self.flow_level and self.peek() == "\t":
            self.forward()
            super().scan_to_next_token()

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """Compose a node, and all below it.

        Raises:
            LimitError: It is nested too deep, or an alias stands for too many nodes.
        """
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self._level += 1
        self._check_level(self._level, event)
        node: Node | None = super().compose_node(parent, index)
        self._level -= 1
        if isinstance(event, AliasEvent):
            # The size of a node that holds itself is not known; it is refused later.
            size = self._sizes.get(id(node), _Size(1, 1))
            self._check_level(self._level + size.levels, event)
            self._count(size.nodes, event)
        elif node is not None:
            self._sizes[id(node)] = self._measure(node)
        return node

    def _measure(self, node: Node) -> _Size:
        children: list[Node] = []
        if isinstance(node, MappingNode):
            children = [each for pair in node.value for each in pair]
        elif isinstance(node, SequenceNode):
            children = node.value
        sizes = [self._sizes.get(id(child), _Size(1, 1)) for child in children]
        return _Size(
            nodes=1 + sum(size.nodes for size in sizes),
            levels=1 + max((size.levels for size in sizes), default=0),
        )

    def _check_level(self, level: int, event: yaml.Event) -> None:
        if level > MOST_LEVELS:
            _refuse(
                f"a sweep file must be nested at most {MOST_LEVELS} levels deep, got "
                "more; write the value with fewer brackets",
                event,
            )

    def _count(self, nodes: int, event: AliasEvent) -> None:
        self._repeated += nodes
        if self._repeated > MOST_REPEATED:
            _refuse(
                f"aliases must stand for at most {MOST_REPEATED} values in all, got "
                f"more with *{event.anchor}; use fewer, or write the values out",
                event,
            )


def _refuse(problem: str, event: yaml.Event) -> NoReturn:
    # The mark is from the Python loader, not from libyaml's.
    mark = cast("yaml.Mark", event.start_mark)
    raise LimitError(problem=problem, problem_mark=mark)
