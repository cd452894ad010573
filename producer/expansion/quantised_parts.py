"""The components of a model that `quantize` can name."""

from collections.abc import Mapping
from typing import Any

from producer.models.cards import ModelCard
from storage.catalogue.quantisation import (
    NETWORKS,
    TEXT_ENCODERS,
    format_quantisation,
)

QUANTIZE = "quantize"


def quantised_parts(card: ModelCard) -> list[str]:
    """Return those components, the network first; none where they are not known."""
    index = card.located.index if card.located else {}
    return [part for part in (*NETWORKS, *TEXT_ENCODERS) if index.get(part)]


def name_network(parameters: Mapping[str, Any], card: ModelCard) -> dict[str, str]:
    """Return `quantize` with the component that a scheme alone is meant for."""
    scheme = parameters.get(QUANTIZE)
    if not isinstance(scheme, str) or not scheme or "=" in scheme:
        return {}
    network = next(iter(quantised_parts(card)), NETWORKS[0])
    return {QUANTIZE: format_quantisation({network: scheme})}
