"""`quantize` as a sweep writes it: a scheme, or a scheme for each component."""

from yaml.nodes import MappingNode, Node

from producer.spec.entries import fields
from producer.spec.parameters import choice
from producer.spec.problems import Problems
from producer.spec.yamltext import text_of
from storage.catalogue.quantisation import (
    NETWORKS,
    SCHEMES,
    TEXT_ENCODERS,
    format_quantisation,
)
from storage.errors import UsageError

_parse = choice("quantize", *SCHEMES)


def read_quantisation(node: Node, problems: Problems) -> str:
    """Read how weights are quantised.

    Returns:
        A scheme alone, which is for the network, whatever a model calls it; or the text
        of `storage.catalogue.quantisation`.

    Raises:
        UsageError: It is neither.
    """
    if not isinstance(node, MappingNode):
        return str(_parse(text_of(node, what="quantize")))
    entry = fields(node, problems, what="`quantize`", known=(*NETWORKS, *TEXT_ENCODERS))
    if not entry:
        msg = (
            "quantize must name a scheme or components, got an empty mapping; write"
            " {transformer: int8}, or null for none"
        )
        raise UsageError(msg)
    return format_quantisation(
        {part: _parse(text_of(value, what=part)) for part, value in entry.items()}
    )
