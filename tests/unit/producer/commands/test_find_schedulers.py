"""Images found by the name of their scheduler, whichever of its names that is."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from producer.expansion.expand import read_jobs
from storage.errors import UsageError
from storage.job import PlannedJob
from storage.queries.answers import find
from storage.queries.parsing import refine
from storage.settings import Settings
from storage.sql.database import Database, open_database
from storage.sql.schema import jobs, scheduler_names, schedulers
from storage.store import Store
from tests.builders import take_these
from tests.matrices import shorten
from tests.unit.cards import describe_fake, write_spec
from tests.unit.filled_store import PROMPTS, finish, make_settings, submit

NAMES = ("pndm", "plms", "PLMS", "PNDM", "PNDMScheduler")
pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return make_settings(tmp_path)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = open_database(settings.database_url)
    yield database
    database.close()


def plan(
    folder: Path, *names: str, model: str = "builtin:shapes", **base: object
) -> list[PlannedJob]:
    """Plan a job for each scheduler as a spec does."""
    given = "".join(f", {name}: {value}" for name, value in base.items())
    listed = ", ".join(names)
    text = (
        f"name: s\nbase: {{model: '{model}', prompt: {PROMPTS[0]}{given}}}\n"
        f"axes: {{scheduler: [{listed}]}}\n"
    )
    return list(read_jobs(write_spec(folder, text), describe_fake).jobs())


def found(database: Database, *names: str, sweep: str | None = None) -> list[str]:
    """Give the keys of the jobs that have one of these names."""
    which = refine("", scheduler=names, sweep=sweep)
    return sorted(row["key"] for row in find(database, which))


def keys(planned: list[PlannedJob]) -> list[str]:
    return sorted(one.job.key for one in planned)


@pytest.mark.parametrize("asked", ["pndm", "PLMS", "PNDMScheduler"])
@pytest.mark.parametrize("name", shorten(NAMES, ["plms", "PNDMScheduler"]))
def test_a_job_is_found_by_each_of_its_names(
    settings: Settings, database: Database, tmp_path: Path, asked: str, name: str
) -> None:
    planned = plan(tmp_path, asked)
    submit(settings, "night", planned)

    assert found(database, name) == keys(planned)
    assert found(database, name, sweep="night") == keys(planned)


def test_a_notebook_finds_it_by_each_name_too(
    settings: Settings, tmp_path: Path
) -> None:
    submit(settings, "night", plan(tmp_path, "PLMS"))
    rows = Store(settings).find(scheduler="PLMS")

    assert rows == Store(settings).find(scheduler="pndm")
    assert [row["scheduler"] for row in rows] == ["pndm"]
    (member,) = Store(settings).find(sweep="night", scheduler="plms")
    assert (member["scheduler"], member["scheduler_label"]) == ("pndm", "plms")


def test_a_name_finds_its_own_scheduler_on_every_model(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    names = ("dpmpp_2m", "dpmpp_2m_sde_karras")
    here = plan(tmp_path, *names)
    there = plan(tmp_path, *names, model="org/karras")
    by_class = plan(tmp_path, "DPMSolverMultistepScheduler", model="org/karras", seed=9)
    for sweep, planned in (("here", here), ("there", there), ("class", by_class)):
        submit(settings, sweep, planned)

    assert found(database, "DPM++ 2M") == keys([here[0], there[0]])
    assert found(database, "dpmpp_2m_sde_karras") == keys(
        [here[1], there[1], *by_class]
    )
    everything = keys([*here, *there, *by_class])
    assert found(database, "DPMSolverMultistepScheduler") == everything
    assert found(database, "DPMSolverMultistep") == everything


def test_an_alias_and_a_pattern_find_what_a_spec_means_by_them(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    planned = plan(tmp_path, "euler_a", "euler_karras", "heun")
    submit(settings, "night", planned)

    assert found(database, "euler_ancestral") == keys(planned[:1])
    assert found(database, "euler_*") == keys(planned[:2])
    assert found(database, "dpmpp_*") == []
    with pytest.raises(UsageError, match="pattern of schedulers must match"):
        found(database, "dmpp_*")


def test_names_of_another_models_job_are_not_taken_for_this_ones(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    # One row of `schedulers` serves both; only on one of the models is it PLMS.
    (here,) = plan(tmp_path, "pndm")
    model = replace(here.job.model, fingerprint="0" * 32)
    there = replace(here, job=replace(here.job, model=model), scheduler_names=("pndm",))
    submit(settings, "night", [here, there])

    assert found(database, "plms") == [here.job.key]
    assert found(database, "pndm") == keys([here, there])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("PLMS", "plms"),
        ("pndm", "pndm"),
        ("{class: plms, label: heun}", "pndm"),
        ("dpmpp_2m_karras", "dpmpp_2m_karras"),
    ],
)
def test_a_worker_is_told_the_name_that_was_asked_for(
    settings: Settings, database: Database, tmp_path: Path, asked: str, told: str
) -> None:
    planned = plan(tmp_path, asked)
    submit(settings, "night", planned)

    (claim,) = take_these(database, keys(planned))

    assert claim.scheduler == told


def test_what_was_stored_before_names_were_is_found_by_the_name_it_has(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    planned = plan(tmp_path, "ddim", "euler")
    submit(settings, "night", [replace(one, scheduler_names=()) for one in planned])
    with database.read() as connection:
        assert connection.execute(sa.select(scheduler_names)).all() == []

    assert found(database, "DDIM") == keys(planned[:1])
    assert found(database, "EulerDiscreteScheduler") == keys(planned[1:])


def test_submitting_again_gives_a_job_its_true_name(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    planned = plan(tmp_path, "dpmpp_2m_sde_karras", model="org/karras")
    old = [
        replace(one, scheduler_name="dpmpp_2m", scheduler_names=()) for one in planned
    ]
    submit(settings, "night", old)
    finish(settings, old)
    assert found(database, "dpmpp_2m") == keys(planned)

    submit(settings, "night", planned)

    assert found(database, "dpmpp_2m") == []
    assert found(database, "dpmpp_2m_sde_karras") == keys(planned)
    (row,) = find(database, "")
    assert (row["scheduler"], row["state"]) == ("dpmpp_2m_sde_karras", "done")
    with database.read() as connection:
        used = sa.select(schedulers.c.name).join(
            jobs, jobs.c.scheduler_id == schedulers.c.id
        )
        assert connection.execute(used).scalars().all() == ["dpmpp_2m_sde_karras"]
