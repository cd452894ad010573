"""Schedulers as the jobs of one model have them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from producer.models.cards import ModelCard
from producer.spec.parameters import SchedulerChoice
from storage.catalogue import schedulers
from storage.catalogue.scheduler_options import kind_of_model
from storage.catalogue.scheduler_sets import choose
from storage.catalogue.schedulers import Scheduler
from storage.catalogue.shifts import shift_options
from storage.errors import UsageError
from storage.job import EXTRAS, canonical_json


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedScheduler:
    """A scheduler as one model's jobs have it.

    Attributes:
        asked: Class and options, as the sweep says.
        options: The options that change what the model's config says.
        config: The model's scheduler config.
        token: Text that is equal for schedulers that do the same.
        method: Text that is equal for schedulers that do the same at one eta, whatever
            their own eta.
        label: The sweep's own name for it.
        written: The name as the sweep writes it.
        word: The word such as `every` that it came from; empty where it was named.
        problems: Why this model cannot use it, one sentence each.
        replan: Plans another scheduler for the same choice.
    """

    asked: Scheduler
    options: Mapping[str, Any]
    config: Mapping[str, Any]
    token: str
    method: str
    label: str | None
    written: str
    word: str
    problems: tuple[str, ...]
    replan: Callable[[Scheduler, Sequence[str]], "PlannedScheduler"]
    _shifted: dict[float, "PlannedScheduler"] = field(default_factory=dict)

    def shifted(self, shift: float | None) -> "PlannedScheduler":
        """Return the scheduler with a fixed shift; itself for None."""
        if shift is None or self.problems:
            return self
        if shift not in self._shifted:
            self._shifted[shift] = self._shift(shift)
        return self._shifted[shift]

    def _shift(self, shift: float) -> "PlannedScheduler":
        try:
            options = shift_options(self.asked, shift, config=self.config)
        except UsageError as error:
            return self.replan(self.asked, [str(error)])
        return self.replan(replace(self.asked, options=options), ())

    @property
    def own_eta(self) -> float:
        """The eta of jobs that set none."""
        return float(self.asked.extras.get("eta", EXTRAS["eta"]))

    @property
    def name(self) -> str:
        """The name to show: the sweep's own, else the one that it asked for."""
        return self.shown_name(self.asked.extras)

    def shown_name(self, extras: Mapping[str, Any]) -> str:
        """Return the name that the sweep shows for a job with these extras."""
        return self.label or self._short_name(extras, asked=self.asked.name)

    def short_name(self, extras: Mapping[str, Any]) -> str:
        """Return the canonical short name of a job with these extras."""
        return self._short_name(extras, asked="")

    def names(self, extras: Mapping[str, Any]) -> tuple[str, ...]:
        """Return all names that mean a job with these extras on this model."""
        of_catalogue = schedulers.names_of(
            self.asked.class_name, self.options, extras, config=self.config
        )
        return tuple(dict.fromkeys([self.short_name(extras), *of_catalogue]))

    @property
    def is_pinned(self) -> bool:
        """Whether its name sets options that differ from the model's config."""
        return not self.options.keys() <= self.asked.options.keys()

    @property
    def inherited(self) -> dict[str, Any]:
        """What a class takes from the model's config that is not the class's default.

        Empty where the sweep asks for a name, which sets the options that matter.
        """
        if self.asked.name or self.problems:
            return {}
        of = schedulers.CLASSES[self.asked.class_name]
        return {
            name: value
            for name, option in of.options.items()
            if name not in self.asked.options
            and (value := of.inherited(name, self.config)) != option.default
        }

    def _short_name(self, extras: Mapping[str, Any], *, asked: str) -> str:
        if self.problems:
            return self.asked.class_name
        return schedulers.short_name(
            self.asked.class_name,
            self.options,
            extras,
            config=self.config,
            asked=asked,
        )


def plan_scheduler(choice: SchedulerChoice, card: ModelCard) -> PlannedScheduler:
    """Work out what a scheduler does on a model.

    Args:
        choice: What the sweep says; None in it stands for the model's own scheduler.
        card: The model.

    Returns:
        The scheduler, with what is wrong about it. Nothing is raised, since the cells
        that have it may all be excluded.
    """
    asked, problems = _look_up(choice, card)
    return _plan(choice, card, asked, problems)


def _plan(
    choice: SchedulerChoice, card: ModelCard, asked: Scheduler, problems: Sequence[str]
) -> PlannedScheduler:
    def replan(other: Scheduler, wrong: Sequence[str]) -> PlannedScheduler:
        return _plan(choice, card, other, wrong or card.check_scheduler(other))

    options = asked.options
    if not problems:
        options = schedulers.effective_options(asked, card.scheduler_config)
    token = canonical_json([asked.class_name, options, dict(asked.extras)])
    return PlannedScheduler(
        asked=asked,
        options=options,
        config=card.scheduler_config,
        token=token,
        method=canonical_json([asked.class_name, options]),
        label=choice.label,
        written=choice.written or asked.class_name,
        word=choice.word,
        problems=tuple(problems),
        replan=replan,
    )


def spell_out(
    choice: SchedulerChoice, card: ModelCard
) -> tuple[list[SchedulerChoice], str]:
    """Return the schedulers that a word stands for on a model.

    Returns:
        The schedulers, and a sentence about what is left out, or an empty text. A
        choice of one scheduler is returned as it is.
    """
    if not choice.is_set:
        return [choice], ""
    chosen = choose(
        choice.written,
        family=card.scheduler_family,
        config=card.scheduler_config,
        pipeline=card.pipeline_class,
    )
    each = [
        SchedulerChoice(
            scheduler=one, written=one.name or one.class_name, word=choice.written
        )
        for one in chosen.schedulers
    ]
    return each, chosen.note


def _look_up(choice: SchedulerChoice, card: ModelCard) -> tuple[Scheduler, list[str]]:
    if choice.scheduler is not None:
        return choice.scheduler, card.check_scheduler(choice.scheduler)
    try:
        own = schedulers.resolve(card.scheduler_class, {})
    except UsageError as error:
        return Scheduler(class_name=card.scheduler_class), [_refuse_own(card, error)]
    return own, card.check_scheduler(own)


def _refuse_own(card: ModelCard, error: UsageError) -> str:
    """Say why a model's own scheduler is not offered for that model."""
    if kind_of_model(card.scheduler_family, card.scheduler_config) != "edm":
        return str(error)
    return (
        "a model's own scheduler must be in the catalogue, which has none for models"
        " that were trained as in EDM (Karras et al. 2022), got"
        f" {card.scheduler_class}; name another model"
    )
