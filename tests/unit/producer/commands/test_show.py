"""`nightsweep show --script`: the script alone, or where to find it."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from producer.cli import cli
from producer.reproduction.script import write_script
from storage.job import PlannedJob
from storage.store import Store
from tests.unit.filled_store import filled


@pytest.fixture
def planned(tmp_path: Path) -> list[PlannedJob]:
    return filled(tmp_path)[1]


def show(tmp_path: Path, *words: str) -> Result:
    environ = {"NIGHTSWEEP_HOME": str(tmp_path)}
    return CliRunner(env=environ).invoke(cli, ["show", *words])


def test_the_script_comes_alone(tmp_path: Path, planned: list[PlannedJob]) -> None:
    key = planned[0].job.key
    result = show(tmp_path, key[:20], "--script")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"# Image {key} of nightsweep, made with torch")
    assert "from diffusers import DDIMScheduler, DiffusionPipeline\n" in result.stdout
    compile(result.stdout, "script.py", "exec")


def test_an_image_that_is_not_made_has_a_script_too(
    tmp_path: Path, planned: list[PlannedJob]
) -> None:
    key = planned[7].job.key
    said = show(tmp_path, key[:20], "--script").stdout
    assert said.startswith(f"# Image {key} of nightsweep, which is not made yet.\n")


def test_the_screen_says_how_to_get_the_script(
    tmp_path: Path, planned: list[PlannedJob]
) -> None:
    key = planned[0].job.key
    result = show(tmp_path, key)
    assert result.stdout.startswith(f"key  {key}\n")
    end = f" show {key[:8]} --script prints a diffusers script that makes this image.\n"
    assert result.stderr.endswith(end)


def test_a_script_is_not_json(tmp_path: Path, planned: list[PlannedJob]) -> None:
    result = show(tmp_path, planned[0].job.key, "--script", "--json")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: show must print one thing, got --script and --json; leave one out.\n"
    )


def test_without_a_database_there_is_no_script(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    result = show(folder, "abcd", "--script")
    assert result.stderr == (
        "Error: key must be a job's, got 'abcd'; there is no database yet.\n"
    )


def test_the_record_of_the_store_is_that_of_the_script(
    tmp_path: Path, planned: list[PlannedJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_HOME", str(tmp_path))
    key = planned[0].job.key
    (record,) = Store().records([key])
    assert show(tmp_path, key, "--script").stdout == write_script(record)
