"""What stays free on the image disk."""

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage.errors import DatabaseError, ImageStoreError
from storage.files import free_space
from storage.files.free_space import WantedFreeSpace, most_wanted, wanted_for
from storage.files.images import ImageFolder, Room
from storage.sql.database import Database
from storage.sql.schema import sweeps
from tests.builders import make_job, make_planned, save_image, submit

pytestmark = pytest.mark.databases("sqlite", "postgresql")

KEY = "ab" + "cd" + "0" * 28
ONE, TWO = make_job(seed=1).key, make_job(seed=2).key


def want(
    database: Database, name: str, wanted: int, *, seed: int = 1, state: str = "active"
) -> None:
    submit(database, [make_planned(seed=seed)], name=name)
    change = sa.update(sweeps).where(sweeps.c.name == name)
    with database.write() as connection:
        connection.execute(change.values(min_free_bytes=wanted, state=state))


def test_of_a_jobs_active_sweeps_the_one_that_wants_the_most_decides(
    database: Database,
) -> None:
    assert most_wanted(database) == 0
    assert wanted_for(database, ONE) is None
    want(database, "modest", 5_000)
    want(database, "demanding", 9_000)
    want(database, "paused", 20_000, state="paused")
    want(database, "of-another", 12_000, seed=2)
    assert most_wanted(database) == 12_000
    assert wanted_for(database, ONE) == Room(sweep="demanding", size_bytes=9_000)
    assert wanted_for(database, TWO) == Room(sweep="of-another", size_bytes=12_000)


def test_a_sweep_holds_up_only_what_it_wants_itself(database: Database) -> None:
    want(database, "finished", 9_000, seed=2)
    want(database, "night", 5_000)
    missing = WantedFreeSpace(database)
    assert missing(ONE, 5_000) is None
    assert missing(ONE, 4_999) == Room(sweep="night", size_bytes=5_000)
    assert missing(TWO, 8_999) == Room(sweep="finished", size_bytes=9_000)


def test_where_there_is_room_for_all_the_database_is_asked_now_and_then(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = WantedFreeSpace(database)
    want(database, "night", 5_000)
    assert missing(ONE, 6_000) is None
    want(database, "night", 7_000)
    assert missing(ONE, 6_000) is None
    monkeypatch.setattr(free_space, "FRESH_S", 0.0)
    missing._fresh_until = 0.0
    assert missing(ONE, 6_000) == Room(sweep="night", size_bytes=7_000)
    monkeypatch.setattr(free_space, "most_wanted", _fail)
    assert missing(ONE, 7_000) is None
    monkeypatch.setattr(free_space, "wanted_for", _fail)
    with pytest.raises(DatabaseError):
        missing(ONE, 6_999)


def _fail(*_args: object) -> None:
    msg = "the database is away"
    raise DatabaseError(msg)


def test_an_image_is_not_written_where_too_little_would_stay_free(
    tmp_path: Path,
) -> None:
    free = shutil.disk_usage(tmp_path).free
    wanted = Room(sweep="night", size_bytes=2 * free)
    asked: list[str] = []

    def missing(key: str, left_bytes: int) -> Room | None:
        asked.append(key)
        return wanted if left_bytes < wanted.size_bytes else None

    with pytest.raises(ImageStoreError) as caught:
        ImageFolder(tmp_path, missing).save(KEY, b"png")
    said = str(caught.value)
    assert said.startswith(
        f"{2 * free / 1e9:.1f} GB must stay free where images of night go (its limits."
        f"min_free), but {tmp_path} has "
    )
    assert said.endswith(
        "GB; free some disk space, or submit night with a lower limit, and the work "
        "goes on by itself."
    )
    assert caught.value.retryable
    assert list(tmp_path.iterdir()) == []
    wanted = Room(sweep="night", size_bytes=free // 2)
    assert save_image(ImageFolder(tmp_path, missing), KEY, b"png").exists()
    assert asked == [KEY, KEY]


def test_a_folder_that_is_away_is_an_outage(tmp_path: Path) -> None:
    with pytest.raises(ImageStoreError, match="No such file or directory; mount it"):
        ImageFolder(tmp_path / "away", lambda *_: None).save(KEY, b"png")
