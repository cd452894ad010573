"""What a report says, before it becomes HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of texts.

    Attributes:
        columns: The headings.
        rows: One text for each column.
        numbers: Columns of numbers, which are set to the right, by their place.
        marked: Rows that stand out, by their place.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart with its text.

    Attributes:
        name: Its name on the page, letters and hyphens.
        title: What it shows.
        note: How to read it.
        spec: A Vega-Lite specification, of `analysis.charts` or `step_charts`.
        table: The same numbers as text.
        summary: What it comes to; None where the page has it elsewhere.
        answer: What it shows, in sentences; empty where the page has said it.
    """

    name: str
    title: str
    note: str
    spec: Mapping[str, Any]
    table: Table
    summary: Table | None = None
    answer: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRow:
    """Images of one prompt and seed: a `data:` URL each, or None without an image."""

    label: str
    pictures: Sequence[str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureGrid:
    """Images that show the claim: one column a setting, one row a prompt and seed."""

    columns: Sequence[str]
    rows: Sequence[PictureRow]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Everything that a report says, in the order of the page.

    Attributes:
        title: Name of the sweep, or the query.
        question: One sentence.
        answer: The sentences that the numbers carry, the most important one first.
        facts: What was compared: a name and a value each.
        charts: The trade-off first.
        grid: The pictures of the claim; None where no file is there.
        coverage: What is done and what is not.
        failures: Reasons and counts; None where nothing failed.
        environment: Name and value of what the images were made with.
        spec: The sweep file; None for a query that spans several sweeps.
        commands: How to make the images and this page again.
        caveats: What the numbers do not say.
    """

    title: str
    question: str
    answer: Sequence[str]
    facts: Sequence[tuple[str, str]]
    charts: Sequence[Chart]
    grid: PictureGrid | None
    coverage: Table
    failures: Table | None
    environment: Sequence[tuple[str, str]]
    spec: str | None
    commands: Sequence[str]
    caveats: Sequence[str]
