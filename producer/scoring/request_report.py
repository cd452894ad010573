"""What became of requests for scores, in sentences and as rows."""

from collections.abc import Iterable, Iterator
from typing import Any

from producer.display.amounts import images
from producer.scoring.references import Without
from producer.scoring.requested_metrics import RequestedMetric
from producer.scoring.requests import Requests, Tally
from storage.scores.score_counts import BlockedWork


def describe_requests(requests: Requests) -> Iterator[str]:
    """Yield sentences about what became of requests."""
    for metric, tally in requests.tallies.items():
        yield _scores(metric, tally)
        if tally.references:
            yield (
                f"{metric.title}: {images(len(tally.references))} to compare with, "
                f"half of them at half the steps, {tally.new_references:,} new."
            )
        if pairs := sum(tally.between_seeds.states.values()):
            distances = "distance" if pairs == 1 else "distances"
            yield (
                f"{metric.title}: {pairs:,} {distances} between two seeds of a prompt, "
                "the unit of limits."
            )
        if tally.cut:
            counts = ", ".join(map(str, sorted(tally.cut)))
            yield (
                f"{metric.title}: some schedulers cannot run so many steps; theirs are "
                f"compared at {counts}."
            )
        for reason in Without:
            if count := tally.without[reason]:
                yield f"{metric.title}: none for {images(count)}: {reason.value}."


def rows_of(requests: Requests) -> Iterator[dict[str, Any]]:
    """Yield a row for each metric that was asked for, for programs."""
    for metric, tally in requests.tallies.items():
        yield {
            "metric": metric.kind.name,
            "version": metric.kind.version,
            "reference": metric.reference,
            "scores": sum(tally.asked.states.values()),
            "new": tally.asked.new,
            "retried": tally.asked.retried,
            **{state: tally.asked.states.get(state, 0) for state in _STATES},
            "references": len(tally.references),
            "new_references": tally.new_references,
            "between_seeds": sum(tally.between_seeds.states.values()),
            "without_limit": tally.without[Without.NOISE],
        }


def describe_blocked(work: BlockedWork) -> str:
    """Say in a line which worker cannot do some work, and why."""
    return f"{work.name} on {work.worker} of {work.host}: {work.reason}"


def describe_failures(found: Iterable[tuple[str, str, int]]) -> list[str]:
    """Say why scores failed, a line for each metric and reason.

    Args:
        found: Metric, reason and count of each.
    """
    return [
        f"{count:,} scores of {metric} failed: {reason}"
        for metric, reason, count in found
    ]


_STATES = ("waiting", "pending", "leased", "done", "failed")


def _scores(metric: RequestedMetric, tally: Tally) -> str:
    states = tally.asked.states
    total = sum(states.values())
    said = f"{metric.title}: {total:,} scores, {tally.asked.new:,} new"
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
