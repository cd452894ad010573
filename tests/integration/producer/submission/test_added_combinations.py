"""Combinations that a sweep lacks: `extend --include`, and what a grid asks for."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from producer.cli import cli
from producer.commands.adding import add_combinations
from producer.commands.submit import submit
from producer.spec.inclusions import with_included, write_entry
from producer.spec.yamltext import StoredSpec
from storage.errors import SpecError, UsageError
from storage.settings import Settings, read_settings
from storage.sql.database import Database
from storage.store import Store
from tests.builders import job_rows

TEXT = """
name: night
base: {model: "builtin:shapes", guidance: 4}
axes:
  prompt: ["a red star, on a blue background", "a {cat|dog}", "8:30"]
  scheduler: [ddim, "DPM++ 2M Karras"]
  steps: [8, 20]
  seed: {start: 0, count: 2}
exclude: [{scheduler: ddim, steps: 8}]
"""
COMMA, CAT, DOG, TIME = "a red star, on a blue background", "a cat", "a dog", "8:30"


@pytest.fixture
def settings(tmp_path: Path, database: Database, app: object) -> Settings:
    """Submit a sweep of 24 images, which leaves eight combinations out."""
    file = tmp_path / "night.yaml"
    file.write_text(TEXT)
    submit(str(file))
    return read_settings()


def say(*words: str, code: int = 0) -> str:
    said = CliRunner().invoke(cli, words)
    assert said.exit_code == code, said.output
    return said.output


def made_of(query: str) -> list[tuple[object, ...]]:
    names = ("prompt", "scheduler", "steps", "seed")
    return sorted(tuple(row[name] for name in names) for row in Store().find(query))


def test_combinations_are_counted_before_they_are_added(
    settings: Settings, database: Database
) -> None:
    wanted = [
        {"prompt": [COMMA], "scheduler": ["ddim"], "steps": ["8"], "seed": ["0", "1"]},
        {"prompt": [TIME], "scheduler": ["ddim"], "steps": ["8"], "seed": ["1"]},
    ]
    would = add_combinations(settings, "night", wanted, is_agreed=False)
    assert would.count == 3
    assert "This adds 3 images to night, as an `include` of its spec." in would.said
    assert len(job_rows(database)) == 24
    did = add_combinations(settings, "night seed:0", wanted, is_agreed=True)
    assert (did.count, did.idle) == (3, ("night",))
    assert "night (revision 2): 27 images, 3 new" in did.said
    assert made_of("night scheduler:ddim steps:8") == [
        (TIME, "ddim", 8, 1),
        (COMMA, "ddim", 8, 0),
        (COMMA, "ddim", 8, 1),
    ]
    again = add_combinations(settings, "night", wanted, is_agreed=True)
    assert again.count == 0
    assert "night has these combinations already" in again.said
    assert Store().sweeps()[0]["name"] == "night"


def test_each_label_of_a_sweep_names_its_value(
    settings: Settings, database: Database
) -> None:
    """Among them a text with a comma, one that looks like a time, and a choice."""
    every = [COMMA, CAT, DOG, TIME]
    cell = {"prompt": every, "scheduler": ["ddim"], "steps": ["8"], "seed": ["0", "1"]}
    did = add_combinations(settings, "night", [cell], is_agreed=True)
    assert did.count == 8
    assert len({row.key for row in job_rows(database)}) == 32


@pytest.mark.parametrize(
    ("query", "cell", "error"),
    [
        ("steps:8", {"steps": ["8"]}, "must be added to one sweep"),
        ("night", {"model": ["builtin:shapes"]}, "must name axes of night, got none"),
        ("night", {"prompt.1": ["cat"]}, "must name whole prompts"),
        ("night", {"steps": ["9"], "seed": ["0"]}, "its steps would be '9'"),
        ("night", {"steps": ["many"]}, "steps must be"),
    ],
)
def test_what_cannot_be_added_is_said_in_a_sentence(
    settings: Settings, database: Database, query: str, cell: object, error: str
) -> None:
    with pytest.raises((UsageError, SpecError), match=error):
        add_combinations(settings, query, [cell], is_agreed=True)  # type: ignore[list-item]
    assert len(job_rows(database)) == 24


def test_a_sample_takes_no_combinations(settings: Settings) -> None:
    say("submit", "night", "--sample", "6", "--name", "few")
    cell = {"scheduler": ["ddim"], "steps": ["8"], "seed": ["0"], "prompt": [COMMA]}
    with pytest.raises(UsageError, match="few must be whole"):
        add_combinations(settings, "few", [cell], is_agreed=True)


def test_a_sweep_is_extended_by_combinations(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "night.yaml"
    entry = "{scheduler: ddim, steps: 8, seed: 0}"
    said = say("extend", "night", "--include", entry, "--write", str(file))
    assert "night (revision 2): 28 images, 4 new" in said
    assert {prompt for prompt, *_ in made_of("night scheduler:ddim steps:8")} == {
        *(COMMA, CAT, DOG, TIME)
    }
    assert "28 images" in say("plan", str(file))
    assert "got neither" in say("extend", "night", code=2)
    assert "write `{scheduler" in say("extend", "night", "--include", "ddim", code=2)


def test_entries_join_those_that_a_spec_has(tmp_path: Path) -> None:
    spec = StoredSpec(name="x", text="include: {steps: 8}\nname: x\n", folder=tmp_path)
    entry = write_entry({"steps": ["8", "20"], "prompt": ["", "8:30", "null, x"]})
    assert entry == "{steps: [8, 20], prompt: ['', '8:30', 'null, x']}"
    text = with_included(spec, [entry, entry]).text
    assert text.count("steps") == 2
    assert "- {steps: 8}" in text
    assert with_included(spec, []) == spec
