"""What the values of a spec mean for one model: defaults, schedulers, identities."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from producer.expansion.control_planning import (
    CONTROL_END,
    CONTROL_IMAGE,
    CONTROL_SCALE,
    CONTROL_START,
    CONTROLNET,
    WITH_NETS,
    PlannedControls,
    control_rows,
    plan_controls,
)
from producer.expansion.quantised_parts import name_network
from producer.expansion.weight_planning import (
    EMBEDDINGS,
    LORA_SCALE,
    LORAS,
    PlannedWeights,
    plan_weights,
    scaled_loras,
)
from producer.models.cards import ModelCard
from producer.spec.input_images import InputImage
from producer.spec.parameters import (
    UNSET,
    ModelChoice,
    Prompt,
    ScheduleChoice,
    SchedulerChoice,
)
from storage.catalogue import schedulers
from storage.catalogue.image_pipelines import IMAGE_PIPELINES
from storage.catalogue.pipeline_calls import PREFIX, SIZE_INPUTS
from storage.catalogue.pipeline_families import ONLY_GUIDED, OWN_SCALE, Guidance
from storage.catalogue.scheduler_options import kind_of_model
from storage.catalogue.scheduler_sets import choose
from storage.catalogue.schedulers import Scheduler
from storage.catalogue.schedules import meant, steps_of
from storage.catalogue.shifts import shift_options
from storage.errors import UsageError
from storage.job import EXTRAS, Job, canonical_json

#: Parameters that a tokenizer reads.
TEXTS = frozenset({"prompt", "negative_prompt"})
#: Parameters that have no effect where they are the size of the image.
LIKE_SIZE = frozenset(name for names in SIZE_INPUTS.values() for name in names)
SIZE = frozenset({"width", "height"})
#: Parameters that may have no effect, depending on each other.
SETTLED = frozenset(
    {
        *("guidance", "negative_prompt", OWN_SCALE, *ONLY_GUIDED),
        *("image", "strength", "resize", LORAS, LORA_SCALE),
        *(CONTROLNET, *WITH_NETS, *LIKE_SIZE),
    }
)
#: Where one of the others is null, the scheduler decides what it is.
OF_SCHEDULER = frozenset({"eta", "shift", "scheduler"})


class DefaultSteps(int):
    """The steps of a job for which the sweep names none; a schedule decides then."""


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


def defaults(card: ModelCard, calls: Iterable[str] = ()) -> dict[str, Any]:
    """Return the value of each parameter where the spec says nothing.

    None stands for not set: the model's own scheduler, no eta, no shift.

    Args:
        card: The model.
        calls: Inputs that only some pipelines have, such as `call.true_cfg_scale`;
            None is the value of those that the model's pipeline does not have.
    """
    return {
        "backend": "torch",
        "dtype": card.dtype_default,
        "width": card.width,
        "height": card.height,
        "prompt": Prompt(""),
        "negative_prompt": "",
        "seed": 0,
        "generator": "cpu",
        "scheduler": SchedulerChoice(scheduler=None),
        "steps": DefaultSteps(card.steps_default),
        "guidance": card.guidance_default,
        **EXTRAS,
        **dict.fromkeys(("eta", "image", "strength", "resize", "shift")),
        LORAS: PlannedWeights(),
        EMBEDDINGS: PlannedWeights(),
        LORA_SCALE: 1.0,
        CONTROLNET: PlannedControls(),
        CONTROL_IMAGE: None,
        CONTROL_SCALE: 1.0,
        CONTROL_START: 0.0,
        CONTROL_END: 1.0,
        **{name: card.call_default(name) for name in calls},
    }


def resolve(parameters: Mapping[str, Any], card: ModelCard) -> dict[str, Any]:
    """Return the parameters as they apply to this model.

    Unset ones get the model's defaults, a scheduler is planned, and texts take the one
    form that the tokenizers read, where they have one.
    """
    resolved = dict(parameters)
    if UNSET in resolved.values():
        own = defaults(card, filter(_is_call, resolved))
        resolved = {k: own[k] if v is UNSET else v for k, v in resolved.items()}
    if card.composes:
        for name in TEXTS & resolved.keys():
            resolved[name] = _composed(resolved[name])
    choice = resolved.get("scheduler")
    if isinstance(choice, SchedulerChoice):
        resolved["scheduler"] = plan_scheduler(choice, card)
    schedule = resolved.get("schedule")
    if isinstance(schedule, ScheduleChoice):
        resolved["schedule"] = meant(schedule.values, card.pipeline_class)
    return (
        resolved
        | plan_weights(resolved, card)
        | plan_controls(resolved, card)
        | name_network(resolved, card)
    )


def resolve_each(
    name: str, values: Iterable[Any], card: ModelCard
) -> Iterator[dict[str, Any]]:
    """Resolve values of one parameter; a pattern of schedulers gives several."""
    for value in values:
        is_scheduler = isinstance(value, SchedulerChoice)
        for each in spell_out(value, card)[0] if is_scheduler else [value]:
            yield resolve({name: each}, card)


def _composed(value: Prompt | str) -> Prompt | str:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    return replace(value, text=unicodedata.normalize("NFC", value.text))


def token_of(value: object) -> Any:
    """Return something hashable that is equal for values that mean the same."""
    if isinstance(value, Prompt):
        return value.text
    if isinstance(value, PlannedScheduler | PlannedWeights | PlannedControls):
        return value.token
    if isinstance(value, InputImage):
        return value.digest
    if isinstance(value, ModelChoice):
        return (value.name, value.revision, value.variant)
    return value


def combine(
    parameters: Mapping[str, Any], points: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return parameters as the points of some axes change them.

    Args:
        parameters: All of them, resolved.
        points: What each point sets.
    """
    changed = dict(parameters)
    for sets in points:
        changed.update(sets)
    scheduler = changed["scheduler"].shifted(changed["shift"])
    changed["scheduler"], schedule = scheduler, changed["schedule"]
    if schedule and isinstance(changed["steps"], DefaultSteps):
        steps = steps_of(schedule, scheduler.asked.class_name)
        changed["steps"] = DefaultSteps(steps)
    return changed


def settled(parameters: Mapping[str, Any], card: ModelCard) -> Mapping[str, Any]:
    """Return the parameters, with those without effect in one common form."""
    meant = _settled_image(parameters, card) | _settled_sizes(parameters, card)
    if card.effects is not None:
        meant |= _settled_guidance(parameters, card, card.effects)
    changed = {
        name: value
        for name, value in meant.items()
        if name in parameters and parameters[name] != value
    }
    return {**parameters, **changed} if changed else parameters


def _settled_image(parameters: Mapping[str, Any], card: ModelCard) -> dict[str, Any]:
    if parameters["image"] is None:
        has_net = bool(parameters[CONTROLNET])
        return {"strength": None} | ({} if has_net else {"resize": None})
    known = IMAGE_PIPELINES.get(card.pipeline_class)
    if parameters["strength"] is None and known:
        return {"strength": known.strength}
    return {}


def _settled_sizes(parameters: Mapping[str, Any], card: ModelCard) -> dict[str, Any]:
    size = (parameters["height"], parameters["width"])
    names = SIZE_INPUTS.get(card.pipeline_class, ())
    return {name: None for name in names if parameters.get(name) == size}


def _settled_guidance(
    parameters: Mapping[str, Any], card: ModelCard, effects: Guidance
) -> dict[str, Any]:
    guidance, negative, own = effects.settle(
        parameters["guidance"],
        parameters["negative_prompt"],
        own=parameters.get(OWN_SCALE),
    )
    meant = {"guidance": guidance, "negative_prompt": negative, OWN_SCALE: own}
    if not effects.calls_twice(guidance):
        inputs = card.calls.items()
        meant |= {name: one.default for name, one in inputs if name in ONLY_GUIDED}
    return meant


def meaning_of(parameters: Mapping[str, Any], card: ModelCard) -> dict[str, Any]:
    """Return tokens of the parameters that are equal where they give one job."""
    meant = settled(parameters, card)
    tokens = {name: token_of(value) for name, value in meant.items()}
    scheduler: PlannedScheduler = meant["scheduler"]
    eta = scheduler.own_eta if meant["eta"] is None else meant["eta"]
    loras = scaled_loras(meant).token
    return {
        **tokens,
        "eta": eta,
        "shift": None,  # the scheduler has it already
        "scheduler": scheduler.method,
        LORAS: loras,
        LORA_SCALE: None,
        CONTROLNET: control_rows(meant),
        **dict.fromkeys(WITH_NETS),
    }


def make_job(parameters: Mapping[str, Any], card: ModelCard) -> Job:
    """Make the job that a complete set of resolved parameters means."""
    return word_job(settled(parameters, card), card)


def word_job(parameters: Mapping[str, Any], card: ModelCard) -> Job:
    """Make the job of a complete set of resolved parameters, word for word."""
    scheduler: PlannedScheduler = parameters["scheduler"]
    extras = {
        name: token_of(parameters[name])
        for name in EXTRAS
        if parameters[name] is not None
    }
    weights = {LORAS: scaled_loras(parameters), EMBEDDINGS: parameters[EMBEDDINGS]}
    extras |= {name: each.rows for name, each in weights.items()}
    extras[CONTROLNET] = control_rows(parameters)
    extras |= {
        name: parameters[name]
        for name, one in card.calls.items()
        if name in parameters and parameters[name] != one.default
    }
    return Job(
        model=card.model,
        backend=parameters["backend"],
        dtype=parameters["dtype"],
        width=parameters["width"],
        height=parameters["height"],
        prompt=parameters["prompt"].text,
        negative_prompt=parameters["negative_prompt"],
        seed=parameters["seed"],
        generator=parameters["generator"],
        scheduler_class=scheduler.asked.class_name,
        scheduler_options=scheduler.options,
        steps=int(parameters["steps"]),
        guidance=parameters["guidance"],
        extras={**extras, **scheduler.asked.extras},
        parts=tuple(
            part
            for each in (*weights.values(), parameters[CONTROLNET])
            for part in each.parts
        ),
    )


def _is_call(name: str) -> bool:
    return name.startswith(PREFIX)


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
