"""What `score` says of scores that are not computed; no worker, no Redis."""

from pathlib import Path

import sqlalchemy as sa
from click.testing import CliRunner

from producer.cli import cli
from storage.settings import Settings
from storage.sql.database import open_database
from storage.sql.schema import jobs, scores
from tests.unit.filled_store import filled


def _score(settings: Settings, *words: str, code: int) -> str:
    environ = {"NIGHTSWEEP_HOME": str(settings.home)}
    said = CliRunner(env=environ).invoke(cli, ["score", *words, "--metric", "clip"])
    assert said.exit_code == code, said.output
    return said.stderr


def _fail(settings: Settings, key: str) -> None:
    database = open_database(settings.database_url)
    one = sa.select(jobs.c.id).where(jobs.c.key == key).scalar_subquery()
    with database.write() as connection:
        done = sa.update(scores).values(state="done", value=0.5)
        connection.execute(done)
        failed = sa.update(scores).values(state="failed", error="its file is gone")
        connection.execute(failed.where(scores.c.job_id == one))
    database.close()


def test_waiting_for_scores_that_failed_says_why_and_is_no_success(
    tmp_path: Path,
) -> None:
    settings, planned = filled(tmp_path)
    _score(settings, "shapes", "state:done", code=0)
    _fail(settings, planned[0].job.key)

    said = _score(settings, "shapes", "state:done", "--wait", code=1)

    assert "1 scores of clip failed: its file is gone" in said


def test_scores_of_other_images_that_failed_do_not_count(tmp_path: Path) -> None:
    settings, planned = filled(tmp_path)
    _score(settings, "shapes", "state:done", code=0)
    _fail(settings, planned[0].job.key)

    said = _score(settings, f"key:{planned[1].job.key}", "--wait", code=0)

    assert "failed" not in said
