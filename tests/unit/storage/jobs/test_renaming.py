"""Sweeps that get another name, and what finds them afterwards."""

import pytest
import sqlalchemy as sa

from storage.errors import ChangedSweepError, UsageError
from storage.jobs import lifecycle
from storage.jobs.claims import claim
from storage.jobs.companions import companion_of, find_companion
from storage.jobs.membership import add_jobs
from storage.jobs.renaming import rename
from storage.jobs.sweeps import Sweep, find_sweep, list_sweeps, save_sweep
from storage.queries.answers import count
from storage.sql.database import Database
from storage.sql.schema import sweeps as sweeps_table
from tests.builders import plan_seeds, submit

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def names(database: Database) -> list[str]:
    return [each.name for each in list_sweeps(database)]


def require(database: Database, name: str) -> Sweep:
    found = find_sweep(database, name)
    assert found is not None
    return found


def test_a_sweep_and_its_references_get_another_name(database: Database) -> None:
    sweep = submit(database, plan_seeds(1, 2), name="old")
    companion = companion_of(database, sweep)
    rename(database, sweep, "new", spec="name: new")
    assert names(database) == ["new", "new.reference"]
    assert require(database, "new").spec == "name: new"
    assert "The references of new," in require(database, "new.reference").spec
    assert count(database, "sweep:new") == 2
    # Who read it before still finds its references, and makes no second ones.
    assert find_companion(database, sweep) == require(database, "new.reference")
    assert companion_of(database, sweep).id == companion.id


def test_workers_go_on_with_a_renamed_sweep(database: Database) -> None:
    sweep = submit(database, plan_seeds(1, 2), name="old")
    group = plan_seeds(1)[0].job.group
    assert claim(database, owner="w:1:1", lease_s=90.0, group=group, limit=1)
    rename(database, sweep, "new", spec="")
    assert claim(database, owner="w:1:1", lease_s=90.0, group=group, limit=1)
    lifecycle.set_state(database, sweep, "paused")
    assert require(database, "new").state == "paused"


def test_the_old_name_is_free_for_a_new_sweep(database: Database) -> None:
    sweep = submit(database, plan_seeds(1), name="old")
    rename(database, sweep, "new", spec="")
    again = save_sweep(database, "old", spec="", axes={})
    assert again.id != sweep.id
    assert names(database) == ["new", "old"]


def test_references_that_are_asked_for_after_a_rename_have_the_new_name(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(1), name="old")
    rename(database, sweep, "new", spec="")
    assert companion_of(database, sweep).name == "new.reference"


@pytest.mark.parametrize("taken", ["other", "new.reference"])
def test_a_name_that_is_taken_is_refused(database: Database, taken: str) -> None:
    sweep = submit(database, plan_seeds(1), name="old")
    companion_of(database, sweep)
    submit(database, plan_seeds(2), name=taken)
    name = taken.removesuffix(".reference")
    said = f"a name must be that of one sweep, and {taken} is taken; choose another"
    with pytest.raises(UsageError, match=said):
        rename(database, sweep, name, spec="")
    assert names(database) == ["old", "old.reference", taken]


def test_the_name_of_a_removed_sweep_is_taken(database: Database) -> None:
    sweep = submit(database, plan_seeds(1), name="old")
    lifecycle.remove(database, submit(database, plan_seeds(2), name="gone"))
    with pytest.raises(UsageError, match="gone is taken"):
        rename(database, sweep, "gone", spec="")


def test_a_sweep_that_somebody_changes_meanwhile_keeps_its_name(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(1), name="old")
    save_sweep(database, "old", spec="more", axes={})
    with pytest.raises(ChangedSweepError):
        rename(database, sweep, "new", spec="")
    assert names(database) == ["old"]


def test_a_sweep_whose_jobs_are_being_stored_keeps_its_name(
    database: Database,
) -> None:
    sweep = save_sweep(database, "old", spec="", axes={}, submitting=2)
    add_jobs(database, sweep, plan_seeds(1))
    with pytest.raises(ChangedSweepError):
        rename(database, sweep, "new", spec="")
    assert names(database) == ["old"]


def test_the_reason_of_a_pause_names_commands_that_work(database: Database) -> None:
    sweep = submit(database, plan_seeds(1), name="old")
    reason = "an old error. `nightsweep retry old` and `nightsweep resume old`"
    with database.write() as connection:
        connection.execute(sa.update(sweeps_table).values(reason=reason))
    rename(database, require(database, sweep.name), "new", spec="")
    now = "an old error. `nightsweep retry new` and `nightsweep resume new`"
    assert require(database, "new").reason == now
