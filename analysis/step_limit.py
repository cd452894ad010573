"""How many steps a scheduler needs to reach its own limit."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import takewhile

import numpy as np

from analysis.estimates import USUAL, Estimate, Procedure, Reason
from analysis.intervals import estimate
from analysis.panel import Floats, Panel, average_seeds
from storage.errors import UsageError

#: The default of what counts as no distance: a twentieth of the distance of two seeds.
DELTA = 0.05


class LimitOutcome(StrEnum):
    """What the distances say about a scheduler's limit."""

    FOUND = "found"
    """From some number of steps on, images lie within delta of the limit."""
    NOT_CONVERGED = "not_converged"
    """Even at half of the reference's steps they do not, so the limit is not known."""
    DRAWS_NOISE = "draws_noise"
    """More steps draw more noise: no image is the limit of another."""
    FEW_PROMPTS = "few_prompts"
    """Too few prompts have a distance and a unit."""
    NO_UNIT = "no_unit"
    """No prompt has two seeds whose distance is known."""
    NO_FLOOR = "no_floor"
    """No image of at most half of the reference's steps has a distance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitTest:
    """One number of steps.

    Attributes:
        steps: How many.
        distance: The mean distance, in distances of two seeds.
        is_at_limit: Whether its interval lies below delta.
    """

    steps: int
    distance: Estimate
    is_at_limit: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLimit:
    """From how many steps on a scheduler is at its own limit.

    Attributes:
        metric: The name of the distance.
        outcome: What was found.
        steps: The smallest number of steps that passed after all larger ones had; None
            unless the outcome is `FOUND`.
        is_smallest: Whether that is the smallest number there is, so that the limit may
            be reached even earlier.
        reference: Steps of the images that stand for the limit.
        floor_steps: Steps of the first test: half of the reference's, or the most below
            it that have distances; None where none have.
        delta: What counts as no distance, in distances of two seeds.
        tests: One for each number of steps up to `floor_steps`, the largest first.
            Those after the first failure are for show.
        n_prompts: Prompts with a distance and a unit.
        n_seeds: Seeds with a distance.
        procedure: How intervals were computed.
    """

    metric: str
    outcome: LimitOutcome
    steps: int | None
    is_smallest: bool
    reference: int
    floor_steps: int | None
    delta: float
    tests: tuple[LimitTest, ...]
    n_prompts: int
    n_seeds: int
    procedure: Procedure

    @property
    def floor(self) -> Estimate | None:
        """The distance at `floor_steps`; None where nothing was tested."""
        return self.tests[0].distance if self.tests else None

    @property
    def at_limit(self) -> Estimate | None:
        """The distance at `steps`; None where no limit was found."""
        return next(
            (one.distance for one in self.tests if one.steps == self.steps), None
        )


def find_step_limit(
    distances: Panel,
    units: Mapping[Hashable, float],
    *,
    reference: int,
    draws_noise: bool,
    delta: float = DELTA,
    procedure: Procedure = USUAL,
) -> StepLimit:
    """Find the smallest number of steps whose images are those of many steps.

    Numbers of steps are tested from half of the reference's downward, until one has an
    interval that does not lie below delta. The order is fixed beforehand, so no
    correction is needed (Maurer, Hothorn & Lehmacher 1995).

    The first test is that of the floor: where the images of half the steps are not near
    those of the reference, these are not the limit.

    Args:
        distances: Distance of each image to that of the same prompt and seed at the
            reference, for one scheduler; the settings are numbers of steps.
        units: Median distance between two seeds of each prompt. A prompt without one,
            or with one of zero, does not count.
        reference: Steps of the images that stand for the limit.
        draws_noise: Whether the scheduler draws noise at its steps.
        delta: What counts as no distance, in distances of two seeds.
        procedure: Level, method and seed of each interval.

    Raises:
        UsageError: Delta is not above zero.
    """
    _check_delta(delta)
    scaled = average_seeds(scale(distances, units).values)
    counts = [] if draws_noise else _descend(distances, reference)
    tests = [
        _test(
            scaled[:, distances.settings.index(steps)],
            steps,
            delta=delta,
            procedure=procedure,
        )
        for steps in counts
    ]
    passed = list(takewhile(lambda test: test.is_at_limit, tests))
    return StepLimit(
        metric=distances.metric,
        outcome=_conclude(tests, passed, draws_noise=draws_noise, scaled=scaled),
        steps=passed[-1].steps if passed else None,
        is_smallest=bool(tests) and len(passed) == len(tests),
        reference=reference,
        floor_steps=tests[0].steps if tests else None,
        delta=delta,
        tests=tuple(tests),
        n_prompts=int(np.isfinite(scaled).any(axis=1).sum()),
        n_seeds=int(np.isfinite(distances.values).any(axis=(0, 2)).sum()),
        procedure=procedure,
    )


def _check_delta(delta: float) -> None:
    if not delta > 0:
        msg = (
            f"delta must be above 0, but is {delta:g}; give a share of the distance of "
            "two seeds, such as 0.05."
        )
        raise UsageError(msg)


def scale(distances: Panel, units: Mapping[Hashable, float]) -> Panel:
    """Return distances in the unit of each prompt; NaN for a prompt without one."""
    known = np.array([units.get(prompt, np.nan) for prompt in distances.prompts])
    usable = np.where(known > 0, known, np.nan)
    return replace(distances, values=distances.values / usable[:, None, None])


def _descend(distances: Panel, reference: int) -> list[int]:
    """Return the numbers of steps from half of the reference's downward."""
    counts = [one for one in distances.settings if isinstance(one, int)]
    return sorted((one for one in counts if one <= reference // 2), reverse=True)


def _test(
    values: Floats, steps: int, *, delta: float, procedure: Procedure
) -> LimitTest:
    distance = estimate(values, procedure)
    bounds = distance.bounds
    is_at_limit = bounds is not None and bounds.high < delta
    return LimitTest(steps=steps, distance=distance, is_at_limit=is_at_limit)


def _conclude(
    tests: Sequence[LimitTest],
    passed: Sequence[LimitTest],
    *,
    draws_noise: bool,
    scaled: Floats,
) -> LimitOutcome:
    if draws_noise:
        return LimitOutcome.DRAWS_NOISE
    if not tests:
        return LimitOutcome.NO_FLOOR
    if not np.isfinite(scaled).any():
        return LimitOutcome.NO_UNIT
    if tests[0].distance.summary.reason is Reason.FEW_PROMPTS:
        return LimitOutcome.FEW_PROMPTS
    return LimitOutcome.FOUND if passed else LimitOutcome.NOT_CONVERGED
