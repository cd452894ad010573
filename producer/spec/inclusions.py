"""Combinations that are added to a stored spec, as entries of `include`."""

import re
from collections.abc import Mapping, Sequence

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from producer.spec.entries import items
from producer.spec.yamltext import StoredSpec, compose
from storage.errors import UsageError

_INCLUDE = "include"
_TAG = "tag:yaml.org,2002:"
# What needs no quotes, though YAML takes it for more than a text.
_PLAIN = re.compile(r"[\w.+~-]+")


def with_included(stored: StoredSpec, entries: Sequence[str]) -> StoredSpec:
    """Return a spec with more entries of `include`; those that it has stay.

    Args:
        stored: The spec.
        entries: Each a YAML mapping, such as `{scheduler: ddim, steps: 8}`. Reading the
            spec finds what is wrong with them.

    Raises:
        SpecError: An entry is not YAML.
        UsageError: An entry is no mapping.
    """
    root = compose(stored.text, source=stored.name)
    if not isinstance(root, MappingNode) or not entries:
        return stored
    before = next((node for key, node in root.value if key.value == _INCLUDE), None)
    every = [*(items(before) if before else ()), *map(_read, entries)]
    different = {yaml.serialize(node, allow_unicode=True): node for node in every}
    root.value = [
        *((key, node) for key, node in root.value if key.value != _INCLUDE),
        (
            ScalarNode(f"{_TAG}str", _INCLUDE),
            SequenceNode(f"{_TAG}seq", [*different.values()]),
        ),
    ]
    text = str(yaml.serialize(root, allow_unicode=True))
    return StoredSpec(name=stored.name, text=text, folder=stored.folder)


def write_entry(values: Mapping[str, Sequence[str]]) -> str:
    """Return an entry of `include` that names some values of parameters, as YAML."""
    pairs = [
        (_scalar(name), SequenceNode(f"{_TAG}seq", [*map(_scalar, some)]))
        for name, some in values.items()
    ]
    entry = MappingNode(f"{_TAG}map", pairs, flow_style=True)
    return str(yaml.serialize(entry, allow_unicode=True, width=float("inf"))).strip()


def _read(entry: str) -> Node:
    node = compose(entry, source=f"--include {entry}")
    if not isinstance(node, MappingNode):
        msg = (
            f"--include must name parameters with their values, got {entry!r}; write "
            "`{scheduler: ddim, steps: 8}`."
        )
        raise UsageError(msg)
    return node


def _scalar(text: str) -> ScalarNode:
    """Return a text as a person would write it: 8 without quotes, "8:30" with them."""
    resolver = yaml.SafeLoader("")
    plain = resolver.resolve(ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return ScalarNode(plain if _PLAIN.fullmatch(text) else f"{_TAG}str", text)
