"""What a score depends on besides its image: the metric and its network's files."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.errors import FingerprintError, MetricError, ModelError
from storage.job import canonical_json
from storage.metrics.kinds import KINDS, MetricKind, Needs
from storage.metrics.own_classes import find_class, resolve_source
from storage.models.fingerprint import Digests, fingerprint
from storage.models.located import Located
from storage.models.networks import locate_network

#: The file, or either of two, that prepares images or reads texts.
_FOR_IMAGES = {"preprocessor_config.json", "processor_config.json"}
_FOR_TEXTS = {"tokenizer.json", "vocab.json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The network of a metric, and what prepares its input, often the same folder."""

    network: Located
    processor: Located

    @property
    def places(self) -> Sequence[Located]:
        """Both, or the one that is both."""
        if self.processor == self.network:
            return [self.network]
        return [self.network, self.processor]


def find_kind(name: str, *, base_dir: Path | None = None) -> MetricKind:
    """Return what is known of a metric without loading it.

    For a user's own metric, this runs the module of its class.

    Args:
        name: A built-in metric, or what `find_class` takes; a file may be relative.
        base_dir: Folder that a relative file starts from; None for the current one.

    Raises:
        MetricError: There is no such metric, or its class is not one.
    """
    if kind := KINDS.get(name):
        return kind
    source = resolve_source(name, base_dir or Path.cwd())
    own = find_class(source)
    return MetricKind(
        name=own.name,
        version=own.version,
        higher_is_better=own.higher_is_better,
        needs_reference=own.needs_reference,
        source=source,
    )


def find_networks(kind: MetricKind, model: str, *, download: bool) -> Found | None:
    """Find the network of a metric; None for a metric without one.

    Args:
        kind: The metric.
        model: As `resolve_network` or `default_network` returns it; empty for a
            metric without one.
        download: Whether weights are fetched too.

    Raises:
        ModelError: It cannot be found, or is not of the kind that the metric needs.
        MetricError: The metric takes no model, or needs one.
    """
    if kind.needs is None:
        if model:
            msg = f"the metric {kind.name} takes no model, got {model}; leave it out"
            raise MetricError(msg)
        return None
    network = locate_network(model, types=kind.needs.types, download=download)
    if _prepares(network, kind.needs):
        return Found(network=network, processor=network)
    if kind.needs.processor is None:
        tokenizer = " and tokenizer.json" if kind.needs.reads_text else ""
        msg = (
            f"{network.name} must have preprocessor_config.json{tokenizer} for the"
            f" metric {kind.name}; restore what is missing from where the model came"
        )
        raise ModelError(msg)
    processor = locate_network(
        kind.needs.processor, types=(), weights=False, download=download
    )
    return Found(network=network, processor=processor)


def identify(kind: MetricKind, model: str, *, digests: Digests) -> str:
    """Return the fingerprint of the network of a metric, without torch.

    Args:
        kind: The metric.
        model: As for `find_networks`.
        digests: Where digests are remembered.

    Returns:
        32 hex digits; empty for a metric without a network.

    Raises:
        ModelError: It cannot be found or read.
        MetricError: The metric takes no model, or needs one.
    """
    found = find_networks(kind, model, download=False)
    return fingerprint_of(found, digests=digests) if found else ""


def fingerprint_of(found: Found, *, digests: Digests) -> str:
    """Return the fingerprint of a network and, if it is elsewhere, of its processor.

    Raises:
        ModelError: A file cannot be read.
    """
    prints = [fingerprint(each, digests) for each in found.places]
    if len(prints) == 1:
        return prints[0]
    return hashlib.sha256(canonical_json(prints).encode()).hexdigest()[:32]


def verify_networks(found: Found, planned: str, *, digests: Digests) -> None:
    """Refuse a network whose files are not those that a score was planned with.

    Raises:
        FingerprintError: The fingerprint is not `planned`.
        ModelError: A file cannot be read.
    """
    current = fingerprint_of(found, digests=digests)
    if current != planned:
        msg = (
            f"{found.network.name} must have the files that the scores were planned"
            f" with, fingerprint {planned}, but has {current}; restore them, or ask for"
            " the scores again to use the new ones"
        )
        raise FingerprintError(msg)


def _prepares(network: Located, needs: Needs) -> bool:
    files = set(network.files)
    has_texts = not needs.reads_text or bool(files & _FOR_TEXTS)
    return has_texts and bool(files & _FOR_IMAGES)
