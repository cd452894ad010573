"""What `nightsweep view` hands to the gallery: the commands, as functions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gallery.actions import Added, Filled, Verb
from producer.running.sweep_state import (
    Standing,
    describe,
    describe_incomplete,
    describe_scores,
    standing,
)
from storage.errors import UsageError
from storage.jobs import sweep_counts, sweeps
from storage.jobs.sample_images import sample_keys
from storage.jobs.sweeps import Sweep
from storage.queries.parsing import refine
from storage.settings import Settings
from storage.sql.database import Database
from storage.store import Store

#: Images that stand for a sweep.
SAMPLES = 4


@dataclass(frozen=True, slots=True)
class CommandActions:
    """The commands, on the store of some settings; see `gallery.actions.Actions`."""

    settings: Settings

    def change(self, verb: Verb, name: str) -> str:
        """Pause, resume, cancel, retry or start a sweep; return what was done."""
        # Imported here: they import Celery, and most visits change nothing.
        from producer.commands.lifecycle import change_state
        from producer.commands.retry import retry_jobs

        if verb == "start":
            from producer.commands.detached import make_here

            return make_here(self.settings, name)
        if verb == "retry":
            query = refine("", sweep=name)
            return " ".join(retry_jobs(self.settings, query))
        return " ".join(change_state(self.settings, [name], verb=verb))

    def fill(self, query: str, keys: Sequence[str]) -> Filled:
        """Ask for images that are not made."""
        from producer.commands.filling import fill

        return fill(self.settings, query, keys)

    def add(
        self,
        query: str,
        combinations: Sequence[Mapping[str, Sequence[str]]],
        *,
        is_agreed: bool,
    ) -> Added:
        """Add combinations to the sweep of a query, or count them."""
        # Imported here: to read a spec takes a while.
        from producer.commands.adding import add_combinations

        return add_combinations(self.settings, query, combinations, is_agreed=is_agreed)

    def script(self, key: str) -> str:
        """Return a Python script that makes an image with diffusers."""
        # Imported here: the catalogue takes a while.
        from producer.reproduction.script import write_script

        for record in Store(self.settings).records([key]):
            return write_script(record)
        msg = f"key must be a job's, got {key!r}; `nightsweep find` lists the keys."
        raise UsageError(msg)

    def a1111(self, key: str) -> str:
        """Return the parameters in an image's file; empty if there is none."""
        # Imported here: Pillow takes a while.
        from producer.reproduction.embedded import read_parameters

        return read_parameters(self.settings.images, key)

    def answer(self, query: str, by: str, metric: str) -> dict[str, Any]:
        """Return what `nightsweep report` says of a query, as JSON."""
        # Imported here: numpy takes a while.
        from producer.commands.live_answer import answer_query

        return answer_query(self.settings, query, by=by, metric=metric)

    def standings(
        self, database: Database, names: Collection[str] | None = None
    ) -> list[dict[str, Any]]:
        """Return how far sweeps are, as JSON, the oldest first."""
        every = sweeps.list_sweeps(database)
        by_id = {each.id: each.name for each in every}
        return [
            {
                **_describe(database, each, standing(database, each)),
                "reference_of": by_id.get(each.reference_of or 0),
            }
            for each in every
            if names is None or each.name in names
        ]


def _describe(database: Database, sweep: Sweep, now: Standing) -> dict[str, Any]:
    is_incomplete = now.incomplete and now.state != "cancelled"
    return {
        "name": now.sweep,
        "state": now.state,
        "reason": now.reason,
        "priority": now.priority,
        "owner": sweep.owner,
        "total": now.total,
        "pending": now.pending,
        "leased": now.leased,
        "done": now.done,
        "failed": now.failed,
        "quarantined": now.quarantined,
        "evicted": now.evicted,
        "images_per_s": now.images_per_s,
        "eta_s": now.eta_s,
        "axes": {axis: len(labels) for axis, labels in sweep.axes.items()},
        "blocked": [describe(each) for each in now.blocked],
        "incomplete": describe_incomplete(now.sweep, now.incomplete)
        if is_incomplete and now.incomplete
        else None,
        "scores": describe_scores(now) or None,
        "failures": [
            {"error": reason, "count": count, "key": key}
            for reason, count, key in sweep_counts.failure_examples(database, sweep)
        ]
        if now.failed or now.quarantined
        else [],
        "samples": sample_keys(database, sweep, count=SAMPLES) if now.done else [],
        "created_at": sweep.created_at,
    }
