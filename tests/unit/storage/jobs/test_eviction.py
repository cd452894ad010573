"""Images that are removed: what stays, what others keep, and how they come back."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage.files.folders import take_folder
from storage.files.images import ImageFolder, relative_path
from storage.files.removals import remove_files
from storage.files.thumbnails import thumbnail_path
from storage.jobs import leftovers, lifecycle
from storage.jobs.eviction import evict, restore
from storage.jobs.forgetting import forget
from storage.jobs.leftovers import Leftovers
from storage.jobs.membership import add_jobs, drop_absent
from storage.jobs.results import record_done
from storage.jobs.sweeps import Sweep, find_sweep, list_sweeps, save_sweep
from storage.queries.answers import read_meaning
from storage.sql.database import Database
from storage.sql.schema import jobs, removals, results, sweep_jobs
from tests.builders import (
    ENVIRONMENT,
    make_result,
    plan_seeds,
    states,
    submit,
    take_these,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")

HERE = sa.true()
FOLDER = 1


@pytest.fixture
def database(database: Database, tmp_path: Path) -> Database:
    """Give a database whose image folder is taken, as a command does first of all."""
    assert take_folder(database, tmp_path).id == FOLDER
    return database


def make_images(database: Database, folder: Path, keys: Sequence[str]) -> None:
    """Make images of stored jobs, each with a thumbnail."""
    done = {}
    for one in take_these(database, keys, "w:1:1"):
        ImageFolder(folder).save(one.job.key, b"picture", b"thumbnail")
        path = relative_path(one.job.key)
        done[one.id] = make_result(path=path, size_bytes=7)
    record_done(database, done, worker="gpu0", environment=ENVIRONMENT)


def fill(database: Database, folder: Path, *seeds: int, name: str = "s") -> list[str]:
    """Submit a sweep of some seeds and make its images; return their keys."""
    planned = plan_seeds(*seeds)
    submit(database, planned, name=name)
    keys = [one.job.key for one in planned]
    make_images(database, folder, keys)
    return keys


def remove(database: Database, folder: Path, found: Leftovers) -> tuple[int, int]:
    """Remove what was found; return how many images and rows went."""
    sum(evict(database, found.images, folder_id=FOLDER, still=found.still))
    rows = sum(forget(database, found.rows, still=found.still))
    return sum(remove_files(database, folder, folder_id=FOLDER)), rows


def require(database: Database, name: str) -> Sweep:
    """Return a sweep that is there."""
    found = find_sweep(database, name)
    assert found is not None
    return found


def of_sweep(database: Database, name: str = "s") -> Leftovers:
    """Return what goes with a sweep."""
    return leftovers.of_sweep(database, require(database, name), here=HERE)


def of_query(database: Database, query: str) -> Leftovers:
    """Return the images that a query removes."""
    return leftovers.of_query(database, read_meaning(database, query), here=HERE)


def files_in(folder: Path) -> set[str]:
    """Return the names of all files of images."""
    return {path.name for path in folder.glob("??/??/*")}


def test_an_evicted_image_has_a_row_and_no_file(
    database: Database, tmp_path: Path
) -> None:
    keys = fill(database, tmp_path, 1, 2)
    assert remove(database, tmp_path, of_query(database, "s seed:1")) == (1, 0)
    assert states(database) == {1: "evicted", 2: "done"}
    assert files_in(tmp_path) == {f"{keys[1]}.png", f"{keys[1]}.webp"}
    with database.read() as connection:
        assert connection.execute(sa.select(removals)).all() == []
        sizes = connection.execute(sa.select(results.c.size_bytes)).scalars().all()
    assert sizes == [7, 7]


def test_a_view_knows_no_path_of_an_evicted_image(
    database: Database, tmp_path: Path
) -> None:
    fill(database, tmp_path, 1)
    remove(database, tmp_path, of_sweep(database))
    with database.read() as connection:
        query = sa.text("SELECT state, path, pixel_sha256, total_s FROM images")
        row = connection.execute(query).one()
    assert (row.state, row.path) == ("evicted", None)
    assert row.pixel_sha256
    assert row.total_s is not None


def test_an_evicted_image_is_made_again_only_by_that_word(
    database: Database, tmp_path: Path
) -> None:
    keys = fill(database, tmp_path, 1, 2)
    remove(database, tmp_path, of_sweep(database))
    sweep = save_sweep(database, "s", spec="", axes={})
    added = add_jobs(database, sweep, plan_seeds(1, 2, 3))
    assert added.existing == {"evicted": 2}
    lifecycle.set_state(database, sweep, "active")
    assert states(database) == {1: "evicted", 2: "evicted", 3: "pending"}
    assert take_these(database, keys) == []
    assert restore(database, sweep, among="seed:2") == {
        plan_seeds(2)[0].job.group: [keys[1]]
    }
    assert states(database) == {1: "evicted", 2: "pending", 3: "pending"}
    make_images(database, tmp_path, [keys[1]])
    assert states(database)[2] == "done"


def test_a_file_that_was_made_again_stays(database: Database, tmp_path: Path) -> None:
    keys = fill(database, tmp_path, 1)
    found = of_sweep(database)
    assert list(evict(database, found.images, folder_id=FOLDER, still=found.still)) == [
        1
    ]
    restore(database, require(database, "s"))
    make_images(database, tmp_path, keys)
    assert list(remove_files(database, tmp_path, folder_id=FOLDER)) == []
    assert thumbnail_path(tmp_path, keys[0]).exists()
    assert states(database) == {1: "done"}


def test_a_late_worker_does_not_undo_an_eviction(
    database: Database, tmp_path: Path
) -> None:
    fill(database, tmp_path, 1)
    remove(database, tmp_path, of_sweep(database))
    done = {1: make_result()}
    assert record_done(database, done, worker="g", environment=ENVIRONMENT) == set()
    assert states(database) == {1: "evicted"}


def test_files_go_after_whoever_announced_them_has_died(
    database: Database, tmp_path: Path
) -> None:
    fill(database, tmp_path, 1, 2, 3)
    found = of_sweep(database)
    assert sum(evict(database, found.images, folder_id=FOLDER, still=found.still)) == 3
    assert len(files_in(tmp_path)) == 6
    assert leftovers.count_unfinished(database, FOLDER) == 3
    assert remove(database, tmp_path, of_sweep(database)) == (3, 0)
    assert files_in(tmp_path) == set()
    assert leftovers.count_unfinished(database, FOLDER) == 0


def test_an_image_of_another_sweep_stays(database: Database, tmp_path: Path) -> None:
    fill(database, tmp_path, 1, 2)
    submit(database, plan_seeds(2, 3), name="other")
    found = of_sweep(database)
    assert (len(found.images), found.shared) == (1, 1)
    remove(database, tmp_path, found)
    assert states(database) == {1: "evicted", 2: "done", 3: "pending"}


def test_an_image_that_a_sweep_begins_to_want_meanwhile_stays(
    database: Database, tmp_path: Path
) -> None:
    fill(database, tmp_path, 1, 2)
    found = of_sweep(database)
    submit(database, plan_seeds(2), name="other")
    assert remove(database, tmp_path, found) == (1, 0)
    assert states(database) == {1: "evicted", 2: "done"}


def test_a_query_without_a_sweep_spares_no_image(
    database: Database, tmp_path: Path
) -> None:
    fill(database, tmp_path, 1, 2)
    submit(database, plan_seeds(1, 2), name="other")
    assert not of_query(database, "s seed:1").images
    assert remove(database, tmp_path, of_query(database, "seed:1")) == (1, 0)


def test_a_removed_sweep_is_listed_no_more_until_it_is_submitted_again(
    database: Database, tmp_path: Path
) -> None:
    fill(database, tmp_path, 1)
    remove(database, tmp_path, of_sweep(database))
    assert lifecycle.remove(database, require(database, "s"))
    assert list_sweeps(database) == []
    assert require(database, "s").state == "removed"
    save_sweep(database, "s", spec="", axes={})
    assert [each.name for each in list_sweeps(database)] == ["s"]


def test_a_sweep_that_was_submitted_anew_meanwhile_stays_in_the_list(
    database: Database, tmp_path: Path
) -> None:
    fill(database, tmp_path, 1)
    before = require(database, "s")
    save_sweep(database, "s", spec="another", axes={})
    assert not lifecycle.remove(database, before)
    assert require(database, "s").state == "active"


def test_rows_that_were_never_made_go_with_a_cancelled_sweep(
    database: Database, tmp_path: Path
) -> None:
    submit(database, plan_seeds(1, 2, 3), name="s")
    submit(database, plan_seeds(3, 4), name="other")
    make_images(database, tmp_path, [plan_seeds(1)[0].job.key])
    lifecycle.set_state(database, require(database, "s"), "cancelled")
    assert remove(database, tmp_path, of_sweep(database)) == (1, 1)
    assert states(database) == {1: "evicted", 3: "pending", 4: "pending"}
    with database.read() as connection:
        members = sa.select(sa.func.count()).select_from(sweep_jobs)
        assert connection.execute(members).scalar_one() == 4


def test_the_id_of_a_deleted_row_is_never_given_again(
    database: Database, tmp_path: Path
) -> None:
    submit(database, plan_seeds(1, 2), name="s")
    lifecycle.set_state(database, require(database, "s"), "cancelled")
    assert remove(database, tmp_path, of_sweep(database)) == (0, 1)
    submit(database, plan_seeds(5), name="other")
    with database.read() as connection:
        assert connection.execute(sa.select(sa.func.max(jobs.c.id))).scalar_one() == 3


def test_what_a_changed_spec_left_out_is_wanted_by_nobody(
    database: Database, tmp_path: Path
) -> None:
    fill(database, tmp_path, 1, 2)
    assert leftovers.of_nobody(database, here=HERE, before=None).is_empty
    sweep = save_sweep(database, "s", spec="another", axes={})
    add_jobs(database, sweep, plan_seeds(2))
    found = leftovers.of_nobody(database, here=HERE, before=None)
    assert remove(database, tmp_path, found) == (1, 0)
    assert states(database) == {1: "evicted", 2: "done"}


def test_nothing_is_unwanted_while_its_sweep_is_being_submitted(
    database: Database, tmp_path: Path
) -> None:
    fill(database, tmp_path, 1, 2)
    save_sweep(database, "s", spec="another", axes={}, submitting=2)
    assert leftovers.of_nobody(database, here=HERE, before=None).is_empty


def test_a_newer_image_outlives_a_prune_of_old_ones(
    database: Database, tmp_path: Path
) -> None:
    fill(database, tmp_path, 1)
    lifecycle.remove(database, require(database, "s"))
    early, late = "2020-01-01T00:00:00", "2040-01-01T00:00:00"
    assert leftovers.of_nobody(database, here=HERE, before=early).is_empty
    assert leftovers.of_nobody(database, here=HERE, before=late).images == [1]


def test_an_evicted_image_stays_in_its_sweep_when_the_spec_leaves_it_out(
    database: Database, tmp_path: Path
) -> None:
    fill(database, tmp_path, 1)
    remove(database, tmp_path, of_query(database, "s"))
    sweep = save_sweep(database, "s", spec="another", axes={})
    assert drop_absent(database, sweep) == 0
    assert states(database) == {1: "evicted"}
