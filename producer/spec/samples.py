"""A sample of a sweep: `sample: {count: 200, seed: 0}`."""

from dataclasses import dataclass

from yaml.nodes import Node

from producer.spec.entries import fields
from producer.spec.parameters import integer
from producer.spec.problems import Problems
from producer.spec.yamltext import place_of, text_of
from storage.errors import UsageError

#: The most images of a sample.
MOST_SAMPLED = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Some of a sweep's images, drawn from its axes.

    Attributes:
        count: How many; fewer where the axes have fewer.
        seed: What they are drawn from.
    """

    count: int
    seed: int = 0


def read_sample(node: Node, problems: Problems) -> Sample | None:
    """Read the section `sample`; None if it has mistakes, which are noted.

    Raises:
        UsageError: It is not a mapping, or has no count.
    """
    entry = fields(node, problems, what="`sample`", known=("count", "seed"))
    if "count" not in entry:
        msg = "sample must have a count, got none; write {count: 200}"
        raise UsageError(msg)
    highest = {"count": MOST_SAMPLED, "seed": 2**63 - 1}
    read: dict[str, int] = {}
    for key, value in entry.items():
        with problems.at(place_of(value)):
            lowest = 1 if key == "count" else 0
            text = text_of(value, what=key)
            read[key] = integer(key, lowest, highest[key])(text)
    return Sample(**read) if "count" in read else None
