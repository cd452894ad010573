"""ControlNets as the jobs of one model have them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from producer.models.cards import ModelCard
from producer.spec.control_nets import ControlChoice, ControlChoices
from producer.spec.input_images import InputImage
from producer.spec.problems import listed
from storage.catalogue.control_pipelines import (
    CONTROL_PIPELINES,
    UNSUPPORTED,
    Control,
    ControlPipeline,
)
from storage.errors import ModelError
from storage.job import Model, canonical_json
from storage.models.control_nets import CONFIG, FAMILY, describe_control_net
from storage.models.fingerprint import Digests
from storage.models.located import Located, read_json

CONTROLNET, CONTROL_IMAGE, CONTROL_SCALE = (
    "controlnet",
    "control_image",
    "control_scale",
)
CONTROL_START, CONTROL_END = "control_start", "control_end"
#: Parameters that have an effect beside a ControlNet only.
WITH_NETS = (CONTROL_IMAGE, CONTROL_SCALE, CONTROL_START, CONTROL_END)
#: The setting of a ControlNet of Flux that is several in one.
_MODES = "num_mode"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedControl:
    """A ControlNet that was found.

    Attributes:
        choice: As the sweep names it.
        part: The ControlNet, at its place.
        located: Its files.
    """

    choice: ControlChoice
    part: Model
    located: Located = field(compare=False)

    def row(self, image: InputImage | None, numbers: Mapping[str, float]) -> Control:
        """Return its row of a job's extra.

        Args:
            image: The control image, if it names none.
            numbers: The parameters of `WITH_NETS` that are numbers.
        """
        choice, image = self.choice, self.choice.image or image
        start, end = choice.start, choice.end
        return Control(
            fingerprint=self.part.fingerprint,
            image=image.digest if image else "",
            scale=choice.scale * numbers[CONTROL_SCALE],
            start=numbers[CONTROL_START] if start is None else start,
            end=numbers[CONTROL_END] if end is None else end,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedControls:
    """The ControlNets of a job, found.

    Attributes:
        nets: In the order in which they are called.
        label: What grids and tables show.
        problems: Why this model cannot use them, one sentence each.
    """

    nets: tuple[PlannedControl, ...] = ()
    label: str = "none"
    problems: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self.nets or self.problems)

    def __str__(self) -> str:
        """Return the label."""
        return self.label

    @property
    def token(self) -> Any:
        """Equal for ControlNets that do the same."""
        own = tuple(
            (net.part.fingerprint, choice.image, choice.scale, choice.start, choice.end)
            for net in self.nets
            for choice in (net.choice,)
        )
        return (own, self.label) if self.problems else own

    @property
    def parts(self) -> tuple[Model, ...]:
        """The ControlNets, each at its place."""
        return tuple(net.part for net in self.nets)


def plan_controls(parameters: Mapping[str, Any], card: ModelCard) -> dict[str, Any]:
    """Return the ControlNets that the parameters name, found and checked.

    Nothing is raised, since the cells that have a wrong one may all be excluded.
    """
    given = parameters.get(CONTROLNET)
    if not isinstance(given, ControlChoices):
        return {}
    known = CONTROL_PIPELINES.get(card.pipeline_class)
    if given.nets and known is None:
        problem = _refuse_pipeline(given, card)
        return {CONTROLNET: PlannedControls(label=str(given), problems=(problem,))}
    nets: list[PlannedControl] = []
    problems: list[str] = []
    for choice in given.nets:
        try:
            net = _find(choice, card.digests or Digests())
            problems += _find_misfits(net, card, known) if known else ()
            nets.append(net)
        except ModelError as error:
            problems.append(str(error))
    return {
        CONTROLNET: PlannedControls(
            nets=tuple(nets), label=str(given), problems=tuple(problems)
        )
    }


def control_rows(parameters: Mapping[str, Any]) -> tuple[Control, ...]:
    """Return what the extra of a job holds, for a complete set of parameters."""
    planned: PlannedControls = parameters[CONTROLNET]
    return tuple(net.row(parameters[CONTROL_IMAGE], parameters) for net in planned.nets)


def control_images(parameters: Mapping[str, Any]) -> Iterator[InputImage | None]:
    """Yield the control image of each ControlNet; None for one that has none.

    Args:
        parameters: `controlnet` and `control_image`, resolved.
    """
    planned: PlannedControls = parameters[CONTROLNET]
    for net in planned.nets:
        yield net.choice.image or parameters[CONTROL_IMAGE]


def _find(choice: ControlChoice, digests: Digests) -> PlannedControl:
    place = Model(
        fingerprint="",
        name=choice.name,
        revision=choice.revision,
        variant=choice.variant,
        family=FAMILY,
    )
    part, located = describe_control_net(place, digests)
    return PlannedControl(choice=choice, part=part, located=located)


def _find_misfits(
    net: PlannedControl, card: ModelCard, known: ControlPipeline
) -> Iterator[str]:
    label, config = net.choice.label, read_json(net.located.folder / CONFIG)
    way_out = f"use one that was made for {card.model.name} or its base"
    kind = config.get("_class_name")
    if kind != known.net:
        yield (
            f"a ControlNet of a {card.pipeline_class} must be a {known.net}, but"
            f" {label} is a {kind}; {way_out}"
        )
        return
    if config.get(_MODES) is not None:
        yield (
            f"a ControlNet must be for one kind of control image, but {label} is for"
            f" {config[_MODES]} kinds (a union); use one for a single kind"
        )
    own = _read_part(card, known.part)
    for name in known.fits:
        pair = (config.get(name), own.get(name))
        if None not in pair and pair[0] != pair[1]:
            theirs, wanted = map(canonical_json, pair)
            yield (
                f"a ControlNet must fit its model, but {label} has {name} {theirs},"
                f" where the model's {known.part} has {wanted}; {way_out}"
            )
            return


def _read_part(card: ModelCard, part: str) -> Mapping[str, Any]:
    if card.located is None:
        return {}
    return read_json(card.located.folder / part / CONFIG)


def _refuse_pipeline(given: ControlChoices, card: ModelCard) -> str:
    why = UNSUPPORTED.get(card.pipeline_class, "no ControlNet was tried with it")
    return (
        f"controlnet must be left out for a {card.pipeline_class}, got {given}: {why};"
        f" those that take one are {listed(CONTROL_PIPELINES)}"
    )
