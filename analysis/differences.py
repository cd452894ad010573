"""Paired differences of two settings."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.estimates import USUAL, Estimate, Interval, Procedure
from analysis.holm import adjust
from analysis.intervals import estimate
from analysis.panel import Floats, Panel, average_seeds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """Differences of two settings wherever both have a value.

    Attributes:
        by_prompt: (prompts,), averaged over each prompt's pairs; NaN without any.
        n_pairs: Prompts and seeds that have both values.
        n_equal: Pairs whose values are the same.
        n_seeds: Seeds in at least one pair.
        n_unpaired: Values left out since the other setting has none there.
    """

    by_prompt: Floats
    n_pairs: int
    n_equal: int
    n_seeds: int
    n_unpaired: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The mean difference of two settings over prompts, in the metric's unit.

    Attributes:
        metric: The name of the metric.
        setting: The setting whose values count as positive.
        reference: The setting that is taken away.
        estimate: The mean of `setting` minus `reference` with its interval.
        higher_is_better: Whether a positive difference is a gain.
        n_pairs: Prompts and seeds that have both values.
        n_equal: Pairs whose values are the same.
        n_seeds: Seeds in at least one pair.
        n_unpaired: Values left out since the other setting has none there.
        adjusted_p_value: By Holm, among the pairs that were asked for together; None
            for a pair alone, and where there is no p value.
    """

    metric: str
    setting: Hashable
    reference: Hashable
    estimate: Estimate
    higher_is_better: bool
    n_pairs: int
    n_equal: int
    n_seeds: int
    n_unpaired: int
    adjusted_p_value: float | None = None

    @property
    def mean_gain(self) -> float:
        """Return the mean difference, positive where `setting` is better."""
        mean = self.estimate.summary.mean
        return mean if self.higher_is_better else -mean

    @property
    def gain(self) -> Interval | None:
        """Return the bounds of the gain; None with too few prompts."""
        bounds = self.estimate.bounds
        if bounds is None or self.higher_is_better:
            return bounds
        return bounds.negate()


def pair(panel: Panel, setting: Hashable, *, reference: Hashable) -> Pairs:
    """Subtract a reference from a setting, by prompt and seed.

    Raises:
        UsageError: The panel lacks one of them.
    """
    left, right = panel.of(setting), panel.of(reference)
    differences = left - right
    paired = np.isfinite(differences)
    return Pairs(
        by_prompt=average_seeds(differences),
        n_pairs=int(paired.sum()),
        n_equal=int((differences == 0).sum()),
        n_seeds=int(paired.any(axis=0).sum()),
        n_unpaired=int((np.isfinite(left) ^ np.isfinite(right)).sum()),
    )


def subtract(
    panel: Panel,
    setting: Hashable,
    *,
    reference: Hashable,
    procedure: Procedure = USUAL,
) -> Difference:
    """Estimate the mean difference of two settings, paired by prompt and seed.

    Raises:
        UsageError: The panel lacks one of them.
    """
    pairs = pair(panel, setting, reference=reference)
    found = estimate(pairs.by_prompt, procedure)
    return Difference(
        metric=panel.metric,
        setting=setting,
        reference=reference,
        estimate=found,
        higher_is_better=panel.higher_is_better,
        n_pairs=pairs.n_pairs,
        n_equal=pairs.n_equal,
        n_seeds=pairs.n_seeds,
        n_unpaired=pairs.n_unpaired,
    )


def subtract_all(
    panel: Panel,
    pairs: Sequence[tuple[Hashable, Hashable]],
    *,
    procedure: Procedure = USUAL,
) -> list[Difference]:
    """Estimate several named differences, their p values adjusted together by Holm.

    The intervals stay those of each pair by itself.

    Args:
        panel: Values of all settings.
        pairs: Setting and reference of each difference.
        procedure: Level of each interval, method and seed.

    Raises:
        UsageError: The panel lacks a setting.
    """
    found = [
        subtract(panel, one, reference=other, procedure=procedure)
        for one, other in pairs
    ]
    adjusted = adjust([one.estimate.p_value for one in found])
    return [
        replace(one, adjusted_p_value=p_value)
        for one, p_value in zip(found, adjusted, strict=True)
    ]
