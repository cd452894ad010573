"""A few images stand for a sweep."""

import pytest

from storage.jobs.results import record_done
from storage.jobs.sample_images import sample_keys
from storage.jobs.sweeps import save_sweep
from storage.sql.database import Database
from tests.builders import ENVIRONMENT, make_result, plan_seeds, submit, take_these

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def test_samples_are_finished_images_from_all_over_a_sweep(database: Database) -> None:
    planned = plan_seeds(*range(20))
    sweep = submit(database, planned)
    keys = [one.job.key for one in planned]
    assert sample_keys(database, sweep, count=4) == []
    done = {
        claim.id: make_result()
        for claim in take_these(database, [keys[at] for at in (2, 3, 11)])
    }
    record_done(database, done, worker="cpu0", environment=ENVIRONMENT)
    assert sample_keys(database, sweep, count=4) == [keys[2], keys[11]]


def test_a_sweep_without_jobs_has_no_samples(database: Database) -> None:
    empty = save_sweep(database, "empty", spec="", axes={})
    assert sample_keys(database, empty, count=4) == []
