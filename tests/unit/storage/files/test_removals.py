"""Files that are removed while somebody asks for their images again."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage.errors import ImageStoreError
from storage.files import removals
from storage.files.folders import take_folder
from storage.files.images import ImageFolder, relative_path
from storage.files.places import Place
from storage.jobs import leftovers
from storage.jobs.eviction import evict, restore
from storage.jobs.removal_lock import ENDING
from storage.jobs.results import record_done
from storage.jobs.sweeps import find_sweep
from storage.sql.database import Database
from tests.builders import (
    ENVIRONMENT,
    make_result,
    plan_seeds,
    states,
    submit,
    take_these,
)
from tests.processes import wait_until

pytestmark = pytest.mark.databases("sqlite", "postgresql")

FOLDER = 1
KEYS = [one.job.key for one in plan_seeds(1, 2, 3)]


@pytest.fixture
def evicted(database: Database, tmp_path: Path) -> Database:
    """Give a database with three evicted images, whose files are still there."""
    assert take_folder(database, tmp_path).id == FOLDER
    submit(database, plan_seeds(1, 2, 3), name="s")
    make_images(database, tmp_path)
    sweep = find_sweep(database, "s")
    assert sweep is not None
    found = leftovers.of_sweep(database, sweep, here=sa.true())
    gone = evict(database, found.images, folder_id=FOLDER, still=found.still)
    assert sum(gone) == len(KEYS)
    return database


def make_images(database: Database, folder: Path) -> None:
    done = {}
    for one in take_these(database, KEYS, "w:1:1"):
        ImageFolder(folder).save(one.job.key, b"picture", b"thumbnail")
        done[one.id] = make_result(path=relative_path(one.job.key), size_bytes=7)
    record_done(database, done, worker="gpu0", environment=ENVIRONMENT)


def is_awaited(database: Database) -> bool:
    """Return whether somebody waits for the lock that a removal holds."""
    if database.is_sqlite:
        inode = Path(f"{database.engine.url.database}{ENDING}").stat().st_ino
        lines = Path("/proc/locks").read_text().splitlines()
        return any("->" in line and f":{inode} " in line for line in lines)
    query = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    )
    with database.read() as connection:
        return bool(connection.execute(query).scalar_one())


@contextmanager
def asked_again(database: Database, folder: Path) -> Iterator[Callable[[], None]]:
    """Yield what has somebody ask for the images, and a worker make them at once."""

    def ask_and_make() -> None:
        sweep = find_sweep(database, "s")
        assert sweep is not None
        restore(database, sweep)
        make_images(database, folder)

    thread = threading.Thread(target=ask_and_make)

    def begin() -> None:
        thread.start()
        wait_until(lambda: is_awaited(database) or not thread.is_alive())

    yield begin
    thread.join()


def test_an_image_that_is_made_again_during_a_removal_keeps_its_file(
    evicted: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removals, "THREADS", 1)
    remove_images = removals.remove_images

    def remove_late(place: Place, paths: Sequence[str]) -> None:
        begin()
        remove_images(place, paths)

    monkeypatch.setattr(removals, "remove_images", remove_late)
    with asked_again(evicted, tmp_path) as begin:
        assert list(removals.remove_files(evicted, tmp_path, folder_id=FOLDER)) == [3]
    assert set(states(evicted).values()) == {"done"}
    assert all((tmp_path / relative_path(key)).exists() for key in KEYS)


def test_a_removal_that_fails_half_way_leaves_its_notes(
    evicted: Database, tmp_path: Path
) -> None:
    blocked = tmp_path / relative_path(KEYS[0])
    blocked.unlink()
    (blocked / "file").mkdir(parents=True)
    with pytest.raises(ImageStoreError, match="Images must be removable"):
        list(removals.remove_files(evicted, tmp_path, folder_id=FOLDER))
    assert leftovers.count_unfinished(evicted, FOLDER) == len(KEYS)
    (blocked / "file").rmdir()
    blocked.rmdir()
    assert sum(removals.remove_files(evicted, tmp_path, folder_id=FOLDER)) == len(KEYS)
    assert not any(path.is_file() for path in tmp_path.glob("??/??/*"))
