"""Metrics as people request them, by name, and what the name means for an image."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from producer.spec.problems import Problems, shown
from producer.spec.scores import REFERENCE_RANGE, refuse_unknown
from producer.spec.sweepfile import Spec
from storage.errors import MetricError, NightsweepError, UsageError
from storage.job import Model
from storage.metrics.identity import find_kind, find_networks, fingerprint_of
from storage.metrics.kinds import MetricKind, default_network
from storage.models.fingerprint import Digests
from storage.models.networks import resolve_network
from storage.scores.identities import ResolvedMetric

#: Steps of a reference where nobody says how many.
REFERENCE_STEPS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedMetric:
    """A metric that somebody requests.

    Attributes:
        kind: What is known of it.
        model: The network that is to judge; None for the metric's own choice.
        steps: Steps of the reference; None for a metric that compares with none.
    """

    kind: MetricKind
    model: str | None = None
    steps: int | None = None

    @property
    def title(self) -> str:
        """What to call it: `clip`, `rmse at 200 steps`."""
        at = f" at {self.steps} steps" if self.steps else ""
        return f"{self.kind.name}{at}"

    @property
    def reference(self) -> dict[str, int]:
        """How the reference differs: `{"steps": 200}`; empty if there is none."""
        return {"steps": self.steps} if self.steps else {}


def read_metric(
    name: str,
    *,
    base_dir: Path,
    model: str | None = None,
    reference: Mapping[str, int] | None = None,
) -> RequestedMetric:
    """Find the metric of a name, and request it.

    Args:
        name: A built-in metric, `package:Class`, or an entry point.
        base_dir: What a relative folder or file is relative to.
        model: A network, as `storage.models.networks.resolve_network` takes it.
        reference: How a reference differs: `{"steps": 200}`; None for the default.

    Raises:
        UsageError: There is no such metric, its package is missing, or it takes no
            such model or reference.
    """
    kind = read_kind(name, base_dir)
    return request(kind, base_dir=base_dir, model=model, reference=reference)


def read_kind(name: str, base_dir: Path) -> MetricKind:
    """Find what is known of a metric; a class of a user's own is loaded for it.

    Raises:
        UsageError: There is no such metric, or its package is missing.
    """
    refuse_unknown(name)
    try:
        return find_kind(name, base_dir=base_dir)
    except MetricError as exc:
        raise UsageError(str(exc)) from exc


def request(
    kind: MetricKind,
    *,
    base_dir: Path,
    model: str | None = None,
    reference: Mapping[str, int] | None = None,
) -> RequestedMetric:
    """Request a metric; the arguments are those of `read_metric`.

    Raises:
        UsageError: It takes no such model or reference.
    """
    if model is not None and kind.needs is None:
        msg = f"the metric {kind.name} takes no model, got {shown(model)}; leave it out"
        raise UsageError(msg)
    if reference and not kind.needs_reference:
        msg = (
            f"the metric {kind.name} compares with no reference, got "
            f"{_written(reference)}; leave it out"
        )
        raise UsageError(msg)
    return RequestedMetric(
        kind=kind,
        model=resolve_network(model, base_dir) if model is not None else None,
        steps=_steps(reference or {}) if kind.needs_reference else None,
    )


def read_reference(text: str) -> dict[str, int]:
    """Read `steps=200`.

    Raises:
        UsageError: It is something else.
    """
    name, _, value = text.partition("=")
    if name.strip() != "steps" or not value.strip().isdigit():
        msg = f"a reference must be steps=NUMBER, got {shown(text)}; write steps=200"
        raise UsageError(msg)
    return {"steps": int(value)}


@dataclass(slots=True)
class ResolvedMetrics:
    """What requested metrics are for the images of each model.

    Attributes:
        digests: Where digests of networks are remembered.
    """

    digests: Digests
    _known: dict[tuple[str, str, int | None], ResolvedMetric] = field(
        default_factory=dict
    )
    _missing: dict[Path, int] = field(default_factory=dict)

    @property
    def missing_bytes(self) -> int:
        """Size of what must still be fetched of the networks found so far."""
        return sum(self._missing.values())

    def check(
        self, metrics: Iterable[RequestedMetric], models: Iterable[Model]
    ) -> None:
        """Find the networks of all metrics for the images of these models.

        Raises:
            UsageError: One cannot be found or used.
        """
        for model, metric in product(models, metrics):
            self.of(metric, model.name)

    def of(self, metric: RequestedMetric, image_model: str) -> ResolvedMetric:
        """Return what a requested metric is for the images of a model.

        Args:
            metric: The metric.
            image_model: Name of the model that made the images.

        Raises:
            UsageError: The metric's network cannot be found or used.
        """
        kind = metric.kind
        model = metric.model
        if model is None:
            model = default_network(kind, image_model)
        key = (kind.source, model, metric.steps)
        if key not in self._known:
            self._known[key] = ResolvedMetric(
                name=kind.name,
                source=kind.source,
                version=kind.version,
                model=model,
                model_fingerprint=self._identify(kind, model),
                reference=metric.reference,
                higher_is_better=kind.higher_is_better,
            )
        return self._known[key]

    def _identify(self, kind: MetricKind, model: str) -> str:
        try:
            found = find_networks(kind, model, download=False)
            if found is None:
                return ""
            for each in found.places:
                self._missing[each.folder] = sum(each.missing.values())
            return fingerprint_of(found, digests=self.digests)
        except NightsweepError as exc:
            if exc.retryable:
                raise
            msg = f"the metric {kind.name} cannot be computed: {exc}"
            raise UsageError(msg) from exc


def read_metrics(spec: Spec) -> list[RequestedMetric]:
    """Find the metrics of a sweep's scores.

    Raises:
        SpecError: Some cannot be computed; all of them are said.
    """
    problems = Problems()
    metrics: dict[RequestedMetric, None] = {}
    for entry in spec.scores:
        reference = {"steps": entry.steps} if entry.steps else None
        with problems.at(entry.place):
            metric = read_metric(
                entry.metric,
                base_dir=spec.folder,
                model=entry.model,
                reference=reference,
            )
            metrics[metric] = None
    problems.check()
    return list(metrics)


def _steps(reference: Mapping[str, int]) -> int:
    steps = reference.get("steps", REFERENCE_STEPS)
    least, most = REFERENCE_RANGE
    if not least <= steps <= most:
        msg = (
            f"the steps of a reference must be {least} to {most}, got {steps}; "
            f"{REFERENCE_STEPS} is usual"
        )
        raise UsageError(msg)
    return steps


def _written(reference: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={value}" for name, value in reference.items())
