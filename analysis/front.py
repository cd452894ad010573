"""The settings that no other one beats in both cost and score."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from analysis.estimates import LEAST_PROMPTS
from analysis.panel import Floats, Panel, average_seeds
from analysis.resampling import draw_weights

#: Resamples for shares: a share of 50 % is known to about 2 points.
RESAMPLES = 2_000
#: Share of the images of the fullest setting that a setting needs. The others would
#: cost the comparison most of its images, since all settings are held against each
#: other on the same images.
LEAST_IMAGES = 0.5
#: Digits of a score that count, relative to the largest one.
DIGITS = 12


class Exclusion(StrEnum):
    """Why a setting takes no part."""

    NO_COST = "no_cost"
    """Its cost is not known."""
    FEW_IMAGES = "few_images"
    """It has values of less than half of the images that another setting has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontMember:
    """One setting that takes part.

    Attributes:
        setting: Its label.
        cost: As given.
        score: Mean over prompts on the images that all members have.
        is_on_front: Whether no other member is as cheap and as good, and better in one
            of the two.
        share: Share of resamples in which it is on the front; None below
            `LEAST_PROMPTS` prompts.
    """

    setting: Hashable
    cost: float
    score: float
    is_on_front: bool
    share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """All settings, cheapest first, and which are on the front.

    Attributes:
        metric: The name of the metric.
        members: Those that take part, by cost.
        excluded: Why others take no part.
        n_prompts: Prompts that all members have.
        n_seeds: Seeds that all members have in some prompt.
        n_images: Images of each member that count: the same prompts and seeds for all.
        n_dropped: Images of members that do not count since another member lacks them.
        resamples: Resamples of prompts behind the shares.
    """

    metric: str
    members: tuple[FrontMember, ...]
    excluded: Mapping[Hashable, Exclusion]
    n_prompts: int
    n_seeds: int
    n_images: int
    n_dropped: int
    resamples: int


def find_front(
    panel: Panel,
    costs: Mapping[Hashable, float | None],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Front:
    """Find the front of cost and score, and how often each setting is on it.

    A resample draws prompts with all their seeds, the same ones for all settings, so
    only differences between settings move the front.

    Args:
        panel: Scores of all settings.
        costs: Evaluations or seconds of each setting; None or NaN if not known.
        resamples: How many resamples of prompts.
        seed: Seed of the resampling.
    """
    excluded = _exclude(panel, costs)
    settings = [one for one in panel.settings if one not in excluded]
    settings.sort(key=lambda one: _known(costs.get(one)))
    by_cost = np.array([_known(costs.get(one)) for one in settings])
    common = _find_common(panel, settings)
    scores = common.by_prompt if panel.higher_is_better else -common.by_prompt
    return Front(
        metric=panel.metric,
        members=tuple(
            FrontMember(
                setting=setting,
                cost=float(cost),
                score=float(score),
                is_on_front=bool(is_on),
                share=share,
            )
            for setting, cost, score, is_on, share in zip(
                settings,
                by_cost,
                _average(common.by_prompt),
                _is_on_front(_average(scores)[None], by_cost)[0],
                _resample_shares(scores, by_cost, resamples=resamples, seed=seed),
                strict=True,
            )
        ),
        excluded=excluded,
        n_prompts=len(common.by_prompt),
        n_seeds=common.n_seeds,
        n_images=common.n_images,
        n_dropped=common.n_dropped,
        resamples=resamples,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Common:
    """What settings scored on the images that all of them have.

    Attributes:
        by_prompt: (prompts, settings), without NaN.
        n_seeds: Seeds with such an image.
        n_images: Such images of one setting.
        n_dropped: Other images of all settings.
    """

    by_prompt: Floats
    n_seeds: int
    n_images: int
    n_dropped: int


def _find_common(panel: Panel, settings: Sequence[Hashable]) -> _Common:
    values = panel.values[:, :, [panel.settings.index(one) for one in settings]]
    there = np.isfinite(values)
    complete = there.sum(axis=2) == max(1, len(settings))
    with_image = complete.any(axis=1)
    kept = np.where(complete[:, :, None], values, np.nan)[with_image]
    return _Common(
        by_prompt=average_seeds(kept),
        n_seeds=int(complete.any(axis=0).sum()),
        n_images=int(complete.sum()),
        n_dropped=int(there.sum() - complete.sum() * len(settings)),
    )


def _exclude(
    panel: Panel, costs: Mapping[Hashable, float | None]
) -> dict[Hashable, Exclusion]:
    counts = np.isfinite(panel.values).sum(axis=(0, 1))
    enough = LEAST_IMAGES * counts.max(initial=0)
    excluded = {}
    for setting, count in zip(panel.settings, counts, strict=True):
        if not np.isfinite(_known(costs.get(setting))):
            excluded[setting] = Exclusion.NO_COST
        elif count < enough:
            excluded[setting] = Exclusion.FEW_IMAGES
    return excluded


def _known(cost: float | None) -> float:
    return np.nan if cost is None else cost


def _average(by_prompt: Floats) -> Floats:
    if not len(by_prompt):
        return np.full(by_prompt.shape[1], np.nan)
    means: Floats = by_prompt.mean(axis=0)
    return means


def _resample_shares(
    scores: Floats, costs: Floats, *, resamples: int, seed: int
) -> list[float | None]:
    """Return the share of resamples in which each setting is on the front."""
    n_prompts, n_settings = scores.shape
    if n_prompts < LEAST_PROMPTS:
        return [None] * n_settings
    hits = np.zeros(n_settings)
    for weights in draw_weights(n_prompts, resamples, seed=seed):
        hits += _is_on_front(weights @ scores / n_prompts, costs).sum(axis=0)
    return [float(count / resamples) for count in hits]


def _is_on_front(scores: Floats, costs: Floats) -> NDArray[np.bool_]:
    """Find the settings that no other one beats.

    A setting is beaten by one that is cheaper and as good, or as cheap and better.

    Args:
        scores: (resamples, settings), higher is better, the cheapest setting first.
        costs: (settings,), ascending.
    """
    scores = _round(scores)
    best = np.maximum.accumulate(scores, axis=1)
    nobody = np.full((len(scores), 1), -np.inf)
    best_of_cheaper = np.hstack([nobody, best])[:, costs.searchsorted(costs)]
    best_at_cost = best[:, costs.searchsorted(costs, side="right") - 1]
    on_front: NDArray[np.bool_] = (scores == best_at_cost) & (scores > best_of_cheaper)
    return on_front


def _round(scores: Floats) -> Floats:
    """Make scores equal that only the order of summation tells apart."""
    scale = np.abs(scores).max(initial=0.0)
    rounded: Floats = np.round(scores / scale, DIGITS) if scale > 0 else scores
    return rounded
