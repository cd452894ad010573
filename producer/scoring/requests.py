"""Requests for scores: of images, by metrics, with the references that they need."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from producer.models.cards import ModelCard
from producer.scoring.references import References, Without, require_same
from producer.scoring.requested_metrics import RequestedMetric, ResolvedMetrics
from producer.scoring.seed_pairs import SeedPairs
from storage.job import Model, PlannedJob
from storage.jobs.companions import companion_of
from storage.jobs.membership import add_jobs, find_known
from storage.jobs.sweeps import Sweep
from storage.models.fingerprint import Digests
from storage.scores.asking import ASKED_ROWS, AskedScores, ask
from storage.scores.identities import ResolvedMetric
from storage.sql.database import Database


@dataclass(slots=True)
class Tally:
    """What became of the requests for one metric.

    Attributes:
        asked: The scores, those of half references included.
        between_seeds: Distances of references to those of another seed.
        keys: The images that the scores are of.
        without: Images that have no reference, by the reason.
        references: Jobs that were planned as references, half references included.
        new_references: Those of them that did not exist before.
        cut: Steps of references that could not have as many as were asked for.
    """

    asked: AskedScores = field(default_factory=AskedScores)
    between_seeds: AskedScores = field(default_factory=AskedScores)
    keys: set[str] = field(default_factory=set)
    without: Counter[Without] = field(default_factory=Counter)
    references: set[str] = field(default_factory=set)
    new_references: int = 0
    cut: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """A score that somebody asks for: of which image, by what, against which other."""

    image: PlannedJob
    metric: ResolvedMetric
    other: PlannedJob | None = None


class Requests:
    """Asks for scores of images, a batch of jobs at a time.

    Attributes:
        tallies: What became of it, for each metric.
        resolved: What the metrics are for the models of these images, by digest.
    """

    def __init__(
        self,
        database: Database,
        metrics: Sequence[RequestedMetric],
        *,
        describe: Callable[..., ModelCard],
        digests: Digests,
        cards: Iterable[ModelCard] = (),
        retry: bool = False,
    ) -> None:
        """Ask for nothing yet.

        Args:
            database: Where jobs and scores are.
            metrics: The metrics.
            describe: What finds a model: `producer.models.cards.describe`.
            digests: Where digests of networks are remembered.
            cards: Models that are described already.
            retry: Whether failed scores are computed again.
        """
        self.tallies = {metric: Tally() for metric in metrics}
        self.resolved: dict[str, ResolvedMetric] = {}
        self._database = database
        self._resolved = ResolvedMetrics(digests)
        self._retry = retry
        self._cards = Cards(describe, cards)
        self._references = {
            metric: References(self._cards.find, metric.steps)
            for metric in metrics
            if metric.steps
        }
        self._seed_pairs = {metric: SeedPairs() for metric in self._references}

    def check(self, models: Iterable[Model]) -> None:
        """Find the networks of all metrics for the images of these models.

        Raises:
            UsageError: One cannot be found or used.
        """
        self._resolved.check(self.tallies, models)

    def add(self, sweep: Sweep, planned: Sequence[PlannedJob]) -> list[PlannedJob]:
        """Ask for the scores of stored jobs; return new jobs, to be sent to workers.

        Args:
            sweep: The sweep that the jobs are of, whose companion has the references.
            planned: The jobs.

        Raises:
            UsageError: A network or the model of the images is not what it was.
        """
        fresh: list[PlannedJob] = []
        for metric, tally in self.tallies.items():
            if metric.steps:
                fresh += self._compare(metric, sweep, planned)
            else:
                pairs = {one.job.key: (one, None) for one in planned}
                tally.asked += self._ask_new(metric, pairs)
        return fresh

    def _compare(
        self, metric: RequestedMetric, sweep: Sweep, planned: Sequence[PlannedJob]
    ) -> list[PlannedJob]:
        """Plan the references of jobs, and ask for their distances."""
        tally = self.tallies[metric]
        pairs: dict[str, tuple[PlannedJob, PlannedJob | None]] = {}
        wanted: dict[str, PlannedJob] = {}
        full: dict[str, PlannedJob] = {}
        for one in planned:
            found = self._references[metric].of(one)
            if isinstance(found, Without):
                tally.without[found] += 1
                continue
            pairs[one.job.key] = (one, found.full)
            pairs[found.half.job.key] = (found.half, found.full)
            wanted |= {each.job.key: each for each in (found.full, found.half)}
            full[found.full.job.key] = found.full
            if found.full.job.steps != metric.steps:
                tally.cut.add(found.full.job.steps)
        # Images that differ in steps only share a reference, here and in other batches.
        other = {
            key: each for key, each in wanted.items() if key not in tally.references
        }
        fresh = self._plan(tally, sweep, [*other.values()]) if other else []
        tally.asked += self._ask_new(metric, pairs)
        if not metric.kind.for_show:
            new = [each for key, each in full.items() if key in other]
            tally.between_seeds += self._ask(self._between_seeds(metric, new))
        return fresh

    def _between_seeds(
        self, metric: RequestedMetric, references: Iterable[PlannedJob]
    ) -> Iterator[_Wish]:
        """Yield the distance of each reference to that of another seed."""
        for one in references:
            if other := self._seed_pairs[metric].of(one):
                resolved = self._resolved.of(metric, one.job.model.name)
                changes = {"seed": other.job.seed}
                between = replace(resolved, reference=changes)
                yield _Wish(image=one, metric=between, other=other)

    def _plan(
        self, tally: Tally, sweep: Sweep, wanted: Sequence[PlannedJob]
    ) -> list[PlannedJob]:
        """Store references as members of the companion; return the new ones."""
        companion = companion_of(self._database, sweep)
        fresh = list(add_jobs(self._database, companion, wanted).fresh)
        tally.references.update(each.job.key for each in wanted)
        tally.new_references += len(fresh)
        return fresh if companion.state == "active" else []

    def _ask_new(
        self,
        metric: RequestedMetric,
        pairs: Mapping[str, tuple[PlannedJob, PlannedJob | None]],
    ) -> AskedScores:
        """Ask for the scores of stored jobs, but for those that were asked before.

        Args:
            metric: The metric.
            pairs: Keys to jobs, each with what it is compared with.
        """
        known = self.tallies[metric].keys
        wishes = [
            _Wish(
                image=one,
                metric=self._resolved.of(metric, one.job.model.name),
                other=other,
            )
            for key, (one, other) in pairs.items()
            if key not in known
        ]
        known.update(pairs)
        return self._ask(wishes)

    def _ask(self, wishes: Iterable[_Wish]) -> AskedScores:
        """Ask for scores of stored jobs, metric by metric."""
        wishes = list(wishes)
        named = [each for one in wishes for each in (one.image, one.other) if each]
        with self._database.read() as connection:
            ids = {key: row.id for key, row in find_known(connection, named).items()}
        wanted: dict[str, dict[int, int | None]] = {}
        for one in wishes:
            digest = one.metric.digest
            self.resolved[digest] = one.metric
            other = ids[one.other.job.key] if one.other else None
            wanted.setdefault(digest, {})[ids[one.image.job.key]] = other
        asked = AskedScores()
        for digest, each in wanted.items():
            rows = list(each.items())
            for start in range(0, len(rows), ASKED_ROWS):
                some = dict(rows[start : start + ASKED_ROWS])
                metric = self.resolved[digest]
                asked += ask(self._database, metric, some, retry=self._retry)
        return asked


class Cards:
    """Describes the models of stored jobs, each once."""

    def __init__(
        self, describe: Callable[..., ModelCard], known: Iterable[ModelCard] = ()
    ) -> None:
        """Take `producer.models.cards.describe`, and models that are described."""
        self._describe = describe
        self._known = {card.model.fingerprint: card for card in known}

    def find(self, model: Model) -> ModelCard:
        """Return what a model says of itself.

        Raises:
            ModelError: It cannot be found or read here.
            UsageError: Its files are not those that the images were made with.
        """
        if model.fingerprint not in self._known:
            card = self._describe(
                model.name,
                revision=model.revision,
                variant=model.variant,
                base_dir=Path(),
            )
            self._known[model.fingerprint] = require_same(card, model)
        return self._known[model.fingerprint]
