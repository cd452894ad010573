"""`nightsweep metrics`: the file, and what is refused."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from producer.cli import cli
from storage.sql.database import Database
from tests.builders import plan_seeds, submit


def call(*words: str, **environ: str) -> Result:
    return CliRunner(env=environ).invoke(cli, ["metrics", *words])


def test_a_file_has_the_metrics_and_nothing_lies_beside_it(
    database: Database, tmp_path: Path
) -> None:
    submit(database, plan_seeds(1, 2), name="night")
    folder = tmp_path / "textfile"
    folder.mkdir()
    file = folder / "nightsweep.prom"
    file.write_text("old")
    said = call("--file", str(file), "--once")
    assert (said.exit_code, said.output) == (0, "")
    assert 'nightsweep_jobs{sweep="night",state="pending"} 2.0\n' in file.read_text()
    assert list(folder.iterdir()) == [file]


def test_a_file_without_a_database_says_that_it_is_down(tmp_path: Path) -> None:
    file = tmp_path / "nightsweep.prom"
    said = call("--file", str(file), "--once")
    assert said.exit_code == 0
    assert "nightsweep_up is 0" in said.stderr
    assert file.read_text().splitlines()[-1] == "nightsweep_up 0.0"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--once"], "--once must come with --file"),
        (["--host", "0.0.0.0"], "set NIGHTSWEEP_TOKEN"),  # noqa: S104 - refused
        (["--token", "short"], "16 letters or more, got 5"),
        (["--file", "/no/such/folder/a.prom", "--once"], "can be written"),
    ],
)
def test_what_cannot_be_served_is_refused(words: list[str], reason: str) -> None:
    said = call("--port", "18469", *words)
    assert said.exit_code == 2
    assert reason in " ".join(said.stderr.split())
