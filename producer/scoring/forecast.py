"""What the scores of a sweep would take: counts, and the references to be made."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from producer.display.amounts import images
from producer.models.cards import ModelCard
from producer.scoring.references import Reference, References, Without
from producer.scoring.requested_metrics import RequestedMetric
from producer.scoring.requests import Cards
from producer.scoring.seed_pairs import SeedPairs
from storage.job import PlannedJob


@dataclass(slots=True)
class _Count:
    scores: int = 0
    without: Counter[Without] = field(default_factory=Counter)
    references: dict[str, PlannedJob] = field(default_factory=dict)
    seed_pairs: SeedPairs = field(default_factory=SeedPairs)
    between_seeds: int = 0

    def compare(self, found: Reference, *, has_unit: bool) -> None:
        """Count the references of a job, and the pairs of seeds, each once."""
        if has_unit and found.full.job.key not in self.references:
            self.between_seeds += self.seed_pairs.of(found.full) is not None
        for each in (found.full, found.half):
            self.references.setdefault(each.job.key, each)


class Forecast:
    """Counts the scores and the references of planned jobs."""

    def __init__(
        self, metrics: Sequence[RequestedMetric], cards: Iterable[ModelCard]
    ) -> None:
        """Count nothing yet.

        Args:
            metrics: The metrics that the sweep asks for.
            cards: Its models.
        """
        find = Cards(_refuse, cards).find
        self._counts = {metric: _Count() for metric in metrics}
        self._references = {
            metric: References(find, metric.steps) for metric in metrics if metric.steps
        }
        self._own: set[str] = set()

    def add(self, one: PlannedJob) -> None:
        """Count the scores of a job."""
        if self._references:
            self._own.add(one.job.key)
        for metric, count in self._counts.items():
            if not metric.steps:
                count.scores += 1
                continue
            found = self._references[metric].of(one)
            if isinstance(found, Without):
                count.without[found] += 1
                continue
            count.scores += 1
            count.compare(found, has_unit=not metric.kind.for_show)

    def references(self) -> list[PlannedJob]:
        """Return the references that are no images of the sweep itself, each once."""
        found: dict[str, PlannedJob] = {}
        for count in self._counts.values():
            found |= count.references
        return [one for key, one in found.items() if key not in self._own]

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each metric."""
        return [
            {
                "metric": metric.kind.name,
                "reference": metric.reference,
                "scores": count.scores,
                "references": len(count.references),
                "between_seeds": count.between_seeds,
                "without_limit": count.without[Without.NOISE],
            }
            for metric, count in self._counts.items()
        ]


def describe_forecast(row: Mapping[str, Any]) -> str:
    """Say in a line what a metric of a sweep would take."""
    said = f"{row['metric']}"
    if row["reference"]:
        said += f" at {row['reference']['steps']} steps"
    said += f": {images(row['scores'])}"
    if row["references"]:
        said += f", compared with {row['references']:,} more"
    if row["between_seeds"]:
        said += f"; {row['between_seeds']:,} of these with another seed"
    if row["without_limit"]:
        said += f"; none for {row['without_limit']:,} whose scheduler draws noise"
    return said


def _refuse(name: str, **_more: Any) -> ModelCard:
    msg = f"{name} must be among the models of the sweep"
    raise AssertionError(msg)
