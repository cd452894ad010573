"""What the page says of queries in words is true: its columns, its examples."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from producer.cli import cli
from storage.queries.columns import COLUMNS, FAMILIES
from storage.queries.parsing import parse
from tests.unit.filled_store import AXES, finish, make_settings, plan, submit

PAGE = (Path(__file__).parents[3] / "docs" / "querying.md").read_text()
WORDS = PAGE.partition("## Asking in words\n")[2].partition("\n## ")[0]
COMMANDS = re.findall(r"^\$ nightsweep (.*)$", WORDS, flags=re.MULTILINE)
TERMS = [
    term.replace(r"\|", "|")
    for row in re.findall(r"^\| (`.*?) \|", WORDS, flags=re.MULTILINE)
    for term in re.findall(r"`([^`]*:[^`]*|\"[^`]*\"|fox)`", row)
]


def test_the_page_has_every_column_with_its_meaning_and_its_values():
    table = WORDS.partition("| column | meaning | value |\n")[2].partition("\n\n")[0]
    rows = [
        f"| `{each.name}` | {each.about} | {each.form} |" for each in COLUMNS.values()
    ]
    listed = table.splitlines()[1:]
    assert listed[: len(rows)] == rows
    families = [re.findall(r"`(\w+)\.", row)[0] for row in listed[len(rows) :]]
    assert families == list(FAMILIES)


@pytest.mark.parametrize("term", TERMS)
def test_every_term_of_the_page_can_be_read(term):
    assert len(parse(term).terms) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_page_runs(command, tmp_path):
    settings = make_settings(tmp_path)
    planned = plan({**AXES, "steps": (2, 8)})
    submit(settings, "first-sweep", planned)
    finish(settings, planned[:7], fail={planned[6].job.key})
    words = shlex.split(command.partition("|")[0])

    done = CliRunner(env={"NIGHTSWEEP_HOME": str(tmp_path)}).invoke(cli, words)

    assert done.exit_code == 0, done.output
    if words[0] == "find":
        assert done.stdout
