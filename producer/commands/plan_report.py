"""What `nightsweep plan` found, and how it is shown to people."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len

from producer.display.amounts import duration, images, part_of, size
from producer.display.text_width import hang, padded, quoted, shorten, terminal_width
from producer.running.budget_text import describe_budget
from producer.scoring.forecast import describe_forecast
from producer.spec.orders import BREADTH_FIRST
from producer.submission.confirmation import describe_difference
from storage.jobs.budgets import Budget, Limits
from storage.jobs.differences import Difference

#: Least columns for the names of axes, and for the counts of their values.
_LEAST_NAME, _LEAST_COUNT = 12, 5
#: Least and most columns for a scheduler's label; a longer one overflows.
_LABEL = (20, 40)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a sweep would make.

    Attributes:
        sweep: Its name.
        total: Images that it wants.
        whole: Images that it would want without `sample`.
        new: Images among them that do not exist in any state.
        existing: State to count, for the other images.
        evaluations: Calls of the model for all that is not done.
        worker_s: Seconds of one worker, or None where nothing like it was timed.
        disk_bytes: Approximate size of the files to come.
        disk_files: Their number, thumbnails included.
        free_bytes: Free space where they go; None for a bucket.
        free_inodes: Files and folders that can be made there; None where there is no
            limit, or it is unknown.
        fetch_bytes: Size of what the Hub still has of its models and networks.
        cache_free_bytes: Free space where that goes; None if nothing is to come.
        stored: What submitting it would change in the stored sweep of that name; None
            if there is none.
        scores: What its scores take, a row for each metric.
        new_references: Images to compare with that do not exist yet; they are no part
            of the other counts, but of evaluations, time and disk.
        limits: What would stop it before all is made.
        order: In which order it would be made, of `producer.spec.orders`.
        axes: Axis names to the labels of their values.
        schedulers: What each scheduler of the file stands for, by model where
            models differ in it.
        taken: A sentence about what was chosen where the file says nothing, or None.
        notes: Sentences about what words such as `scheduler: all` leave out.
        warnings: Sentences.
    """

    sweep: str
    total: int
    whole: int
    new: int
    existing: Mapping[str, int]
    evaluations: int
    worker_s: float | None
    disk_bytes: int
    disk_files: int
    free_bytes: int | None
    free_inodes: int | None
    fetch_bytes: int
    cache_free_bytes: int | None
    stored: Difference | None
    scores: Sequence[Mapping[str, Any]]
    new_references: int
    limits: Limits
    order: str
    axes: Mapping[str, Sequence[str]]
    schedulers: Sequence[Mapping[str, Any]]
    taken: str | None
    notes: Sequence[str]
    warnings: Sequence[str]

    @property
    def to_make(self) -> int:
        """Images that submitting the sweep would make."""
        return self.new + self.existing.get("pending", 0)


def describe_plan(plan: Plan) -> Iterator[str]:
    """Yield a plan as lines for people, which fit a terminal."""
    yield f"{plan.sweep}: {part_of(plan.total, plan.whole)}"
    if plan.taken:
        yield from _fitted(plan.taken, indent=2)
    yield from _axes(plan.axes)
    yield ""
    for name, figure in _figures(plan):
        yield from _fitted(f"{name:<13}{figure}", indent=13)
    yield ""
    yield "Schedulers"
    yield from _schedulers(plan.schedulers)
    for note in plan.notes:
        yield from _fitted(f"  {note}.", indent=4)


def _fitted(line: str, *, indent: int) -> Sequence[str]:
    return hang(line, width=terminal_width(), indent=indent)


def _axes(axes: Mapping[str, Sequence[str]]) -> Iterator[str]:
    width = terminal_width()
    counts = [len(str(len(labels))) for labels in axes.values()]
    name_width = max([_LEAST_NAME, *map(cell_len, axes)])
    count_width = max([_LEAST_COUNT, *counts])
    for name, labels in axes.items():
        values = ", ".join(map(quoted, labels))
        line = f"  {padded(name, name_width)} {len(labels):>{count_width}}  {values}"
        yield shorten(line, width) if width else line


def _figures(plan: Plan) -> Iterator[tuple[str, str]]:
    exist = plan.total - plan.new
    states = ", ".join(f"{count:,} {state}" for state, count in plan.existing.items())
    yield "New", f"{plan.new:,}"
    yield "Exist", f"{exist:,}" + (f" ({states})" if states else "")
    if plan.stored:
        asks = "; `run` and `submit` ask first" if plan.stored.lost else ""
        yield "Stored", f"{describe_difference(plan.stored)}{asks}"
    for row in plan.scores:
        yield "Score", describe_forecast(row)
    if plan.new_references:
        yield "References", f"{images(plan.new_references)} to make for the scores"
    yield "Evaluations", f"{plan.evaluations:,} calls of the model"
    yield "Time", _describe_time(plan)
    if plan.limits.are_set:
        yield "Stops", describe_budget(Budget(limits=plan.limits))
    if plan.order != BREADTH_FIRST:
        yield "Order", plan.order
    yield "Disk", _describe_disk(plan)
    if plan.cache_free_bytes is not None:
        free = size(plan.cache_free_bytes)
        yield "Fetch", f"{size(plan.fetch_bytes)} of {free} free in the Hub's cache"


def _schedulers(schedulers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    models = {model for one in schedulers for model in one["models"]}
    widest = max(cell_len(one["label"]) for one in schedulers)
    width = min(max(widest, _LABEL[0]), _LABEL[1])
    for one in schedulers:
        label = padded(one["label"], width)
        line = f"  {label} {one['class']}({_listed(one['options'])})"
        if one["inherited"]:
            line += f", with the model's {_listed(one['inherited'])}"
        if len(one["models"]) < len(models):
            line += f", on {', '.join(one['models'])}"
        yield from _fitted(line, indent=width + 3)


def _listed(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in options.items())


def _describe_disk(plan: Plan) -> str:
    files = f"{plan.disk_files:,} file{'' if plan.disk_files == 1 else 's'}"
    needed = f"{size(plan.disk_bytes)} in {files}"
    if plan.free_bytes is None:
        return f"{needed}, in a bucket"
    if plan.free_inodes is None:
        return f"{needed}, of {size(plan.free_bytes)} free"
    free = f"{size(plan.free_bytes)} and {plan.free_inodes:,} inodes free"
    return f"{needed}, of {free}"


def _describe_time(plan: Plan) -> str:
    if not plan.to_make:
        return "none, all of it exists"
    if plan.worker_s is None:
        return "unknown: nothing of this model and size was timed here yet"
    hours = plan.worker_s / 3600
    one, eight = duration(plan.worker_s), duration(plan.worker_s / 8)
    return f"{one} on one worker, {eight} on eight ({hours:.2g} GPU-hours)"
