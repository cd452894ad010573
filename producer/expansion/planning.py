"""From the cells of a grid to its jobs, each with its place and its older keys."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from producer.expansion.cells import Cell
from producer.expansion.grid import Grid
from producer.expansion.resolution import (
    LIKE_SIZE,
    SETTLED,
    SIZE,
    combine,
    settled,
    word_job,
)
from producer.expansion.scheduler_planning import PlannedScheduler
from producer.spec.parameters import Prompt
from storage.catalogue import schedulers
from storage.catalogue.control_pipelines import networks_called
from storage.catalogue.image_pipelines import evaluations_skipped
from storage.job import EXTRAS, Job, PlannedJob


class JobPlanner:
    """Makes the jobs of one grid; remembers what is the same for many of them."""

    def __init__(self, grid: Grid, grids: Sequence[Grid]) -> None:
        """Plan for the model of one of a sweep's grids."""
        self._grid = grid
        self._grids = grids
        self._card = grid.card
        effects = grid.card.effects
        self._no_scale = effects if effects and not effects.takes_scale else None
        self._axes = [axis.name for axis in grid.axes]
        self._names: dict[tuple[str, Any], dict[str, Any]] = {}
        self._evaluations: dict[tuple[str, int, bool], int] = {}
        self._known: dict[int, list[str]] = {}
        settling = SETTLED.intersection((*grid.calls, *EXTRAS))
        if not settling.isdisjoint(LIKE_SIZE):
            settling |= SIZE
        self._settling = sorted(settling)
        #: Whether what may have no effect is settled, by its values.
        self._is_settled: dict[tuple[Any, ...], bool] = {}

    def plan(self, cell: Cell, position: int) -> PlannedJob:
        """Make the job of a cell."""
        meant = self._settle(cell.parameters)
        job = word_job(meant, self._card)
        scheduler: PlannedScheduler = meant["scheduler"]
        prompt: Prompt = meant["prompt"]
        return PlannedJob(
            job=job,
            position=position,
            cell=self._place(cell, prompt),
            **self._name(scheduler, job),
            evaluations=(self._count(scheduler, job) - _skipped(job))
            * networks_called(job.extras),
            template=prompt.template,
            former_keys=self._former_keys(cell, meant, job),
        )

    def _settle(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        values = (
            *(parameters["guidance"], parameters["negative_prompt"]),
            *(parameters[name] for name in self._settling),
        )
        if self._is_settled.get(values):
            return parameters
        meant = settled(parameters, self._card)
        self._is_settled[values] = meant is parameters
        return meant

    def _place(self, cell: Cell, prompt: Prompt) -> dict[str, str | Sequence[str]]:
        """Return the label of each axis; several where the job has several cells.

        An axis without an effect here, whose labels the job all has, is left out.
        """
        named = zip(self._axes, cell.points, strict=True)
        labels: dict[str, str | Sequence[str]]
        labels = {name: point.label for name, point in named}
        for index in cell.alike[0] if cell.alike else ():
            alike = {each[index].label for each in cell.alike}
            alike.add(cell.points[index].label)
            known = self._labels(index)
            if len(alike) > 1:
                labels[self._axes[index]] = [each for each in known if each in alike]
            if 1 < len(alike) == len(known):
                del labels[self._axes[index]]
        for number, chosen in enumerate(prompt.choices, start=1):
            labels[f"prompt.{number}"] = chosen
        return labels

    def _labels(self, index: int) -> list[str]:
        """Return the labels of an axis, of all models, in the order of display."""
        if index not in self._known:
            blocks = (block for grid in self._grids for block in grid.blocks)
            points = (p for block in blocks for p in block.points[index].values())
            self._known[index] = list(dict.fromkeys(point.label for point in points))
        return self._known[index]

    def _former_keys(
        self, cell: Cell, meant: Mapping[str, Any], job: Job
    ) -> tuple[str, ...]:
        """Return the job's keys under former fingerprints, and those of other wordings.

        Nearly all jobs have none.
        """
        words: list[Mapping[str, Any]] = [
            combine(cell.parameters, (point.sets for point in points.values()))
            for points in cell.alike
        ]
        if meant is not cell.parameters:
            words.insert(0, cell.parameters)
        if self._no_scale:
            scales = self._no_scale.other_scales(meant["guidance"])
            words += [{**meant, "guidance": scale} for scale in scales]
        if self._card.composes and not _is_plain(meant):
            words.append(_decomposed(meant))
        if not words:
            return job.former_keys
        others = [word_job(each, self._card) for each in words]
        keys = [each.key for each in others]
        for each in (job, *others):
            keys += each.former_keys
        return tuple(dict.fromkeys(key for key in keys if key != job.key))

    def _name(self, scheduler: PlannedScheduler, job: Job) -> dict[str, Any]:
        key = (scheduler.token, job.parameter("eta"))
        if key not in self._names:
            name = scheduler.short_name(job.extras)
            shown = scheduler.shown_name(job.extras)
            is_other = scheduler.label is not None or shown != name
            self._names[key] = {
                "scheduler_name": name,
                "scheduler_label": shown if is_other else None,
                "scheduler_names": scheduler.names(job.extras),
            }
        return self._names[key]

    def _count(self, scheduler: PlannedScheduler, job: Job) -> int:
        key = (scheduler.token, job.steps, bool(job.schedule))
        if key not in self._evaluations:
            self._evaluations[key] = schedulers.evaluations(
                scheduler.asked.class_name,
                scheduler.options,
                config=self._card.scheduler_config,
                steps=job.steps,
                has_schedule=bool(job.schedule),
            )
        return self._evaluations[key]


def _skipped(job: Job) -> int:
    of = schedulers.CLASSES[job.scheduler_class]
    pipeline = job.model.pipeline
    return evaluations_skipped(pipeline, of, job.extras, steps=job.steps)


def _is_plain(meant: Mapping[str, Any]) -> bool:
    prompt: Prompt = meant["prompt"]
    negative: str = meant["negative_prompt"]
    return prompt.text.isascii() and negative.isascii()


def _decomposed(meant: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the wording whose letters and accents are characters of their own."""
    prompt, negative = meant["prompt"], meant["negative_prompt"]
    return {
        **meant,
        "prompt": replace(prompt, text=unicodedata.normalize("NFD", prompt.text)),
        "negative_prompt": unicodedata.normalize("NFD", negative),
    }
