"""Sweeps from notebooks: submit one, watch it and look at its images.

>>> import nightsweep
>>> sweep = nightsweep.submit("examples/first-sweep.yaml")
>>> sweep.wait()

Nothing here prints or asks. Errors have the sentences of the command.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import yaml

from producer.commands.submit import submit as submit_source
from producer.display.amounts import duration, images
from producer.running.sweep_state import (
    Standing,
    describe,
    describe_incomplete,
    describe_limits,
    describe_scores,
    standing,
)
from producer.spec.yamltext import InputText, Source
from producer.submission.opening import opened_to_read, say_who_works
from producer.submission.submission import Submitted, describe_submission
from storage.errors import UsageError
from storage.jobs import sweep_counts
from storage.jobs.sweeps import require_sweeps
from storage.settings import Settings, settings_at
from storage.store import Store

#: Seconds between two looks at a sweep.
LOOK_S = 2.0
#: Colours of the parts of a bar, by the state of the jobs.
_COLOURS = {"done": "#3a7d44", "failed": "#b3261e", "leased": "#d9a441"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a sweep was at a moment; Jupyter shows it as a bar.

    Attributes:
        standing: Its jobs by state, its rate, the time left and its limits.
        failures: The most frequent reasons for failures, each with its count.
        hints: Sentences about what it waits for, and what to do.
    """

    standing: Standing
    failures: Sequence[tuple[str, int]]
    hints: Sequence[str]

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens: all is made, or it is paused or cancelled."""
        return self.standing.is_over

    def lines(self) -> list[str]:
        """Return what there is to say, in sentences."""
        now = self.standing
        said = [f"{count:,} failed: {reason}" for reason, count in self.failures]
        if now.state != "active":
            why = f": {now.reason}" if now.reason else ""
            said.append(f"{now.sweep} is {now.state}{why}.")
        if limits := describe_limits(now):
            said.append(limits)
        if scores := describe_scores(now):
            said.append(scores)
        return [*said, *self.hints]

    def __str__(self) -> str:
        """Return it as text."""
        return "\n".join([self._headline(), *self.lines()])

    def _repr_html_(self) -> str:
        """Return it as HTML without scripts."""
        now = self.standing
        total = max(now.total, 1)
        counts = {
            "done": now.done,
            "failed": now.failed + now.quarantined,
            "leased": now.leased,
        }
        parts = "".join(
            f'<span title="{counts[state]:,} {state}" style="width:'
            f'{100 * counts[state] / total:.2f}%;background:{colour}"></span>'
            for state, colour in _COLOURS.items()
        )
        lines = "".join(f"<div>{escape(line)}</div>" for line in self.lines())
        return (
            '<div class="nightsweep" style="font-family:sans-serif;max-width:48em">'
            f"<div>{escape(self._headline())}</div>"
            '<div style="display:flex;height:0.8em;margin:0.3em 0;background:#8884">'
            f"{parts}</div>{lines}</div>"
        )

    def _headline(self) -> str:
        now = self.standing
        share = now.done / max(now.total, 1)
        said = f"{now.sweep}: {now.done:,} of {images(now.total)} ({share:.0%})"
        if now.images_per_s and now.unmade:
            said += f", {now.images_per_s:.2f} images/s"
        return f"{said}, {duration(now.eta_s)} left" if now.eta_s else said


class SubmittedSweep:
    """A sweep that was submitted; Jupyter shows how far it is.

    Attributes:
        name: Its name.
        settings: Where it is stored.
        store: Everything that is stored there.
        submitted: What the submission did.
    """

    def __init__(self, submitted: Submitted, settings: Settings) -> None:
        """Look at a sweep that was submitted to the place that the settings name."""
        self.name = submitted.sweep.name
        self.settings = settings
        self.store = Store(settings)
        self.submitted = submitted

    def progress(self) -> Progress:
        """Return how far it is.

        Raises:
            NightsweepError: It was removed, or SQL cannot be reached.
        """
        with opened_to_read(self.settings) as database:
            (sweep,) = require_sweeps(database, [self.name])
            now = standing(database, sweep)
            hints = [describe(each) for each in now.blocked]
            if now.incomplete:
                hints.append(describe_incomplete(self.name, now.incomplete))
            if now.is_open and now.state == "active":
                hints += say_who_works(database, self.name)
            failures = sweep_counts.failures(database, sweep)
        return Progress(standing=now, failures=failures, hints=hints)

    def follow(self, every_s: float = LOOK_S) -> Iterator[Progress]:
        """Yield how far it is, now and then, until it is over.

        Looking at a million jobs takes long: it takes a tenth of the time at most.
        """
        while True:
            began = time.monotonic()
            now = self.progress()
            took_s = time.monotonic() - began
            yield now
            if now.is_over:
                return
            time.sleep(max(every_s, 10 * took_s))

    def wait(self, timeout_s: float | None = None) -> Progress:
        """Wait until it is over, and return how far it is then.

        This waits for workers, and starts none. Interrupting it changes nothing.

        Args:
            timeout_s: Seconds after which to return all the same; None for no end.
        """
        give_up = None if timeout_s is None else time.monotonic() + timeout_s
        for now in self.follow():  # noqa: B007 - the last one is the answer
            if give_up is not None and time.monotonic() > give_up:
                break
        return now

    def find(self, query: str = "", **asked: Any) -> list[dict[str, Any]]:
        """Return the rows of its images; the arguments are those of `Store.find`."""
        return self.store.find(query, sweep=self.name, **asked)

    def __str__(self) -> str:
        """Return what the submission said, and how far the sweep is."""
        said = [*self._warnings(), *describe_submission(self.submitted)]
        return "\n".join([*said, str(self.progress())])

    def _repr_html_(self) -> str:
        """Return the same as HTML without scripts."""
        said = [*self._warnings(), *describe_submission(self.submitted)]
        lines = "".join(f"<div>{escape(line)}</div>" for line in said)
        return f"<div>{lines}{self.progress()._repr_html_()}</div>"

    def _warnings(self) -> list[str]:
        return [f"Warning: {warning}." for warning in self.submitted.warnings]


def submit(
    spec: Mapping[str, Any] | str | Path,
    *,
    home: Path | str | Settings | None = None,
    sets: Sequence[str] = (),
    axes: Sequence[str] = (),
    retry_failed: bool = False,
) -> SubmittedSweep:
    """Submit a sweep, as the command `submit --yes` does.

    It is safe to repeat: nothing is made twice, and unmade images that the spec no
    longer names leave the sweep. Relative paths in a mapping start from the working
    directory.

    Args:
        spec: A mapping as in a sweep file, the path of one, or the name of a stored
            sweep.
        home: The state folder; by default what the environment says.
        sets: Values of `--set`, such as `base.width=768`.
        axes: Values of `--axis`, such as `steps=8,12,20`.
        retry_failed: Whether jobs that failed before are tried again.

    Raises:
        NightsweepError: The spec has mistakes, or SQL or Redis cannot be reached; its
            text is what the command would say.
    """
    settings = settings_at(home)
    source: str | Source = spec if isinstance(spec, str | Path) else _written(spec)
    submitted = submit_source(
        source,
        sets=sets,
        axes=axes,
        settings=settings,
        retry_failed=retry_failed,
    )
    return SubmittedSweep(submitted, settings)


def _written(spec: Mapping[str, Any]) -> InputText:
    """Return a mapping as the text of a sweep file."""
    plain = json.loads(json.dumps(spec, default=_plain))
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    return InputText(text, name="the spec")


def _plain(value: object) -> Any:
    """Return a value of another library, or a path, as JSON knows it."""
    if isinstance(value, Path):
        return str(value)
    for name in ("tolist", "to_list"):  # arrays, series and their numbers
        if hasattr(value, name):
            return getattr(value, name)()
    if isinstance(value, range | set | frozenset):
        return sorted(value)
    msg = (
        "a spec must be of mappings, lists, texts, numbers, booleans and None, got "
        f"{type(value).__name__}; write it as one of these."
    )
    raise UsageError(msg)
