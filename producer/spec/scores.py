"""The scores that a sweep asks for: metrics by name, or with a model and reference."""

from dataclasses import dataclass, field
from importlib.metadata import entry_points

from yaml.nodes import MappingNode, Node

from producer.spec.choices import optional_text
from producer.spec.entries import fields, items
from producer.spec.parameters import integer
from producer.spec.problems import Place, Problems, nearest, shown
from producer.spec.yamltext import place_of, text_of
from storage.errors import UsageError
from storage.metrics.kinds import KINDS
from storage.metrics.own_classes import GROUP

#: Most steps of a reference, and the least: its half must be another setting.
REFERENCE_RANGE = (4, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreEntry:
    """A metric that a sweep asks for.

    Attributes:
        metric: Its name, or where its class is.
        model: The network that is to judge; None for the metric's own choice.
        steps: Steps of the reference; None for the usual number.
        place: Where it was written; ignored when entries are compared.
    """

    metric: str
    model: str | None = None
    steps: int | None = None
    place: Place = field(compare=False)


def read_scores(node: Node, problems: Problems) -> tuple[ScoreEntry, ...]:
    """Read the section `scores`; what is wrong becomes problems."""
    found: dict[ScoreEntry, None] = {}
    for each in items(node):
        with problems.at(place_of(each)):
            found.setdefault(_read(each, problems))
    return tuple(found)


def refuse_unknown(name: str) -> None:
    """Refuse a name that is no metric's, and hint at the nearest.

    Raises:
        UsageError: No metric is built in or offered under it, and it is no class.
    """
    known = [*KINDS, *sorted(entry_points(group=GROUP).names)]
    if name not in known and ":" not in name:
        msg = (
            f"a score must be a metric, or a class as package:Class, got {shown(name)};"
            f" {nearest(name, known)}"
        )
        raise UsageError(msg)


def _read(node: Node, problems: Problems) -> ScoreEntry:
    if not isinstance(node, MappingNode):
        name = text_of(node, what="a score").strip()
        refuse_unknown(name)
        return ScoreEntry(metric=name, place=place_of(node))
    known = ("metric", "model", "reference")
    entry = fields(node, problems, what="a score", known=known)
    if "metric" not in entry:
        msg = "a score must have a metric, got a mapping without `metric`; add it"
        raise UsageError(msg)
    name = text_of(entry["metric"], what="metric").strip()
    refuse_unknown(name)
    steps = None
    if "reference" in entry:
        of = fields(entry["reference"], problems, what="`reference`", known=("steps",))
        if "steps" in of:
            steps = integer("steps", *REFERENCE_RANGE)(
                text_of(of["steps"], what="steps")
            )
    return ScoreEntry(
        metric=name,
        model=optional_text(entry, "model"),
        steps=steps,
        place=place_of(node),
    )
