"""What became of images that were made again: a line for each, and their summary."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import click

from producer.display.amounts import images
from producer.display.json_lines import write_json
from producer.display.messages import talk
from producer.display.text_width import plain
from producer.options import INTERRUPTED
from producer.reproduction.pixels import Difference
from producer.reproduction.verdicts import VERDICTS, Verdict, judge
from storage.errors import ImageStoreError
from storage.jobs.records import Record
from storage.store import Store

#: How the summary words a verdict that is no plain word.
_IN_WORDS = {"close": "equal but for the last bits"}
#: Conditions of an image that is made in a batch.
_OF_A_BATCH = frozenset({"engine", "batch_width", "slot", "threads"})


class Outcomes:
    """Compares the images that a process makes again with the store, and says it."""

    def __init__(
        self,
        store: Store,
        records: Sequence[Record],
        *,
        tolerance: int,
        as_made: bool,
        as_json: bool,
    ) -> None:
        """Expect an answer for each record.

        Args:
            store: Where the stored images are.
            records: Of images that are made.
            tolerance: Levels by which a close image may differ.
            as_made: Whether they are made in batches as they were.
            as_json: Whether images are shown as JSON.
        """
        self._store = store
        self._records = records
        self._tolerance = tolerance
        self._as_made = as_made
        self._as_json = as_json
        self._counts: Counter[str] = Counter()
        self._conditions: Counter[tuple[str, Any, Any]] = Counter()

    def run(self, reproducing: AbstractContextManager[Iterator[dict[str, Any]]]) -> int:
        """Take everything; return the exit code."""
        try:
            with reproducing as answers:
                self._begin(next(answers)["gpu"])
                for answer in answers:
                    self._take(answer)
        except KeyboardInterrupt:
            click.echo(err=True)
            talk(f"Interrupted; {self._sum_up()}")
            return INTERRUPTED
        talk(self._sum_up())
        self._explain()
        return 1 if self._counts["different"] or self._counts["failed"] else 0

    def _begin(self, gpu: str) -> None:
        how = "each alone, as a plain script would"
        if self._as_made:
            how = "each in the row of a batch of the width that it was made in"
        talk(f"Making {images(len(self._records))} again on {plain(gpu)}, {how}.")

    def _take(self, answer: Mapping[str, Any]) -> None:
        record = self._records[answer["image"]]
        stored, note = None, None
        if "failure" not in answer:
            try:
                stored = self._store.image(record.key)
            except ImageStoreError as exc:
                note = str(exc).rstrip(".")
        verdict = judge(
            record, answer, stored=stored, note=note, tolerance=self._tolerance
        )
        self._counts[verdict.verdict] += 1
        for name, (then, now) in verdict.conditions.items():
            if name != "slot":  # nothing without the width, which is said
                self._conditions[name, then, now] += 1
        if self._as_json:
            write_json([verdict.as_json()])
        else:
            click.echo(describe(verdict))
        sys.stdout.flush()

    def _sum_up(self) -> str:
        total, done = len(self._records), sum(self._counts.values())
        if self._counts["equal"] == total:
            return f"{images(total)} made again, bit for bit equal."
        counts = [
            f"{count:,} {_IN_WORDS.get(name, name)}"
            for name in VERDICTS
            if (count := self._counts[name])
        ]
        return f"{done:,} of {images(total)} made again: {', '.join(counts) or 'none'}."

    def _explain(self) -> None:
        """Say what differs between then and now, if any image does."""
        if not (self._counts["close"] or self._counts["different"]):
            return
        if not self._conditions:
            talk("No recorded condition differs between then and now.")
            return
        said = [
            f"{name} {_shown(then)}, now {_shown(now)} ({images(count)})"
            for (name, then, now), count in self._conditions.most_common()
        ]
        talk(f"Recorded then and different now: {'; '.join(said)}.")
        changed = {name for name, _, _ in self._conditions}
        if changed & _OF_A_BATCH and not self._as_made:
            talk(
                "An image from a batch differs from one made alone in the last bits; "
                "--as-made makes each in the same row of a batch of the same width."
            )


def describe(verdict: Verdict) -> str:
    """Return what became of an image as one line."""
    job = verdict.record.job
    name = (
        f"{verdict.record.key[:8]}  {verdict.record.scheduler}, {job.steps} steps, "
        f"seed {job.seed}"
    )
    said = [verdict.verdict]
    if verdict.difference and verdict.difference.most:
        said = [f"{verdict.verdict}, {_apart(verdict.difference)}"]
    if verdict.note:
        said.append(verdict.note)
    return f"{plain(name)}: {plain('; '.join(said))}"


def _apart(difference: Difference) -> str:
    return (
        f"at most {difference.most} of 255, mean {difference.mean:.2g}, "
        f"{difference.share:.2%} of the pixels"
    )


def _shown(value: object) -> str:
    return plain(str(value)) or "none"
