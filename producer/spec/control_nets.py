"""ControlNets as a sweep names them: a folder or Hub id, or a mapping."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from yaml.nodes import MappingNode, Node

from producer.spec.choices import optional_text
from producer.spec.entries import fields, items
from producer.spec.input_images import InputImage, read_input
from producer.spec.parameters import number
from producer.spec.problems import Problems
from producer.spec.yamltext import is_null, text_of
from storage.errors import ModelError, UsageError
from storage.models.control_nets import resolve_control_net

#: Numbers that a mapping may set, with the range of each.
_NUMBERS: Mapping[str, tuple[float, float]] = {
    "scale": (0, 10),
    "start": (0, 1),
    "end": (0, 1),
}
_KEYS = ("model", "image", *_NUMBERS, "label", "revision", "variant")


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlChoice:
    """A ControlNet, and what it follows.

    Attributes:
        name: An absolute folder, or a Hub id.
        revision: Branch, tag or commit; Hub only.
        variant: File variant such as `fp16`.
        label: What labels call it.
        image: Its control image; None for that of `control_image`.
        scale: What `control_scale` is multiplied with.
        start: As `control_start`; None for that.
        end: As `control_end`; None for that.
    """

    name: str
    revision: str | None = None
    variant: str | None = None
    label: str
    image: InputImage | None = None
    scale: float = 1.0
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True, slots=True)
class ControlChoices:
    """All ControlNets that a job has, in the order in which they are called."""

    nets: tuple[ControlChoice, ...]

    def __str__(self) -> str:
        """Return how messages show them."""
        return " + ".join(map(label_of, self.nets)) or "none"


def label_of(net: ControlChoice) -> str:
    """Return how labels show a ControlNet: `canny`, `canny@0.5` or `canny (cat.png)`.

    A scale of 1 is left out, and so is an image that `control_image` names.
    """
    scale = "" if net.scale == 1 else f"@{net.scale:g}"
    image = f" ({net.image})" if net.image else ""
    return f"{net.label}{scale}{image}"


def read_control_nets(
    node: Node, *, folder: Path, problems: Problems
) -> ControlChoices:
    """Read ControlNets: each a folder, a Hub id or `{model, image, scale, ...}`.

    Raises:
        UsageError: One is none of these.
    """
    nets = (_read(item, folder, problems) for item in items(node) if not is_null(item))
    return ControlChoices(tuple(nets))


def _read(node: Node, folder: Path, problems: Problems) -> ControlChoice:
    entry: Mapping[str, Node] = {"model": node}
    if isinstance(node, MappingNode):
        entry = fields(node, problems, what="a ControlNet", known=_KEYS)
    if "model" not in entry:
        msg = (
            "a ControlNet must have a model, got a mapping without it; write"
            " {model: FOLDER, image: FILE}"
        )
        raise UsageError(msg)
    name = _resolve(text_of(entry["model"], what="model").strip(), folder)
    label = optional_text(entry, "label") or PurePath(name).name
    image = None
    if "image" in entry:
        image = read_input("control_image", entry["image"], folder, problems)
    numbers = {
        key: number(f"{key} of a ControlNet", *bounds)(text_of(entry[key], what=key))
        for key, bounds in _NUMBERS.items()
        if key in entry
    }
    return ControlChoice(
        name=name,
        revision=optional_text(entry, "revision"),
        variant=optional_text(entry, "variant"),
        label=label,
        image=image,
        **numbers,
    )


def _resolve(name: str, folder: Path) -> str:
    try:
        return resolve_control_net(name, folder)
    except ModelError as error:
        raise UsageError(str(error)) from error
