"""Faults while JAX paints with the built-in model."""

import pytest

from tests.faults.night import WORKER, Night
from tests.processes import running

COUNT = 24


def test_a_worker_with_jax_that_is_killed_loses_nothing(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_PAINTER", "")  # the back end's own
    spec = night.spec(count=COUNT, steps=4)
    wanted = "width: 32, height: 32, backend: flax, generator: numpy, scheduler: ddim"
    spec.write_text(spec.read_text().replace("width: 8, height: 8", wanted))
    night.run("submit", str(spec))
    words = (*WORKER, "--workers", "1", "--backend", "flax")
    with running(*words, said=night.folder / "said"):
        night.wait_for(1)
        night.kill_a_worker()
        night.wait_for(COUNT)
        night.check(done=COUNT)
    kept = night.settings.home / "compiled" / "jax"
    assert list(kept.iterdir()), "the next process need not compile"
