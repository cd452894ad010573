"""What became of requests for scores, in sentences and as rows."""

from collections.abc import Iterator
from typing import Any

from producer.display.amounts import images
from producer.scoring.references import Without
from producer.scoring.requests import Requests, Tally
from producer.scoring.wishes import Wish


def describe_requests(requests: Requests) -> Iterator[str]:
    """Yield sentences about what became of requests."""
    for wish, tally in requests.tallies.items():
        yield _scores(wish, tally)
        if tally.references:
            yield (
                f"{wish.title}: {images(len(tally.references))} to compare with, half "
                f"of them at half the steps, {tally.new_references:,} new."
            )
        if tally.cut:
            counts = ", ".join(map(str, sorted(tally.cut)))
            yield (
                f"{wish.title}: some schedulers cannot run so many steps; theirs are "
                f"compared at {counts}."
            )
        for reason in Without:
            if count := tally.without[reason]:
                yield f"{wish.title}: none for {images(count)}: {reason.value}."


def rows_of(requests: Requests) -> Iterator[dict[str, Any]]:
    """Yield a row for each metric that was asked for, for programs."""
    for wish, tally in requests.tallies.items():
        yield {
            "metric": wish.kind.name,
            "version": wish.kind.version,
            "reference": {"steps": wish.steps} if wish.steps else {},
            "scores": sum(tally.asked.states.values()),
            "new": tally.asked.new,
            "retried": tally.asked.retried,
            **{state: tally.asked.states.get(state, 0) for state in _STATES},
            "references": len(tally.references),
            "new_references": tally.new_references,
            "without_limit": tally.without[Without.NOISE],
        }


_STATES = ("waiting", "pending", "leased", "done", "failed")


def _scores(wish: Wish, tally: Tally) -> str:
    states = tally.asked.states
    total = sum(states.values())
    said = f"{wish.title}: {total:,} scores, {tally.asked.new:,} new"
    for state, words in (
        ("done", "computed already"),
        ("waiting", "waiting for images"),
        ("failed", "failed"),
    ):
        if states.get(state):
            said += f", {states[state]:,} {words}"
    if tally.asked.retried:
        said += f", {tally.asked.retried:,} tried again"
    elif states.get("failed"):
        said += " (--retry-failed tries them again)"
    return f"{said}."
