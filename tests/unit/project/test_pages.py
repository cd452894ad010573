"""What the pages show is true: their sweeps can be read, their commands exist."""

import re
import shlex
import shutil
from pathlib import Path

import click
import pytest

from producer.cli import COMMANDS, cli
from producer.spec.parameters import CALLS, PARAMETERS, shown_as
from producer.spec.sweepfile import read_spec
from storage.catalogue.known_classes import UNTRIED_PIPELINES
from storage.catalogue.pipeline_calls import (
    CallParameter,
    all_parameters,
    bounds_of,
    parameters_of,
)
from storage.catalogue.pipeline_families import FAMILIES, Family
from storage.settings import VARIABLES

ROOT = Path(__file__).parents[3]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")),
]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def sweeps() -> list[tuple[str, str]]:
    return [
        (page, block)
        for page in ("README.md", "docs/spec.md")
        for block in blocks(page, "yaml")
    ]


def calls(line: str) -> list[list[str]]:
    """The commands of a shell line that call nightsweep."""
    parts = [shlex.split(part, comments=True) for part in line.split("&&")]
    return [part for part in parts if part and Path(part[0]).name == "nightsweep"]


def commands() -> list[tuple[str, list[str]]]:
    """Every `nightsweep ...` line of a console or shell block."""
    found = []
    for page in PAGES:
        for language in ("console", "sh", "bash"):
            for line in "\n".join(blocks(page, language)).splitlines():
                if line.startswith("$ "):
                    found += [(page, words[1:]) for words in calls(line[2:])]
    return found


@pytest.mark.parametrize(("page", "text"), sweeps())
def test_a_sweep_on_a_page_can_be_read(page: str, text: str, tmp_path: Path) -> None:
    folder = shutil.copytree(ROOT / "examples", tmp_path / "examples")
    file = folder / "sweep.yaml"
    file.write_text(text)
    assert read_spec(file).axes


@pytest.mark.parametrize(("page", "words"), commands())
def test_a_command_on_a_page_has_these_options(page: str, words: list[str]) -> None:
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None, words
    command.make_context(words[0], words[1:], resilient_parsing=False)


def test_the_readme_names_every_command_and_setting() -> None:
    text = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if f"`nightsweep {name}" not in text] == []
    assert [name for name in VARIABLES if f"| `{name}` |" not in text] == []


def test_the_page_on_specs_names_every_parameter() -> None:
    text = (ROOT / "docs/spec.md").read_text()
    # docs/models.md names the inputs.
    missing = [p for p in PARAMETERS if f"`{p}`" not in text and p not in CALLS]
    assert missing == []


def test_the_page_on_models_has_the_table_of_families() -> None:
    text = (ROOT / "docs/models.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE)
    assert dict(rows) == {name: _shown(one) for name, one in FAMILIES.items()}


def test_the_page_on_models_has_the_inputs_of_each_pipeline() -> None:
    text = (ROOT / "docs/models.md").read_text()
    rows = re.findall(r"^\| `(call\.\w+)` \| (.*) \|$", text, re.MULTILINE)
    assert dict(rows) == call_rows()


def call_rows() -> dict[str, str]:
    """Return what the page says of each input: its values, and its defaults."""
    rows = {}
    for name, one in all_parameters().items():
        defaults: dict[str, list[str]] = {}
        for pipeline in sorted(FAMILIES.keys() | UNTRIED_PIPELINES):
            if known := parameters_of(pipeline).get(name):
                default = "-" if known.default is None else shown_as(known.default)
                at_most = f", at most {known.maximum}" if known.maximum else ""
                short = pipeline.removesuffix("Pipeline")
                defaults.setdefault(f"{default}{at_most}", []).append(short)
        listed = (f"{value} ({', '.join(some)})" for value, some in defaults.items())
        rows[name] = f"{_kind(name, one)} | {'; '.join(listed)}"
    return rows


def _kind(name: str, one: CallParameter) -> str:
    if one.kind in ("flag", "text"):
        return {"flag": "`true` or `false`", "text": "text"}[one.kind]
    low, high = bounds_of(name, one.kind)
    several = f"{one.length or 'any number of'} integers"
    kind = {"integer": "integer", "integers": several, "number": "number"}[one.kind]
    return f"{kind}, {low} to {high}"


def _shown(one: Family) -> str:
    steps, guidance = f"{one.steps}", "none"
    if one.distilled_steps:
        steps += f", {one.distilled_steps} if distilled"
    if one.guidance is not None:
        guidance = f"{one.guidance:g}"
    if one.embedded_guidance:
        guidance += f", {one.embedded_guidance:g} if embedded"
    return " | ".join([one.dtype, steps, guidance, str(one.side or "stated")])


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
        assert (ROOT / page).parent.joinpath(target).exists(), target
