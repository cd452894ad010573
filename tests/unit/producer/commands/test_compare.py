"""What `compare` and `report` write, on a real store with scores."""

import html
import json
import re
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from producer.cli import cli
from storage.queries.answers import find
from storage.ratings.rating import rate
from storage.settings import Settings
from storage.sql.database import open_database
from tests.unit.filled_store import finish, plan, submit
from tests.unit.producer.report.measured_store import make_measured
from tests.unit.producer.report.scored_store import add_scores, make_scored

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


def test_a_report_by_stars_says_whose_they_are(tmp_path: Path) -> None:
    settings = make_scored(tmp_path)
    with closing(open_database(settings.database_url)) as database:
        done = [row["key"] for row in find(database, "state:done")]
        rate(database, done[::2], who="ada", stars=5)
        rate(database, done[1::2], who="ada", stars=2)
    runner = CliRunner(env={"NIGHTSWEEP_HOME": str(tmp_path)})

    said = runner.invoke(cli, ["report", "answer", "--metric", "rating"])

    assert said.exit_code == 0, said.stderr
    page = Path(said.stdout.strip()).read_text("utf-8")
    assert "Stars are what some people said of the images that they chose" in page
    assert "is a number, not a person" not in page
    assert "nightsweep report answer --metric rating" in page
    assert "nightsweep score" not in page


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


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run commands on images that have distances and scores by `clip`."""
    settings = make_measured(tmp_path_factory.mktemp("measured"))
    environ = {"NIGHTSWEEP_HOME": str(settings.home)}

    def call(*words: str) -> Result:
        return CliRunner(env=environ).invoke(cli, words)

    return call


LIMITS = (
    "By rmse, images are at their limit from 4 steps on with unipc; from 8 steps on "
    "with ddim."
)


def test_a_distance_tells_from_how_many_steps_on_a_scheduler_is_at_its_limit(
    measured: Run,
) -> None:
    said = measured("compare", "limits", "--metric", "rmse")

    assert said.exit_code == 0, said.stderr
    lines = [re.sub(r"  +", "|", line) for line in said.stdout.splitlines()]
    assert lines[0].split("|") == [
        *("setting", "at its limit from", "distance there", "95% interval", "floor"),
        *("rmse of two seeds", "prompts"),
    ]
    assert lines[1].startswith("unipc|4 steps|3.1%|3.0% to 3.1%|0.41%|0.2|12")
    assert lines[3].startswith("heun|not by 16 steps|")
    assert lines[6] == LIMITS
    assert (
        "heun did not converge by 16 steps: these images are not shown to be near "
        "those of 32 steps."
    ) in lines


def test_limits_are_written_as_json_with_every_test(measured: Run) -> None:
    said = measured("compare", "limits", "--json")

    ddim, *_, noisy = sorted(
        (json.loads(line) for line in said.stdout.splitlines()),
        key=lambda row: (row["outcome"] == "draws_noise", row["scheduler"]),
    )
    assert (ddim["outcome"], ddim["limit_steps"]) == ("found", 8)
    assert (ddim["reference_steps"], ddim["floor_steps"]) == (32, 16)
    assert [test["steps"] for test in ddim["tests"]] == [16, 8, 4, 2]
    assert [test["is_at_limit"] for test in ddim["tests"]] == [True, True, False, False]
    assert ddim["tests"][1]["low"] < ddim["tests"][1]["distance"] < 0.05
    assert (noisy["scheduler"], noisy["limit_steps"]) == ("euler_a", None)
    assert (noisy["tests"], noisy["floor"]) == ([], None)


def test_a_page_of_limits_answers_first_and_draws_the_distances(measured: Run) -> None:
    said = measured("report", "limits", "--metric", "rmse")

    assert said.exit_code == 0, said.stderr
    page = html.unescape(Path(said.stdout.strip()).read_text("utf-8"))
    assert "<h1>How many steps until a setting is at its own limit?</h1>" in page
    answer, _, rest = page.partition('<section class="answer"')[2].partition("</sec")
    assert LIMITS in answer
    assert LIMITS not in rest
    (spec,) = re.findall(r'id="spec-limits-rmse">(.*?)</script>', rest)
    points = json.loads(spec)["data"]["values"]
    assert {p["series"] for p in points if p["is_limit"]} == {"ddim", "unipc"}
    assert "nightsweep score limits --metric rmse --reference steps=32 --wait" in rest


def test_a_page_of_a_score_tells_limits_wherever_distances_are(
    tmp_path: Path,
) -> None:
    settings = make_measured(tmp_path)
    add_scores(settings)

    said = CliRunner(env={"NIGHTSWEEP_HOME": str(settings.home)}).invoke(
        cli, ["report", "limits"]
    )

    assert said.exit_code == 0, said.stderr
    page = html.unescape(Path(said.stdout.strip()).read_text("utf-8"))
    first, _, rest = page.partition('<section class="answer"')[2].partition("</sec")
    assert "By clip, " in first
    assert LIMITS in rest
    assert "nightsweep score limits --metric rmse --reference steps=32 --wait" in rest


def test_a_report_of_one_seed_says_why_its_distances_tell_no_limit(
    tmp_path: Path,
) -> None:
    settings = make_measured(tmp_path, seeds=(0,), between_seeds=False)
    add_scores(settings)

    said = CliRunner(env={"NIGHTSWEEP_HOME": str(settings.home)}).invoke(
        cli, ["report", "limits"]
    )

    page = html.unescape(Path(said.stdout.strip()).read_text("utf-8"))
    caveats = page.partition("What the numbers do not say")[2].partition("</ul>")[0]
    assert "<li>By rmse, no limit can be named. " in caveats
    assert (
        "nothing says how far two seeds of a prompt are apart, which is the unit; make "
        "images of two seeds or more, and ask `nightsweep score QUERY --metric rmse "
        "--reference steps=32`."
    ) in caveats


def test_a_page_of_limits_shows_images_before_at_and_beyond_them(
    measured: Run,
) -> None:
    said = measured("report", "limits", "--metric", "rmse")

    page = html.unescape(Path(said.stdout.strip()).read_text("utf-8"))
    pictures = page.partition('<table class="pictures">')[2].partition("</table>")[0]
    assert re.findall(r'<th scope="col">(.*?)</th>', pictures) == [
        *("fewer steps", "at its limit", "many steps"),
    ]
    assert re.findall(r'<th scope="row">(.*?)</th>', pictures) == [
        "unipc, 2, 4 and 32 steps: a red circle number 4 on a blue one, seed 0",
        "ddim, 4, 8 and 32 steps: a red circle number 4 on a blue one, seed 0",
    ]
    assert pictures.count('src="data:image/webp;base64,') == 6


@pytest.mark.long
def test_what_has_no_distance_yet_is_told_in_every_form(tmp_path: Path) -> None:
    settings = make_measured(tmp_path)
    planned = plan({"prompt": ["a red circle number 0 on a blue one"]}, scheduler="lms")
    submit(settings, "more", planned)
    finish(settings, planned)
    run = CliRunner(env={"NIGHTSWEEP_HOME": str(settings.home)})

    said = run.invoke(cli, ["compare", "sweep:limits,more", "--metric", "rmse"])
    rows = run.invoke(cli, ["compare", "sweep:limits,more", "--json"]).stdout

    assert re.search(r"^lms +no distance yet", said.stdout, re.MULTILINE)
    assert (
        "lms has no distance yet; ask `nightsweep score QUERY --metric rmse "
        "--reference steps=32`."
    ) in said.stdout.splitlines()
    assert json.loads(rows.splitlines()[-1]) == {
        "scheduler": "lms",
        "metric": "rmse",
        "outcome": "unscored",
    }


@pytest.mark.long
def test_distances_to_two_references_have_a_chart_each(tmp_path: Path) -> None:
    settings = make_measured(tmp_path)
    with closing(sqlite3.connect(settings.home / "nightsweep.db")) as connection:
        connection.executescript(COPY_OF_THE_DISTANCES)
    run = CliRunner(env={"NIGHTSWEEP_HOME": str(settings.home)})

    said = run.invoke(cli, ["report", "limits", "--metric", "rmse@steps=32"])

    assert said.exit_code == 0, said.stderr
    page = html.unescape(Path(said.stdout.strip()).read_text("utf-8"))
    assert LIMITS.replace("By rmse", "By rmse@steps=32") in page
    assert re.findall(r'<div class="chart" id="limits-(.*?)"', page) == [
        *("rmse-steps-32", "rmse-steps-64"),
    ]


def test_a_page_asks_for_no_distance_that_is_for_show(tmp_path: Path) -> None:
    settings = make_measured(tmp_path)
    with closing(sqlite3.connect(settings.home / "nightsweep.db")) as connection:
        connection.executescript(COPY_OF_THE_DISTANCES)
        connection.execute(
            "UPDATE metrics SET name = 'psnr', source = 'psnr' WHERE digest = 'another'"
        )
        connection.commit()
    run = CliRunner(env={"NIGHTSWEEP_HOME": str(settings.home)})

    said = run.invoke(cli, ["report", "limits", "--metric", "rmse"])

    page = html.unescape(Path(said.stdout.strip()).read_text("utf-8"))
    assert re.findall(r"nightsweep score limits --metric (\w+) ", page) == ["rmse"]
    assert re.findall(r'<div class="chart" id="limits-(.*?)"', page) == ["rmse"]


COPY_OF_THE_DISTANCES = """
INSERT INTO metrics (digest, name, source, version, model, model_fingerprint,
        reference, higher_is_better)
    SELECT 'another', name, source, version, model, model_fingerprint,
        '{"steps":64}', higher_is_better
    FROM metrics WHERE reference = '{"steps":32}';
INSERT INTO scores (metric_id, job_id, reference_id, state, value, attempts, deaths)
    SELECT (SELECT id FROM metrics WHERE digest = 'another'), job_id, reference_id,
        state, value, attempts, deaths
    FROM scores JOIN metrics ON metrics.id = metric_id
    WHERE reference = '{"steps":32}';
"""
