"""How much worse still counts as good."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from analysis.panel import Panel
from storage.errors import UsageError

#: The default margin, as a share of the standard deviation between seeds: Cohen's
#: (1988) small effect. If one image of each setting is drawn at random and values are
#: normal, the better setting wins 56 times in 100 instead of 50 (McGraw & Wong 1992).
MARGIN_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """The largest loss that counts as none.

    Attributes:
        value: In the metric's unit, above zero.
        seed_deviation: Standard deviation between seeds of a prompt at the reference,
            if the margin is `MARGIN_SHARE` of it; None for a margin that was given.
    """

    value: float
    seed_deviation: float | None = None


def default_margin(panel: Panel, reference: Hashable) -> Margin | None:
    """Return a fifth of what another seed changes at the reference.

    The margin is free of the metric's scale, so one default serves every metric, and
    it depends on the reference only: other settings of a query do not change it.

    Returns:
        None if no prompt has two seeds there, or seeds never differ.

    Raises:
        UsageError: The panel has no such setting.
    """
    deviation = seed_deviation(panel, reference)
    if not deviation > 0:
        return None
    return Margin(value=MARGIN_SHARE * deviation, seed_deviation=deviation)


def given_margin(value: float) -> Margin:
    """Take a margin in the metric's unit.

    Raises:
        UsageError: It is not above zero.
    """
    if not 0 < value < np.inf:
        msg = (
            f"a margin must be a finite number above 0, but is {value:g}; give the "
            "loss that still counts as none."
        )
        raise UsageError(msg)
    return Margin(value=value)


def seed_deviation(panel: Panel, setting: Hashable) -> float:
    """Return the standard deviation between seeds within a prompt, pooled.

    Returns:
        In the metric's unit; NaN if no prompt has two seeds.

    Raises:
        UsageError: The panel has no such setting.
    """
    values = panel.of(setting)
    counts = np.isfinite(values).sum(axis=1)
    several = values[counts > 1]
    if not len(several):
        return np.nan
    squares = np.nansum((several - np.nanmean(several, axis=1, keepdims=True)) ** 2)
    return float(np.sqrt(squares / (counts[counts > 1] - 1).sum()))
