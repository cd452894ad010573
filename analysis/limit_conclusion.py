"""What limits show, in sentences that the numbers carry."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from analysis.estimates import LEAST_PROMPTS
from analysis.limits import Limits, SeriesLimit
from analysis.step_limit import LimitOutcome


def conclude_limits(found: Limits) -> list[str]:
    """Return the conclusion: the limits first, then what they mean and rest on."""
    return [
        *_answer(found),
        *_without_limit(found),
        *_meaning(found),
        *_sample(found),
    ]


def _with_outcome(found: Limits, outcome: LimitOutcome) -> list[SeriesLimit]:
    """Return the series with an outcome."""
    return [one for one in found.series if one.limit.outcome is outcome]


def say_limit(one: SeriesLimit) -> str:
    """Return a limit in a few words: "12 steps", "not by 30 steps"."""
    limit = one.limit
    if limit.outcome is LimitOutcome.FOUND:
        return f"{limit.steps} steps" + (" or fewer" if limit.is_smallest else "")
    if limit.outcome is LimitOutcome.NOT_CONVERGED:
        return f"not by {limit.floor_steps} steps"
    return "none: draws noise" if limit.outcome is LimitOutcome.DRAWS_NOISE else "open"


def _answer(found: Limits) -> Iterator[str]:
    named = _with_outcome(found, LimitOutcome.FOUND)
    missed = _with_outcome(found, LimitOutcome.NOT_CONVERGED)
    if named:
        parts = [
            f"from {limit} on with {_named(some)}"
            for limit, some in _group(named, say_limit).items()
        ]
        yield f"By {found.metric}, images are at their limit {'; '.join(parts)}."
    elif missed:
        yield f"By {found.metric}, no images are shown to be at their limit."
    else:
        yield f"By {found.metric}, no limit can be named."
    for some in _group(missed, _say_counts).values():
        limit = some[0].limit
        yield (
            f"{_named(some)} did not converge by {limit.floor_steps} steps: these "
            f"images are not shown to be near those of {limit.reference} steps."
        )


def _without_limit(found: Limits) -> Iterator[str]:
    """Say which series have no answer, and what to do."""
    options = found.score_options or f"--metric {found.metric}"
    score = f"`nightsweep score QUERY {options}`"
    if noisy := _with_outcome(found, LimitOutcome.DRAWS_NOISE):
        yield (
            f"There is no limit with {_named(noisy)}: noise is drawn at each step, so "
            "more steps make another image."
        )
    if few := _with_outcome(found, LimitOutcome.FEW_PROMPTS):
        counts = min(one.limit.n_prompts for one in few)
        yield (
            f"No limit is named with {_named(few)}: {counts} prompts are too few, "
            f"{LEAST_PROMPTS} are needed; with fewer, no interval keeps its promise."
        )
    if alone := _with_outcome(found, LimitOutcome.NO_UNIT):
        yield (
            f"No limit is named with {_named(alone)}: nothing says how far two seeds "
            "of a prompt are apart, which is the unit; make images of two seeds or "
            f"more, and ask {score}."
        )
    if unmade := _with_outcome(found, LimitOutcome.NO_FLOOR):
        yield (
            f"No limit is named with {_named(unmade)}: no image of at most half of the "
            f"reference's steps has a distance yet; ask {score}."
        )
    if found.unscored:
        have = "has" if len(found.unscored) == 1 else "have"
        yield f"{_listed(found.unscored)} {have} no distance yet; ask {score}."


def _meaning(found: Limits) -> Iterator[str]:
    """Say what a limit is, in which unit, and how far the reference can be trusted."""
    tested = [
        one
        for outcome in (LimitOutcome.FOUND, LimitOutcome.NOT_CONVERGED)
        for one in _with_outcome(found, outcome)
    ]
    if not tested:
        return
    level = tested[0].limit.procedure.level
    references = _span([one.limit.reference for one in tested], "{:,}")
    floors = _span([one.limit.floor_steps or 0 for one in tested], "{:,}")
    yield (
        f"At the limit means: from there on, at every number of steps up to {floors}, "
        f"the mean distance to the image of {references} steps is shown to be below "
        f"{_share(found.delta)} of the distance between two seeds of one prompt, with "
        f"{level:.0%} for each setting."
    )
    units = _span([one.unit or 0.0 for one in tested], "{:.3g}")
    distances = [one.limit.floor.summary.mean for one in tested if one.limit.floor]
    floor = _span([100 * each for each in distances], "{:.2g}")
    yield (
        f"Two seeds are {units} apart, the median over prompts. The floor, the "
        f"distance of {floors} from {references} steps, is {floor}% of that; "
        "nothing below it is told apart."
    )


def _sample(found: Limits) -> Iterator[str]:
    measured = [one for one in found.series if one.rows]
    if not measured:
        return
    images = sum(len(one.rows) for one in measured)
    most = max(one.limit.n_seeds for one in measured)
    prompts = _span([one.n_prompts for one in measured], "{:,}")
    seeds = f"up to {most:,} seeds" if most > 1 else "one seed"
    yield (
        f"It rests on {images:,} distances: {prompts} prompts with {seeds} each; it "
        "speaks of prompts like these, for the given seeds. Each setting has a limit "
        "of its own, and to reach it early is not to make the better picture."
    )


def _group(
    some: Iterable[SeriesLimit], word: Callable[[SeriesLimit], str]
) -> dict[str, list[SeriesLimit]]:
    groups: dict[str, list[SeriesLimit]] = {}
    for one in some:
        groups.setdefault(word(one), []).append(one)
    return groups


def _say_counts(one: SeriesLimit) -> str:
    return f"{one.limit.floor_steps} of {one.limit.reference}"


def _named(some: Iterable[SeriesLimit]) -> str:
    return _listed(one.series for one in some)


def _listed(some: Iterable[object]) -> str:
    """Return names as people list them: "a, b and c"."""
    *first, last = map(str, some)
    return f"{', '.join(first)} and {last}" if first else last


def _share(value: float) -> str:
    return f"{100 * value:.2g}%"


def _span(values: Sequence[float], form: str) -> str:
    """Return a range of values as people write it: "30", "0.008 to 0.03"."""
    written = [form.format(each) for each in (min(values), max(values))]
    return " to ".join(dict.fromkeys(written))
