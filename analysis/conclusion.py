"""What a trade-off shows, in sentences that the numbers carry."""

from collections.abc import Iterator
from dataclasses import dataclass

from analysis.estimates import LEAST_PROMPTS
from analysis.margins import Margin
from analysis.noninferiority import Outcome
from analysis.trade_off import Judged, TradeOff

#: Settings of the front that a sentence names.
MOST_NAMED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What an image costs, in words.

    Attributes:
        unit: "evaluations", or "seconds on GPU".
        form: How a number of it is written.
    """

    unit: str
    form: str = "{:,.4g}"

    def say(self, value: float | None) -> str:
        """Return an amount: "12 evaluations", "0.81 seconds on an H100"."""
        if value is None:
            return f"unknown {self.unit}"
        unit = self.unit.removesuffix("s") if value == 1 else self.unit
        return f"{self.form.format(value)} {unit}"


#: Calls of the network for one image; guidance doubles the work of each.
EVALUATIONS = Cost(unit="evaluations")


def conclude(found: TradeOff, cost: Cost = EVALUATIONS) -> list[str]:
    """Return the conclusion: the answer first, then how sure it is, then the front.

    Args:
        found: What was compared.
        cost: What its costs are.
    """
    return [_answer(found, cost), *_sureness(found), *_front(found)]


def rank_of(found: TradeOff) -> str:
    """Return what the reference is: "the best by clip", or that people chose it."""
    metric = found.panel.metric
    return "the chosen reference" if found.is_chosen else f"the best by {metric}"


def _answer(found: TradeOff, cost: Cost) -> str:
    best, metric, cheapest = found.best, found.panel.metric, found.cheapest
    named = f"{best.setting} ({cost.say(best.cost)})"
    if cheapest is not None and cheapest.cost and best.cost:
        return (
            f"By {metric}, {cheapest.setting} ({cost.say(cheapest.cost)}) is as good "
            f"as {named}, {rank_of(found)}, at {cheapest.cost / best.cost:.0%} of the "
            "cost."
        )
    if not any(one.bounds for one in found.settings):
        first = _best_by_mean(found)
        return (
            f"By its mean alone, {first.setting} ({cost.say(first.cost)}) is the best "
            f"by {metric}; nothing says how sure that is."
        )
    if best.cost is None:
        return _without_costs(found, cost)
    shown = "is as good in every prompt as" if found.margin is None else _SHOWN
    return f"By {metric}, no cheaper setting {shown} {named}, {rank_of(found)}."


#: What is said of no setting, if there is a margin.
_SHOWN = "is shown to be as good as"


def _best_by_mean(found: TradeOff) -> Judged:
    sign = 1 if found.panel.higher_is_better else -1
    return max(found.settings, key=lambda one: sign * one.score)


def _without_costs(found: TradeOff, cost: Cost) -> str:
    good = [one for one in found.settings if one.outcome is Outcome.AS_GOOD]
    listed = ", ".join(str(one.setting) for one in good[:MOST_NAMED]) or "none"
    more = f" and {len(good) - MOST_NAMED} more" if len(good) > MOST_NAMED else ""
    return (
        f"By {found.panel.metric}, these are shown to be as good as "
        f"{found.best.setting}, {rank_of(found)}: {listed}{more}. Its {cost.unit} are "
        "not known, so nothing is called cheaper."
    )


def _sureness(found: TradeOff) -> Iterator[str]:
    one, together = found.cheapest, f"with {found.level:.0%} for all together"
    if one is not None and one.bounds is not None:
        low, high = signed(one.bounds.low), signed(one.bounds.high)
        sure = f"band {low} to {high}, {together}"
        if not one.is_band:
            sure = f"{low} to {high} in single prompts, too few of which differ"
        yield f"Its gain over it is {signed(one.gain)} ({sure})."
    elif cheaper := cheaper_losses(found):
        listed = ", ".join(f"{each.setting} {each.loss:.3g}" for each in cheaper)
        yield f"The cheaper settings lose at most, {together}: {listed}."
    yield _allowance(found.margin)
    yield from _sample(found)
    if (prompts := len(found.panel.prompts)) < LEAST_PROMPTS:
        yield (
            f"There are no intervals: {prompts} prompts are too few, "
            f"{LEAST_PROMPTS} are needed; with fewer, no interval keeps its promise."
        )


def _allowance(margin: Margin | None) -> str:
    """Return which loss counts as none, and why."""
    if margin is None:
        return (
            "The margin is unknown, since no prompt has two seeds that differ at the "
            "reference: only a setting without any loss counts as good; give one with "
            "--margin."
        )
    allowed = f"A loss below {margin.value:.3g} counts as none"
    if margin.seed_deviation is None:
        return f"{allowed}, as asked."
    return (
        f"{allowed}: a fifth of {margin.seed_deviation:.3g}, the standard deviation "
        "between seeds of one prompt."
    )


def _sample(found: TradeOff) -> Iterator[str]:
    settings = found.settings
    counts = sorted({one.n_images for one in settings})
    each = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    yield (
        f"It rests on {sum(one.n_images for one in settings):,} images: "
        f"{len(found.panel.prompts)} prompts, {len(settings)} settings with {each} "
        "images each; it speaks of prompts like these, for the given seeds."
    )
    if alone := sum(one.n_images - one.n_pairs for one in settings):
        yield (
            f"{alone:,} images have no partner at the reference, so they do not count."
        )
    if left_out := len(found.front.excluded):
        yield (
            f"{left_out} settings take no part in the front: they have less than half "
            "of the images of another, or their cost is not known."
        )


def cheaper_losses(found: TradeOff) -> list[Judged]:
    """Return cheaper settings, each of which is sure to lose less than those before."""
    kept: list[Judged] = []
    for one in found.settings:
        is_cheaper = one.cost is not None and one.cost < (found.best.cost or 0)
        if one.loss is None or not one.is_band or not is_cheaper:
            continue
        if not kept or one.loss < (kept[-1].loss or 0):
            kept.append(one)
    return kept[-MOST_NAMED:]


def _front(found: TradeOff) -> Iterator[str]:
    members = [one for one in found.settings if one.is_on_front]
    if not members:
        return
    named = sorted(members, key=lambda one: -(one.share or 0))[:MOST_NAMED]
    kept = [one for one in members if one in named]
    listed = ", ".join(map(_named_share, kept))
    more = len(members) - len(kept)
    rest = f" and {more} more" if more else ""
    yield f"Nothing is both cheaper and better than: {listed}{rest}."


def _named_share(one: Judged) -> str:
    if one.share is None:
        return str(one.setting)
    return f"{one.setting} (in {one.share:.0%} of resamples)"


def signed(value: float | None) -> str:
    """Return a number with its sign, and a true minus sign."""
    if value is None:
        return ""
    return f"{value:+.3g}".replace("-", "\N{MINUS SIGN}")
