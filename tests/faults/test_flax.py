"""Faults while JAX paints with the built-in model."""

import pytest

from storage.job import Model
from storage.models.fingerprint import Digests, fingerprint
from storage.models.model_files import locate
from tests.builders import plan_seeds, submit
from tests.faults.night import Night

COUNT = 24


@pytest.fixture(autouse=True)
def _painter(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:  # after the night
    monkeypatch.setenv("NIGHTSWEEP_PAINTER", "workers.flax.painter:make_painter")


def test_a_worker_with_jax_that_is_killed_loses_nothing(night: Night) -> None:
    found = locate("builtin:shapes", download=True)
    model = Model(fingerprint=fingerprint(found, Digests()), name="builtin:shapes")
    planned = plan_seeds(
        *range(COUNT),
        model=model,
        backend="flax",
        generator="numpy",
        dtype="float32",
        width=32,
        height=32,
        steps=4,
    )
    submit(night.database, planned)
    with night.working():
        night.wait_for(1)
        night.kill_a_worker()
        night.wait_for(COUNT)
        night.check(done=COUNT)
    kept = list((night.settings.home / "compiled" / "jax").iterdir())
    assert kept, "what was compiled is there for the next process"
