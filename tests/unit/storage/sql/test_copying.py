"""A store is copied with all of its rows, from SQLite to PostgreSQL and back."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from producer.cli import cli
from storage.fleet.registry import Entry, note
from storage.host.worker_ids import my_name
from storage.jobs.sweeps import save_sweep
from storage.settings import Settings
from storage.sql.database import open_database, open_for_reading, utc_now
from storage.sql.schema import metadata
from tests.databases import open_new
from tests.unit.shared_store import fill, fill_the_rest


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Give a home with rows in every table."""
    made = fill(tmp_path / "home")
    monkeypatch.setenv("NIGHTSWEEP_HOME", str(made.home))
    with closing(open_database(made.database_url)) as database:
        fill_the_rest(database)
    return made


def copy(source: str, target: str) -> Result:
    return CliRunner().invoke(cli, ["copy-store", "--from", source, "--to", target])


def read_all(url: str) -> dict[str, list[Mapping[str, Any]]]:
    """Return all rows of all tables."""
    database = open_for_reading(url)
    assert database is not None
    with closing(database), database.read() as connection:
        return {
            table.name: [
                dict(row._mapping)
                for row in connection.execute(
                    sa.select(table).order_by(*table.primary_key)
                )
            ]
            for table in metadata.sorted_tables
        }


def test_the_copied_store_has_rows_in_every_table(full: Settings) -> None:
    empty = [name for name, rows in read_all(full.database_url).items() if not rows]
    assert empty == []


@pytest.mark.databases("postgresql")
def test_a_store_comes_back_from_postgresql_with_equal_rows(
    full: Settings, database_url: str, tmp_path: Path
) -> None:
    first, back = full.database_url, f"sqlite:///{tmp_path}/back.db"
    said = copy(first, database_url)
    assert said.exit_code == 0, said.output
    assert "scores\t5\n" in said.output
    assert read_all(database_url) == read_all(first)
    assert copy(database_url, back).exit_code == 0
    assert read_all(back) == read_all(first)


@pytest.mark.databases("postgresql")
def test_new_rows_follow_the_copied_ones(full: Settings, database_url: str) -> None:
    assert copy(full.database_url, database_url).exit_code == 0
    with closing(open_database(database_url)) as database:
        before = {row["id"] for row in read_all(database_url)["sweeps"]}
        assert save_sweep(database, "new", spec="", axes={}).id > max(before)


def test_a_store_is_only_copied_to_an_empty_database(
    full: Settings, tmp_path: Path
) -> None:
    target = f"sqlite:///{tmp_path}/other.db"
    with closing(open_new(target)) as other:
        save_sweep(other, "taken", spec="", axes={})
    before = read_all(target)
    said = copy(full.database_url, target)
    assert said.exit_code == 2, said.output
    assert "must be copied to an empty database, but sweeps of" in said.output
    assert read_all(target) == before


def test_a_store_is_not_copied_to_itself(full: Settings) -> None:
    said = copy(full.database_url, full.database_url)
    assert said.exit_code == 2
    assert "must be copied to another database" in said.output


def test_a_store_that_is_not_there_is_not_copied(tmp_path: Path) -> None:
    said = copy(f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b.db")
    assert said.exit_code == 2
    assert f"there is none at sqlite:///{tmp_path}/a.db" in said.output
    assert not (tmp_path / "b.db").exists()


def test_a_store_is_not_copied_while_workers_live(
    full: Settings, tmp_path: Path
) -> None:
    begun = {"phase": "idle", "started_at": utc_now(), "phase_at": utc_now()}
    with closing(open_database(full.database_url)) as database:
        note(
            database, Entry(owner=my_name(), name="cpu0", host="w", gpu="CPU", **begun)
        )
    said = copy(full.database_url, f"sqlite:///{tmp_path}/copy.db")
    assert said.exit_code == 2
    assert "Workers must be at rest while the database is copied" in said.output


@pytest.fixture
def meddler(full: Settings) -> Iterator[None]:
    """Have somebody submit a sweep to the store when its copy is nearly complete."""
    done = []

    @sa.event.listens_for(sa.Engine, "after_cursor_execute")
    def _meddle(*called: Any) -> None:
        if "INSERT INTO votes" in called[2] and not done:
            done.append(True)
            with closing(open_database(full.database_url)) as database:
                save_sweep(database, "meanwhile", spec="", axes={})

    yield
    sa.event.remove(sa.Engine, "after_cursor_execute", _meddle)


@pytest.mark.usefixtures("meddler")
def test_a_store_that_changes_meanwhile_leaves_the_copy_empty(
    full: Settings, tmp_path: Path
) -> None:
    target = f"sqlite:///{tmp_path}/copy.db"
    said = copy(full.database_url, target)
    assert said.exit_code == 2, said.output
    assert "Nobody must change a store while it is copied, but sweeps had" in (
        " ".join(said.output.split())
    )
    filled = {name for name, rows in read_all(target).items() if rows}
    assert filled == {"about", "owners"}


def test_a_copy_has_the_image_folders_of_its_source(
    full: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"sqlite:///{tmp_path}/copy.db"
    assert copy(full.database_url, target).exit_code == 0
    monkeypatch.setenv("NIGHTSWEEP_IMAGES", str(full.images))
    monkeypatch.setenv("NIGHTSWEEP_DATABASE_URL", target)
    said = CliRunner().invoke(cli, ["verify", "--full"])
    assert said.exit_code == 0, said.output
