"""Inputs that only some pipelines have, as a sweep file writes them under `call`."""

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from producer.spec.parameters import integer
from producer.spec.problems import Problems, shown
from producer.spec.yamltext import place_of, text_of
from storage.catalogue.pipeline_calls import PREFIX, all_parameters, bounds_of
from storage.errors import UsageError

#: The key under which they are written together.
KEY = PREFIX.removesuffix(".")
#: Sections of a sweep file that set parameters.
_SECTIONS = frozenset({"base", "axes", "exclude", "include"})


def flatten_calls(root: MappingNode, problems: Problems) -> None:
    """Write `call: {name: value}` as `call.name: value`, in all places alike.

    Args:
        root: The whole spec; changed in place.
        problems: Where keys that are written in both ways are noted.
    """
    for key, section in root.value:
        if key.value in _SECTIONS:
            _flatten(section, problems)


def _flatten(node: Node, problems: Problems) -> None:
    if isinstance(node, SequenceNode):
        for each in node.value:
            _flatten(each, problems)
    if not isinstance(node, MappingNode):
        return
    names = {key.value for key, _ in node.value}
    flat: list[tuple[Node, Node]] = []
    for key, value in node.value:
        if key.value != KEY or not _holds_names(value):
            _flatten(value, problems)
            flat.append((key, value))
            continue
        for inner, given in value.value:
            name = f"{PREFIX}{inner.value}"
            if name in names:
                msg = f"a key must appear once, got `{shown(name)}` again; remove one"
                problems.add(place_of(inner), f"{msg} of the two")
            names.add(name)
            marks = (inner.start_mark, inner.end_mark)
            flat.append((ScalarNode(key.tag, name, *marks), given))
    node.value = flat


def _holds_names(node: Node) -> bool:
    """Return whether a value of `call` holds parameters: an axis may be called so."""
    return isinstance(node, MappingNode) and all(
        k.value != "set" for k, _ in node.value
    )


def read_integers(name: str, node: Node) -> tuple[int, ...]:
    """Read a list of whole numbers.

    Raises:
        UsageError: It is none, has another length, or a number is out of bounds.
    """
    length = all_parameters()[name].length
    if not isinstance(node, SequenceNode) or len(node.value) != (
        length or len(node.value) or 1
    ):
        many = f"a list of {length} integers" if length else "a list of integers"
        got = _shown(node)
        example = f"[{', '.join(['512', '768', '1024'][: length or 3])}]"
        msg = (
            f"{name} must be {many}, got {got}; write it in brackets, such as {example}"
            f", and several such lists under `axes` as [{example}, ...]"
        )
        raise UsageError(msg)
    low, high = bounds_of(name, "integers")
    parse = integer(f"each number of {name}", low, high)
    return tuple(parse(text_of(each, what=name)) for each in node.value)


def _shown(node: Node) -> str:
    if isinstance(node, SequenceNode):
        return f"{len(node.value)} values"
    return shown(node.value) if isinstance(node, ScalarNode) else "a mapping"
