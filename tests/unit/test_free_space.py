"""What stays free on the image disk."""

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage import free_space
from storage.database import Database
from storage.errors import DatabaseError, ImageStoreError
from storage.free_space import WantedFreeSpace, most_wanted
from storage.images import ImageFolder
from storage.schema import sweeps
from tests.builders import make_planned, submit

pytestmark = pytest.mark.databases("sqlite", "postgresql")

KEY = "ab" + "cd" + "0" * 28


def want(database: Database, name: str, wanted: int, state: str = "active") -> None:
    submit(database, [make_planned(seed=1)], name=name)
    change = sa.update(sweeps).where(sweeps.c.name == name)
    with database.write() as connection:
        connection.execute(change.values(min_free_bytes=wanted, state=state))


def test_the_active_sweep_that_wants_the_most_decides(database: Database) -> None:
    assert most_wanted(database) == 0
    want(database, "modest", 5_000)
    want(database, "demanding", 9_000)
    want(database, "paused", 20_000, state="paused")
    assert most_wanted(database) == 9_000


def test_the_database_is_asked_now_and_then(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = WantedFreeSpace(database)
    want(database, "night", 5_000)
    assert wanted() == 5_000
    want(database, "night", 7_000)
    assert wanted() == 5_000
    monkeypatch.setattr(free_space, "FRESH_S", 0.0)
    wanted._fresh_until = 0.0
    assert wanted() == 7_000
    monkeypatch.setattr(free_space, "most_wanted", _fail)
    assert wanted() == 7_000


def _fail(_database: Database) -> int:
    msg = "the database is away"
    raise DatabaseError(msg)


def test_an_image_is_not_written_where_too_little_would_stay_free(
    tmp_path: Path,
) -> None:
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(ImageStoreError) as caught:
        ImageFolder(tmp_path, lambda: 2 * free).save(KEY, b"png")
    assert str(caught.value).startswith(
        f"{2 * free / 1e9:.1f} GB must stay free where images go (limits.min_free), "
        f"but {tmp_path} has "
    )
    assert caught.value.retryable
    assert list(tmp_path.iterdir()) == []
    assert ImageFolder(tmp_path, lambda: free // 2).save(KEY, b"png").exists()


def test_a_folder_that_is_away_is_an_outage(tmp_path: Path) -> None:
    with pytest.raises(ImageStoreError, match="No such file or directory; mount it"):
        ImageFolder(tmp_path / "away", lambda: 1).save(KEY, b"png")
