"""Prometheus' text format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

#: The media type of the format.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True, kw_only=True)
class Family:
    """A metric, with a value for each set of labels.

    Attributes:
        name: In base units; a counter's ends in `_total`.
        text: What it is, in one line.
        kind: How its values may change.
        samples: The labels and the value of each time series.
    """

    name: str
    text: str
    kind: Literal["gauge", "counter"] = "gauge"
    samples: list[tuple[Mapping[str, str], float]] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> Self:
        """Add the value of one set of labels."""
        self.samples.append((labels, value))
        return self


def exposed(families: Iterable[Family]) -> str:
    """Return the text that Prometheus reads."""
    return "".join(f"{line}\n" for family in families for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.text}"
    yield f"# TYPE {family.name} {family.kind}"
    for labels, value in family.samples:
        yield f"{family.name}{_labelled(labels)} {float(value)!r}"


def _labelled(labels: Mapping[str, str]) -> str:
    pairs = (f'{name}="{_escaped(text)}"' for name, text in labels.items())
    return f"{{{','.join(pairs)}}}" if labels else ""


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
