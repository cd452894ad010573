"""Repairs beside workers, and under kill -9."""

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from storage.broker.queue import waiting
from storage.files import orphans, repairs, verification
from storage.files.images import ImageFolder
from storage.settings import Settings
from storage.sql.database import Database, open_database
from tests.builders import job_rows, make_job, plan_seeds, states, submit
from tests.unit.storage.files.test_verify import (
    file_of,
    files_below,
    finish,
    found_by,
    make_images,
    verify,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")

COMMAND = [sys.executable, "-P", "-m", "nightsweep", "verify", "--repair"]


def damage(settings: Settings, seeds: range) -> None:
    """Cut the files of the even seeds, move those of the odd ones to nobody's key."""
    images = ImageFolder(settings.images)
    for seed in seeds:
        file = file_of(settings, seed)
        if seed % 2:
            stranger = images.path(f"{seed:032x}")
            stranger.parent.mkdir(parents=True, exist_ok=True)
            file.rename(stranger)
        else:
            file.write_bytes(b"short")


def test_a_repair_wakes_the_workers(settings, database, app) -> None:
    make_images(settings, database, 1, 2, 3)
    for seed in (1, 2):
        file_of(settings, seed).unlink()
    assert verify("--repair").exit_code == 0
    assert waiting(app) == 1


@pytest.mark.long
@pytest.mark.databases("sqlite")
def test_a_repair_may_be_killed_at_any_moment_and_repeated(settings, database) -> None:
    make_images(settings, database, *range(401))
    damage(settings, range(400))
    chance = random.Random(7)  # noqa: S311 - moments of death
    moved = settings.images / repairs.ORPHANS
    for _ in range(6):
        before = len(files_below(moved))
        with subprocess.Popen(
            COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None and len(files_below(moved)) == before:
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.02))
            process.kill()
        assert len(files_below(settings.images)) == 401
        for row in job_rows(database):
            assert row.state == "done" or not file_of(settings, row.seed).exists()
    assert verify("--repair").exit_code == 0
    assert verify().stdout == ""
    whole = {400: "done"}
    assert states(database) == {**dict.fromkeys(range(400), "pending"), **whole}
    assert len(files_below(settings.images)) == 401


@pytest.mark.long
@pytest.mark.parametrize("count", [60, pytest.param(200, marks=pytest.mark.slow)])
def test_repairs_beside_workers_take_nothing_from_them(
    settings, database, count: int
) -> None:
    make_images(settings, database, *range(50))
    made_meanwhile = range(50, 50 + count)
    submit(database, plan_seeds(*made_meanwhile))
    ended = threading.Event()
    errors: list[BaseException] = []

    def repair() -> None:
        mine = open_database(settings.database_url)
        try:
            while not ended.is_set():
                _mend(mine, settings.images)
        except BaseException as exc:  # noqa: BLE001 - raised below
            errors.append(exc)
        finally:
            mine.close()

    repairers = [threading.Thread(target=repair) for _ in range(2)]
    for each in repairers:
        each.start()
    try:
        for seed in made_meanwhile:
            finish(settings, database, seed)
            if seed % 10 == 0:
                file_of(settings, seed - 20).write_bytes(b"short")
                file_of(settings, seed - 15).unlink(missing_ok=True)
    finally:
        ended.set()
        for each in repairers:
            each.join()
    assert errors == []
    _mend(database, settings.images)
    left = [row.seed for row in job_rows(database) if row.state != "done"]
    assert len(left) == count // 5
    finish(settings, database, *left)
    assert verify("--full").exit_code == 0
    assert set(states(database).values()) == {"done"}


def _mend(database: Database, images: Path) -> None:
    lost = found_by([*verification.check_images(database, images, by_digest=True)])
    nobodys = found_by([*orphans.check_files(database, images)])
    for _ in repairs.mend(database, images, [*lost, *nobodys]):
        pass


def test_damage_of_every_kind_is_found_and_repaired(settings, database) -> None:
    make_images(settings, database, *range(8))
    damage(settings, range(4))
    said = verify()
    assert said.exit_code == 1
    assert "2 missing" in said.stderr
    assert "2 truncated" in said.stderr
    assert "2 orphaned" in said.stderr
    assert verify("--repair", "--sweep", "night").exit_code == 0
    assert verify("--repair").exit_code == 0
    assert verify("--full").stdout == ""
    assert sorted(states(database).values()) == ["done"] * 4 + ["pending"] * 4


@pytest.mark.databases("postgresql")
def test_a_row_that_another_session_holds_is_left_for_later(settings, database) -> None:
    make_images(settings, database, 1, 2)
    file_of(settings, 1).unlink()
    held = "SELECT id FROM jobs WHERE key = %(key)s FOR UPDATE"
    with database.write() as connection:
        connection.exec_driver_sql(held, {"key": make_job(seed=1).key})
        said = verify("--repair")
    assert said.exit_code == 1
    assert "; 0 repaired, 1 changed meanwhile: run it again." in said.stderr
    assert states(database) == {1: "done", 2: "done"}
    assert verify("--repair").exit_code == 0
