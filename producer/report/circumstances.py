"""What stands around the answer: what is done, what failed, what made the images."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis.settings import setting_of
from producer.report.content import Table

Row = Mapping[str, Any]
#: Reasons that the table of failures has at most.
MOST_REASONS = 20


def tabulate_coverage(rows: Iterable[Row], by: Sequence[str]) -> Table:
    """Return the images of each series by state; series that are whole come last."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts[setting_of(row, by).series][row["state"]] += 1
    states = sorted({state for each in counts.values() for state in each})
    states.sort(key=lambda state: state != "done")
    ranked = sorted(counts.items(), key=lambda item: item[1]["done"] == item[1].total())
    return Table(
        columns=("series", "images", *states),
        rows=[
            (series, f"{each.total():,}", *(f"{each[state]:,}" for state in states))
            for series, each in ranked
        ],
        numbers=frozenset(range(1, 2 + len(states))),
    )


def tabulate_failures(rows: Iterable[Row]) -> Table | None:
    """Return why images failed, the most frequent reason first; None if none did."""
    reasons: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for row in rows:
        if row["state"] in ("failed", "quarantined"):
            reason = row["error"] or row["state"]
            reasons[reason] += 1
            examples.setdefault(reason, row["key"])
    if not reasons:
        return None
    return Table(
        columns=("images", "reason", "example"),
        rows=[
            (f"{count:,}", reason, examples[reason][:8])
            for reason, count in reasons.most_common(MOST_REASONS)
        ],
        numbers=frozenset({0}),
    )


def describe_environments(
    rows: Iterable[Row], details: Iterable[str]
) -> list[tuple[str, str]]:
    """Return what the images were made with: names and all their values.

    Args:
        rows: Of the view `images`.
        details: Of the table `environments`, as JSON.
    """
    values: dict[str, dict[str, None]] = defaultdict(dict)
    for row in rows:
        if row["state"] != "done":
            continue
        for name in ("model", "gpu", "engine", "batch_width", "dtype", "decode_dtype"):
            values[name][str(row[name])] = None
    for text in details:
        for name, value in json.loads(text).items():
            values[name][str(value)] = None
    return [
        (name.replace("_", " "), ", ".join(found)) for name, found in values.items()
    ]
