"""Which settings are as good as the best one, and what each costs."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from analysis.bands import Band, band_differences
from analysis.estimates import Interval
from analysis.front import LEAST_IMAGES, Front, FrontMember, find_front
from analysis.margins import Margin, default_margin
from analysis.noninferiority import Outcome, decide
from analysis.panel import Panel, average_seeds
from analysis.settings import (
    Circumstances,
    Setting,
    circumstances_of,
    setting_of,
)
from storage.errors import UsageError

#: Evaluations or seconds of each setting; None where not known.
Costs = Mapping[Hashable, float | None]
#: Decimals that tell two means apart; more come from the order of summation.
DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One setting, beside the reference.

    Attributes:
        setting: What it is.
        cost: Evaluations or seconds of an image; None where not known.
        score: Mean over its prompts.
        n_images: Images with a score.
        n_pairs: Its images that have a partner at the reference.
        n_prompts: Prompts in which it and the reference have a pair of images.
        gain: Mean paired difference to the reference, positive where the setting is
            better; None for the reference, and without a pair.
        bounds: The band of the gain, for all settings at once; or where too few prompts
            differ for one, the least and the largest gain of a prompt; None for the
            reference, and with too few prompts.
        is_band: Whether the bounds are a band.
        outcome: What the bounds show; None for the reference.
        is_on_front: Whether no other setting is as cheap and as good.
        share: Share of resamples in which it is on the front; None below 10 prompts.
    """

    setting: Setting
    cost: float | None
    score: float
    n_images: int
    n_pairs: int
    n_prompts: int
    gain: float | None
    bounds: Interval | None
    is_band: bool
    outcome: Outcome | None
    is_on_front: bool
    share: float | None

    @property
    def loss(self) -> float | None:
        """Return what the setting loses at most, in score; None without bounds."""
        return None if self.bounds is None else max(0.0, -self.bounds.low)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeOff:
    """Score and cost of every setting, and which are as good as the reference.

    Attributes:
        panel: All values.
        reference: What the others are held against.
        is_chosen: Whether people named the reference; else it is the best by its mean.
        margin: The loss that counts as none; None where none is known.
        level: Coverage of all bands together.
        settings: Cheapest first, those of unknown cost last.
        front: The front and what it rests on.
    """

    panel: Panel
    reference: Setting
    is_chosen: bool
    margin: Margin | None
    level: float
    settings: tuple[Judged, ...]
    front: Front

    @property
    def best(self) -> Judged:
        """Return the reference."""
        return next(one for one in self.settings if one.setting == self.reference)

    @property
    def cheapest(self) -> Judged | None:
        """Return the cheapest setting that is as good and cheaper, if there is one."""
        cost = self.best.cost
        for one in self.settings:
            if one.outcome is Outcome.AS_GOOD and _is_cheaper(one.cost, cost):
                return one
        return None


def read_panel(
    rows: Iterable[Mapping[str, Any]],
    *,
    by: tuple[str, ...],
    metric: str,
    higher_is_better: bool,
) -> Panel:
    """Lay out the scores of images by prompt, circumstances and setting.

    Two images are a pair if they differ in nothing but the setting: the second axis of
    the panel holds the seed and whatever else varies, such as guidance.

    Args:
        rows: Of the view `images`, with the score as `score`, None where there is none.
        by: The columns that are compared.
        metric: Name of the score.
        higher_is_better: Whether a larger score is a better one.
    """
    laid_out = (
        (row["prompt"], circumstances_of(row, by), setting_of(row, by), row["score"])
        for row in rows
    )
    return Panel.from_rows(laid_out, metric=metric, higher_is_better=higher_is_better)


def weigh(
    panel: Panel,
    costs: Costs,
    *,
    reference: Setting | None = None,
    margin: Margin | None = None,
    level: float = 0.95,
) -> TradeOff:
    """Hold every setting against a reference, and find the front.

    The bands hold for all settings at once, so the cheapest setting that is as good may
    be picked from them. With the best setting as the reference, the answer is careful:
    the best of many looks better than it is, which makes "as good" harder to reach.

    Args:
        panel: Scores of all settings.
        costs: Evaluations or seconds of each setting.
        reference: By default the setting with the best mean.
        margin: The loss that counts as none; by default `default_margin` of seeds that
            differ in nothing else.
        level: Coverage of all bands together.

    Raises:
        UsageError: There are fewer than two settings with scores, or the reference has
            none.
    """
    if len(panel.settings) < 2:
        raise _alone(panel)
    chosen = reference if reference is not None else _best(panel, costs)
    margin = margin or _seed_margin(panel, chosen)
    front = find_front(panel, costs)
    places = {one.setting: one for one in front.members}
    # The reference is its own difference of zero: it keeps its place among the rest.
    bands = band_differences(panel, panel.settings, reference=chosen, level=level)
    judged = [
        _describe(
            panel,
            band,
            costs.get(band.setting),
            reference=chosen,
            margin=margin,
            place=places.get(band.setting),
        )
        for band in bands.members
    ]
    return TradeOff(
        panel=panel,
        reference=chosen,
        is_chosen=reference is not None,
        margin=margin,
        level=level,
        settings=tuple(sorted(judged, key=_by_cost)),
        front=front,
    )


def _seed_margin(panel: Panel, reference: Setting) -> Margin | None:
    """Return the default margin: seeds differ in nothing else that varies."""
    values = panel.of(reference)
    labels = cast("tuple[Circumstances, ...]", panel.seeds)
    rows = (
        ((prompt, where.others), where.seed, reference, float(values[i, j]))
        for i, prompt in enumerate(panel.prompts)
        for j, where in enumerate(labels)
    )
    by_seed = Panel.from_rows(
        rows, metric=panel.metric, higher_is_better=panel.higher_is_better
    )
    return default_margin(by_seed, reference)


def _describe(
    panel: Panel,
    band: Band,
    cost: float | None,
    *,
    reference: Setting,
    margin: Margin | None,
    place: FrontMember | None,
) -> Judged:
    setting = cast("Setting", band.setting)
    is_up, is_reference = panel.higher_is_better, setting == reference
    bounds = None if is_reference else band.bounds
    if bounds and not is_up:
        bounds = bounds.negate()
    mean = band.summary.mean if is_up else -band.summary.mean
    has_gain = not is_reference and band.summary.n_prompts
    outcome = decide(bounds, margin.value if margin else 0.0)
    return Judged(
        setting=setting,
        cost=cost,
        score=_mean(panel, setting),
        n_images=int(np.isfinite(panel.of(setting)).sum()),
        n_pairs=band.n_images,
        n_prompts=band.summary.n_prompts,
        gain=mean if has_gain else None,
        bounds=bounds,
        is_band=band.interval is not None,
        outcome=None if is_reference else outcome,
        is_on_front=place is not None and place.is_on_front,
        share=place.share if place else None,
    )


def _alone(panel: Panel) -> UsageError:
    found = ", ".join(map(str, panel.settings)) or "none"
    msg = (
        f"a comparison must have two settings with a score by {panel.metric}, got "
        f"{found}; widen the query, or compare --by other columns."
    )
    return UsageError(msg)


def _best(panel: Panel, costs: Costs) -> Setting:
    """Return the setting with the best mean; of equal ones, the cheapest.

    Settings with less than half of the images of another take no part, and the others
    are held against each other on the images that all of them have, so that a few
    lucky images make no setting the best.
    """
    counts = {one: int(np.isfinite(panel.of(one)).sum()) for one in panel.settings}
    enough = LEAST_IMAGES * max(counts.values())
    full = [one for one in panel.settings if counts[one] >= enough]
    there = np.isfinite([panel.of(one) for one in full]).all(axis=0)
    sign = 1 if panel.higher_is_better else -1

    def goodness(setting: Hashable) -> tuple[float, float]:
        values = panel.of(setting)
        common = np.where(there, values, np.nan) if there.any() else values
        mean = float(np.nanmean(average_seeds(common)))
        cost = costs.get(setting)
        return round(sign * mean, DIGITS), -np.inf if cost is None else -cost

    return cast("Setting", max(full, key=goodness))


def _mean(panel: Panel, setting: Hashable) -> float:
    return float(np.nanmean(average_seeds(panel.of(setting))))


def _is_cheaper(cost: float | None, than: float | None) -> bool:
    return cost is not None and than is not None and cost < than


def _by_cost(one: Judged) -> tuple[bool, float]:
    return one.cost is None, one.cost or 0.0
