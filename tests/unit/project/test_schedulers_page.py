"""The page on schedulers says of every name what the catalogue says."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.catalogue import tables as catalogue
from storage.catalogue.schedulers import CLASSES, NAMES

PAGE = (Path(__file__).parents[3] / "docs" / "schedulers.md").read_text()


def table(heading: str) -> list[list[str]]:
    """Give the rows of the table under a heading, their cells without blanks."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\|(.+)\|$", section, flags=re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in rows[2:]]


def listed(options: Mapping[str, Any]) -> str:
    return ", ".join(
        f"`{name}: {value if isinstance(value, str) else json.dumps(value)}`"
        for name, value in options.items()
    )


def test_the_page_says_what_the_names_of_each_class_pin() -> None:
    assert table("What the names of a class pin") == [
        [f"`{name}`", listed(of.pins) or "nothing"] for name, of in CLASSES.items()
    ]


def test_the_page_says_of_every_name_what_it_adds() -> None:
    assert table("The names") == [
        [
            f"`{name}`",
            entry.label,
            f"`{entry.class_name}`",
            listed({**entry.options, **entry.extras}),
        ]
        for name, entry in NAMES.items()
    ]


def test_the_page_says_why_an_option_is_pinned() -> None:
    by_reason: dict[str, list[str]] = {}
    for option, reason in catalogue.PINNED.items():
        by_reason.setdefault(reason, []).append(f"`{option}`")
    assert table("Why") == [
        [", ".join(options), reason] for reason, options in by_reason.items()
    ]


def test_the_page_says_why_an_option_is_the_models() -> None:
    by_reason: dict[str, list[str]] = {}
    for option, reason in catalogue.OF_THE_MODEL.items():
        by_reason.setdefault(reason, []).append(f"`{option}`")
    assert table("What stays the model's") == [
        [", ".join(options), reason] for reason, options in by_reason.items()
    ]


def test_the_page_names_what_a_class_leaves_to_the_model_all_the_same() -> None:
    for name, row in catalogue.CLASS_ROWS.items():
        for option, reason in row.get("unpinned", {}).items():
            assert f"`{option}` of `{name}`: {reason}" in " ".join(PAGE.split())
