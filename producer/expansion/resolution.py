"""What the values of a spec mean for one model: defaults, and what makes a job."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
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
from producer.expansion.scheduler_planning import (
    PlannedScheduler,
    plan_scheduler,
    spell_out,
)
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
from storage.catalogue.image_pipelines import IMAGE_PIPELINES
from storage.catalogue.pipeline_calls import PREFIX, SIZE_INPUTS
from storage.catalogue.pipeline_families import ONLY_GUIDED, OWN_SCALE, Guidance
from storage.catalogue.schedules import meant, steps_of
from storage.job import EXTRAS, Job

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
