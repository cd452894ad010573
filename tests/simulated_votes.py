"""Votes whose truth is known."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from storage.ratings.voting import Vote

Floats = NDArray[np.float64]
#: Values of the axis.
COUNT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Voting:
    """How people vote.

    Attributes:
        spread: From the strength of the worst value to that of the best one.
        by_prompt: Standard deviation of what a prompt makes of each value's strength.
        ties: Share of votes in which people see no difference.
    """

    spread: float
    by_prompt: float = 0.0
    ties: float = 0.0

    @property
    def strengths(self) -> Floats:
        """Return the strengths, the worst value first."""
        return np.linspace(0.0, self.spread, COUNT)

    def draw(
        self, generator: np.random.Generator, *, prompts: int, votes: int
    ) -> list[Vote]:
        """Draw votes on random pairs of values, so many for each prompt."""
        return [
            vote
            for prompt in range(prompts)
            for vote in self._draw_prompt(generator, prompt, votes)
        ]

    def _draw_prompt(
        self, generator: np.random.Generator, prompt: int, votes: int
    ) -> Iterator[Vote]:
        own = generator.normal(0, self.by_prompt, COUNT) if self.by_prompt else 0.0
        strengths = self.strengths + own
        first = generator.integers(COUNT, size=votes)
        second = (first + 1 + generator.integers(COUNT - 1, size=votes)) % COUNT
        is_tie = generator.random(votes) < self.ties
        chances = expit(strengths[first] - strengths[second])
        is_won = generator.random(votes) < chances
        winners = np.where(is_tie, "tie", np.where(is_won, "a", "b"))
        of = {"who": "ada", "block": prompt, "prompt": prompt}
        for a, b, winner in zip(first, second, winners, strict=True):
            yield Vote(a=str(a), b=str(b), winner=str(winner), **of)

    def true_preferences(self) -> dict[str, float]:
        """Return what endless votes on endless prompts would come to, by label.

        By the iteration of Hunter (2004), on the chances of each pair over all prompts.
        """
        nodes, weights = np.polynomial.hermite_e.hermegauss(61)
        between = self.strengths[:, None] - self.strengths
        by_prompt = np.sqrt(2) * self.by_prompt * nodes
        chances = expit(between[..., None] + by_prompt) @ (weights / weights.sum())
        chances = self.ties / 2 + (1 - self.ties) * chances
        np.fill_diagonal(chances, 0.0)
        worths = np.ones(COUNT)
        for _ in range(10_000):
            meetings = 1 / (worths[:, None] + worths)
            np.fill_diagonal(meetings, 0.0)
            worths = chances.sum(axis=1) / meetings.sum(axis=1)
            worths /= worths.sum()
        logs = np.log(worths)
        others = (logs.sum() - logs) / (COUNT - 1)
        return {
            str(place): float(one) for place, one in enumerate(expit(logs - others))
        }


#: How people vote, by what is special about it.
VOTINGS = {
    "prompts agree": Voting(spread=2.0),
    "prompts differ": Voting(spread=2.0, by_prompt=1.0),
    "many ties": Voting(spread=2.0, by_prompt=1.0, ties=0.4),
    "worse ones rarely win": Voting(spread=9.0),
}
