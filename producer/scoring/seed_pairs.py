"""Pairs of references that differ in nothing but the seed.

A distance to a reference means little by itself. The distance between the references of
two seeds says how far apart two pictures of one prompt are, and is the unit in which
limits are told (`analysis.limits`).
"""

from dataclasses import dataclass, field, replace

from storage.job import PlannedJob


@dataclass(slots=True)
class SeedPairs:
    """Finds the reference of another seed; remembers the first seed of each prompt.

    Every further seed is held against the first one, in the order of the jobs, so that
    a second request is for the same pairs.
    """

    _first: dict[str, PlannedJob] = field(default_factory=dict)

    def of(self, one: PlannedJob) -> PlannedJob | None:
        """Return what a reference is held against; None for the first seed itself."""
        but_for_seed = replace(one.job, seed=0).key
        first = self._first.setdefault(but_for_seed, one)
        return None if first.job.seed == one.job.seed else first
