"""Strengths of what was compared in pairs, and how sure they are.

One of two wins with the probability 1 / (1 + exp(-d)), where d is its strength less the
other's: the model of Bradley & Terry (1952). A tie is half a win for each.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri, stdtrit

from analysis.panel import Floats

Integers = NDArray[np.int64]
#: Ties with something of average strength that each one is given beforehand, so that
#: one which never lost has a finite strength.
PRIOR = 0.5
#: The largest step of Newton's method, the one at which it ends, and the most of them.
MOST_STEP, LAST_STEP, MOST_STEPS = 1.0, 1e-10, 1000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparisons:
    """Which of two was better, comparison by comparison.

    Attributes:
        sides: (comparisons, 2), the numbers of the two.
        scores: (comparisons,), 1 where the first was better, 0 where the second was,
            0.5 for a tie.
        units: (comparisons,), the number of what each was about: comparisons of one
            unit may depend on each other.
        count: How many were compared, each at least once.
    """

    sides: Integers
    scores: Floats
    units: Integers
    count: int


def fit_advantages(made: Comparisons, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return by how much the strength of each exceeds the mean of the others'.

    The second array has the half-widths of two-sided intervals: the larger one of
    Fisher's, which is too narrow where units differ in what is better in them, and of
    the one by the spread between units (Liang & Zeger 1986), which is too narrow where
    something hardly ever lost. They are infinite for a single unit.
    """
    strengths, information = _fit(made)
    others = _less_the_others(made.count)
    by_unit = _sum_by_unit(made, strengths)
    n_units = len(by_unit)
    if n_units == 1:
        return others @ strengths, np.full(made.count, np.inf)
    inverse = np.linalg.inv(information)
    scatter = by_unit.T @ by_unit * n_units / (n_units - 1)
    spread = inverse @ scatter @ inverse
    tail = (1 + level) / 2
    fisher = ndtri(tail) * np.sqrt(_variances(others, inverse))
    between = stdtrit(n_units - 1, tail) * np.sqrt(_variances(others, spread))
    return others @ strengths, np.maximum(fisher, between)


def _fit(made: Comparisons) -> tuple[Floats, Floats]:
    """Return the strengths (count,) and their information (count, count)."""
    first, second = made.sides.T
    wins = np.zeros((made.count, made.count))
    np.add.at(wins, (first, second), made.scores)
    np.add.at(wins, (second, first), 1 - made.scores)
    played = wins + wins.T
    strengths = np.zeros(made.count)
    for _ in range(MOST_STEPS):
        chances = expit(strengths[:, None] - strengths)
        average = expit(strengths)
        slope = (wins - played * chances).sum(axis=1) + PRIOR * (0.5 - average)
        bend = played * chances * (1 - chances)
        own = bend.sum(axis=1) + PRIOR * average * (1 - average)
        information = np.diag(own) - bend
        step = np.linalg.solve(information, slope)
        largest = np.abs(step).max()
        strengths = strengths + step * min(1.0, MOST_STEP / max(largest, LAST_STEP))
        if largest <= LAST_STEP:
            break
    return strengths, information


def _sum_by_unit(made: Comparisons, strengths: Floats) -> Floats:
    """Return how much more each won than was expected: (units, count)."""
    first, second = made.sides.T
    surprise = made.scores - expit(strengths[first] - strengths[second])
    sums = np.zeros((int(made.units.max()) + 1, made.count))
    np.add.at(sums, (made.units, first), surprise)
    np.add.at(sums, (made.units, second), -surprise)
    return sums


def _less_the_others(count: int) -> Floats:
    """Return the matrix that takes from each number the mean of all others."""
    others = np.full((count, count), -1 / (count - 1))
    np.fill_diagonal(others, 1.0)
    return others


def _variances(rows: Floats, covariance: NDArray[np.floating]) -> Floats:
    found: Floats = np.einsum("ij,jk,ik->i", rows, covariance, rows)
    # Below zero there are only errors of rounding.
    return np.maximum(found, 0.0)
