"""What `score` says of scores that are not computed; no worker, no Redis."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from producer.cli import cli
from storage.fleet import registry
from storage.host.worker_ids import my_host
from storage.jobs import blocked_groups
from storage.settings import Settings
from storage.sql.database import Database, open_database, utc_now
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


def test_waiting_ends_when_no_worker_here_can_make_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, planned = filled(tmp_path)
    (pending,) = (one.job for one in planned[7:])

    def cannot_make_it(database: Database, _sweep: str | None) -> None:
        now, worker = utc_now(), {"host": my_host(), "name": "cpu0"}
        entry = {"owner": "a:1:1", "gpu": "CPU", "started_at": now, "phase_at": now}
        registry.note(database, registry.Entry(**worker, **entry, phase="idle"))
        blocked_groups.block(
            database,
            pending.group,
            host=my_host(),
            worker="cpu0",
            reason="its model is gone",
        )

    monkeypatch.setattr("producer.commands.score.tell_who_works", cannot_make_it)

    said = _score(settings, f"key:{pending.key}", "--wait", code=1)

    assert f"images on cpu0 of {my_host()}: its model is gone" in said
