"""Entries of mappings and lists; unknown keys, and what to write instead."""

from collections.abc import Collection, Mapping

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from producer.spec.habits import meant, renamed, way_out_of_key
from producer.spec.mappings import as_one_name
from producer.spec.problems import Problems, WayOut, shown, told_at
from producer.spec.yamltext import is_null, place_of
from storage.errors import UsageError


def fields(
    node: Node,
    problems: Problems,
    *,
    what: str,
    known: Collection[str] | None = None,
    with_nulls: bool = False,
) -> dict[str, Node]:
    """Return a mapping's entries; unknown keys become problems and are left out.

    A key in another program's words is read under its name here, so that mistakes in
    its value are reported as well.

    Args:
        node: A mapping.
        problems: Where unknown keys are noted.
        what: How messages call the mapping.
        known: The keys it may have; None for any.
        with_nulls: Whether an entry may be `null`; else such an entry is left out.

    Raises:
        UsageError: `node` is not a mapping.
    """
    if not isinstance(node, MappingNode):
        kind = "list" if isinstance(node, SequenceNode) else "single value"
        msg = f"{what} must be a mapping such as `name: value`, got a {kind}"
        raise UsageError(msg)
    entry = {key.value: value for key, value in node.value}
    found: dict[str, Node] = {}
    for key, value in node.value:
        name = key.value
        if known is not None and name not in known:
            way_out = _way_out(name, entry, known)
            place = place_of(key)
            message = f"{what} has no key `{shown(name)}`; {told_at(place, way_out)}"
            problems.add(place, message)
            name = renamed(name, known)
            if name in entry:
                continue
        if name and (with_nulls or not is_null(value)):
            found[name] = value
    return found


def list_meant(node: Node | None, known: Collection[str]) -> set[str]:
    """Return the known keys that a mapping's unknown keys are taken for."""
    if not isinstance(node, MappingNode):
        return set()
    unknown = [key.value for key, _ in node.value if key.value not in known]
    return {near for name in unknown if (near := meant(str(name), known))}


def items(node: Node) -> list[Node]:
    """Return the entries of a list; a single value stands for a list of one."""
    return list(node.value) if isinstance(node, SequenceNode) else [node]


def way_out_of_double(name: str, others: Mapping[str, Node], here: str) -> str:
    """Return what to do with a key whose name here is also a key of its mapping."""
    pair = (others[name], others[here])
    if here != "scheduler":
        return (
            f"it is called `{here}` here, which is there already; remove one of the two"
        )
    if all(isinstance(node, ScalarNode) for node in pair):
        return as_one_name(*(str(node.value) for node in pair))
    return "write both as one name, such as dpmpp_2m_karras"


def _way_out(
    name: str, entry: Mapping[str, Node], known: Collection[str]
) -> str | WayOut:
    if "|" in name:
        return "a text that starts with a brace needs quotes around it"
    here = renamed(name, known)
    if here and here in entry:
        return way_out_of_double(name, entry, here)
    return way_out_of_key(name, known)
