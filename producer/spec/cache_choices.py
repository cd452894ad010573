"""`cache` as a sweep writes it: a name, or a name with its options."""

from collections.abc import Mapping

from yaml.nodes import MappingNode, Node

from producer.spec.entries import fields
from producer.spec.parameters import choice, integer, number
from producer.spec.problems import Problems, shown
from producer.spec.yamltext import is_null, text_of
from storage.catalogue.caches import CACHES, Number, format_cache
from storage.errors import UsageError

_parse = choice("cache", *CACHES)


def read_cache(node: Node, problems: Problems) -> str:
    """Read a cache: `NAME`, `{NAME: NUMBER}` or `{NAME: {OPTION: NUMBER}}`.

    Returns:
        The text of `storage.catalogue.caches`.

    Raises:
        UsageError: It is none of these.
    """
    if not isinstance(node, MappingNode):
        return format_cache(_parse(text_of(node, what="cache")), {})
    if len(node.value) != 1:
        got = shown(", ".join(str(key.value) for key, _ in node.value)) or "none"
        msg = (
            f"cache must name one cache, got {got}; write one, such as"
            " {first_block: 0.05}"
        )
        raise UsageError(msg)
    key, value = node.value[0]
    name = _parse(str(key.value))
    return format_cache(name, _read_options(name, value, problems))


def _read_options(name: str, node: Node, problems: Problems) -> Mapping[str, Number]:
    if is_null(node):
        return {}
    known = CACHES[name].options
    if not isinstance(node, MappingNode):
        first = next(iter(known))
        return {first: _read_number(name, first, node)}
    entry = fields(node, problems, what=f"the cache {name}", known=known)
    return {
        option: _read_number(name, option, child) for option, child in entry.items()
    }


def _read_number(name: str, option: str, node: Node) -> Number:
    known, what = CACHES[name].options[option], f"{option} of the cache {name}"
    parse = number(what, known.low, known.high)
    if known.is_whole:
        parse = integer(what, int(known.low), int(known.high))
    found: Number = parse(text_of(node, what=what))
    return found
