"""What a trade-off shows, in sentences that the numbers carry."""

from collections.abc import Iterator
from dataclasses import dataclass

from analysis.estimates import LEAST_PROMPTS
from analysis.margins import Margin
from analysis.trade_off import Judged, TradeOff, Verdict

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
        return f"{self.form.format(value)} {self.unit}"


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
    best, metric = found.best, found.panel.metric
    cheapest = found.cheapest
    if cheapest is not None and cheapest.cost and best.cost:
        times = best.cost / cheapest.cost
        return (
            f"By {metric}, {cheapest.setting} ({cost.say(cheapest.cost)}) is as good "
            f"as {best.setting} ({cost.say(best.cost)}), {rank_of(found)}, at "
            f"1/{times:.3g} of the cost."
        )
    if not _has_bands(found):
        return (
            f"By its mean alone, {best.setting} ({cost.say(best.cost)}) is "
            f"{rank_of(found)}; nothing says how sure that is."
        )
    if found.margin is None:
        return (
            f"By {metric}, {best.setting} ({cost.say(best.cost)}) is {rank_of(found)}; "
            "no cheaper setting is as good in every prompt."
        )
    return (
        f"By {metric}, no cheaper setting is shown to be as good as {best.setting} "
        f"({cost.say(best.cost)}), {rank_of(found)}."
    )


def _sureness(found: TradeOff) -> Iterator[str]:
    one = found.cheapest
    if one is not None and one.bounds is not None:
        yield (
            f"Its score differs by {signed(one.gain)} (band {signed(one.bounds.low)} "
            f"to {signed(one.bounds.high)}, {found.level:.0%} for all settings "
            "together)."
        )
    elif cheaper := cheaper_losses(found):
        listed = ", ".join(f"{each.setting} {each.loss:.3g}" for each in cheaper)
        yield (
            f"The cheaper settings lose at most, with {found.level:.0%} for all "
            f"together: {listed}."
        )
    yield _allowance(found.margin)
    yield _sample(found)
    if (prompts := len(found.panel.prompts)) < LEAST_PROMPTS:
        yield (
            f"There are no intervals: {prompts} prompts are too few, "
            f"{LEAST_PROMPTS} are needed; with fewer, no interval keeps its promise."
        )


def _allowance(margin: Margin | None) -> str:
    """Return which loss counts as none, and why."""
    if margin is None:
        return (
            "The margin is unknown, since no prompt has two seeds that differ: only a "
            "setting that never loses counts as good; give one with --margin."
        )
    allowed = f"A loss below {margin.value:.3g} counts as none"
    if margin.seed_deviation is None:
        return f"{allowed}, as asked."
    return (
        f"{allowed}: a fifth of {margin.seed_deviation:.3g}, the standard deviation "
        "between seeds of one prompt."
    )


def _sample(found: TradeOff) -> str:
    panel = found.panel
    pairs = sum(one.n_images for one in found.settings)
    return (
        f"It rests on {pairs:,} images: {len(panel.prompts)} prompts, "
        f"{len(panel.seeds)} images each per setting, {len(found.settings)} settings; "
        "it speaks of prompts like these, for the given seeds."
    )


def cheaper_losses(found: TradeOff) -> list[Judged]:
    """Return cheaper settings, each of which is sure to lose less than those before."""
    kept: list[Judged] = []
    for one in found.settings:
        if one.loss is None or one.cost is None or one.cost >= (found.best.cost or 0):
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


def _has_bands(found: TradeOff) -> bool:
    return any(
        one.bounds is not None or one.verdict is Verdict.AS_GOOD
        for one in found.settings
    )


def signed(value: float | None) -> str:
    """Return a number with its sign, and a true minus sign."""
    if value is None:
        return ""
    return f"{value:+.3g}".replace("-", "\N{MINUS SIGN}")
