"""What `compare` and `report` write, on a real store with scores."""

import html
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from producer.cli import cli
from storage.settings import Settings
from tests.unit.producer.report.scored_store import make_scored

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_scored(tmp_path_factory.mktemp("compare"))


@pytest.fixture
def run(settings: Settings) -> Run:
    def call(*words: str) -> Result:
        environ = {"NIGHTSWEEP_HOME": str(settings.home)}
        return CliRunner(env=environ).invoke(cli, words)

    return call


def test_compare_writes_a_table_and_the_conclusion(run: Run) -> None:
    said = run("compare", "answer")

    assert said.exit_code == 0
    lines = said.stdout.splitlines()
    assert lines[0].split() == [
        *("setting", "evaluations", "clip", "images", "gain"),
        *("95%", "band", "verdict", "on", "the", "front"),
    ]
    assert [line.split()[0] for line in lines[1:5]] == ["ddim", "unipc"] * 2
    assert lines[6] == (
        "By clip, unipc at 2 steps (2 evaluations) is as good as ddim at 20 steps (20 "
        "evaluations), the best by clip, at 10% of the cost."
    )


def test_compare_takes_a_query(run: Run) -> None:
    said = run("compare", "answer", "scheduler:ddim")

    settings = [line.split("  ")[0] for line in said.stdout.splitlines()[1:3]]
    assert settings == ["ddim at 2 steps", "ddim at 20 steps"]


def test_compare_writes_json_with_numbers(run: Run) -> None:
    said = run("compare", "answer", "--json")

    rows = [json.loads(line) for line in said.stdout.splitlines()]
    assert [row["verdict"] for row in rows] == [
        "worse",
        "as good",
        "reference",
        "worse",
    ]
    assert rows[1]["scheduler"] == "unipc"
    assert rows[1]["steps"] == 2
    assert rows[1]["low"] < rows[1]["gain"] < rows[1]["high"]


def test_one_setting_is_an_error_with_the_way_out(run: Run) -> None:
    said = run("compare", "answer", "scheduler:ddim", "steps:2")

    assert said.exit_code == 2
    assert "a comparison must have two settings" in said.stderr


def test_report_writes_a_page_and_prints_its_path(run: Run, settings: Settings) -> None:
    said = run("report", "answer")

    assert said.exit_code == 0, said.stderr
    file = Path(said.stdout.strip())
    assert file == settings.home / "reports" / "answer.html"
    page = file.read_text("utf-8")
    assert "unipc at 2 steps (2 evaluations) is as good as" in page
    assert (
        "nightsweep score answer --metric clip --metric-model builtin:clip --wait"
    ) in page


def test_the_commands_of_a_page_are_read_back_as_its_query(
    run: Run, settings: Settings
) -> None:
    said = run("report", "answer", 'prompt:"red circle"', "steps:2,20")

    page = html.unescape(Path(said.stdout.strip()).read_text("utf-8"))
    (command,) = re.findall(r"^nightsweep report (.*) --metric", page, re.MULTILINE)
    words = shlex.split(command)
    assert words == ["answer", 'prompt:"red circle"', "steps:2,20"]
    assert (
        run("find", "--count", *words).stdout == run("find", "--count", "answer").stdout
    )


def test_a_report_of_a_query_is_named_after_it(run: Run, settings: Settings) -> None:
    said = run("report", "answer", "scheduler:ddim")

    file = Path(said.stdout.strip())
    assert file == settings.home / "reports" / "answer-scheduler-ddim.html"


def test_a_report_that_cannot_be_written_says_where_else(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    said = run("report", "answer", "--out", str(tmp_path / "file" / "page.html"))

    assert said.exit_code == 1
    assert "choose another place with --out." in said.stderr.replace("\n", " ")
