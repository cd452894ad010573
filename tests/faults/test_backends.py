"""Workers of two back ends on one queue: each makes its own jobs, whatever happens."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from storage.sql.schema import jobs, results, workers
from tests.faults.night import WORKER, Night
from tests.processes import running, wait_until
from tests.stand_in import hold, let_go

BOTH = "[torch, flax]"
COUNT = 12


@contextmanager
def serving(night: Night, backend: str, *options: str) -> Iterator[None]:
    """Have a supervisor with one worker of a back end, ready for messages."""
    before = night.log().count("Ready.")
    words = (*WORKER, "--workers", "1", "--backend", backend, *options)
    with running(*words, said=night.folder / "said"):
        wait_until(lambda: night.log().count("Ready.") == before + 1)
        yield


def write_spec(night: Night, backends: str, *, count: int) -> str:
    """Write a sweep of some seeds for each of the back ends; return its path."""
    path = night.folder / "both.yaml"
    path.write_text(
        "name: both\n"
        "base: {model: 'builtin:shapes', width: 8, height: 8, steps: 5, "
        "generator: numpy, scheduler: ddim, prompt: a cat}\n"
        f"axes: {{backend: {backends}, seed: {{start: 0, count: {count}}}}}\n"
    )
    return str(path)


def submit(night: Night, backends: str, *, count: int) -> None:
    night.run("submit", write_spec(night, backends, count=count))


def makers(night: Night) -> dict[tuple[str, str], int]:
    """Count the results by the back end of their jobs, and their worker."""
    query = (
        sa.select(jobs.c.backend, results.c.worker, sa.func.count())
        .join(results, results.c.job_id == jobs.c.id)
        .group_by(jobs.c.backend, results.c.worker)
    )
    with night.database.read() as connection:
        found = connection.execute(query).all()
    return {(backend, worker): count for backend, worker, count in found}


def owners_of(night: Night, backend: str) -> set[str]:
    """Name the workers that have a job of a back end now."""
    query = sa.select(jobs.c.owner).where(
        jobs.c.state == "leased", jobs.c.backend == backend
    )
    with night.database.read() as connection:
        return set(connection.execute(query).scalars())


def backend_of_worker(night: Night, owner: str) -> str:
    query = sa.select(workers.c.backend).where(workers.c.owner == owner)
    with night.database.read() as connection:
        return str(connection.execute(query).scalar_one())


def test_workers_of_two_back_ends_make_one_sweep_each_its_own_jobs(
    night: Night,
) -> None:
    submit(night, BOTH, count=COUNT)
    with serving(night, "torch"), serving(night, "flax"):
        night.wait_for(2 * COUNT)
        night.check(done=2 * COUNT)
    assert makers(night) == {("torch", "cpu0"): COUNT, ("flax", "flax0"): COUNT}


@pytest.mark.long
def test_a_torch_worker_leaves_jobs_of_flax_to_others_and_status_says_so(
    night: Night,
) -> None:
    submit(night, BOTH, count=COUNT)
    with serving(night, "torch"):
        night.wait_for(COUNT)
        wait_until(lambda: not night.owners())
        said = night.run("status")
        assert (
            "Jobs of `backend: flax` wait, but no worker of it is alive; start"
            in said.replace("\n", " ")
        )
        assert night.run("doctor").count("backend: flax") == 1
    assert makers(night) == {("torch", "cpu0"): COUNT}
    with serving(night, "flax"):
        night.wait_for(2 * COUNT)
        assert "backend: flax" not in night.run("status")
    assert makers(night) == {("torch", "cpu0"): COUNT, ("flax", "flax0"): COUNT}


@pytest.mark.long
@pytest.mark.parametrize("victim", ["torch", "flax"])
def test_the_jobs_of_a_killed_worker_go_to_its_own_kind(
    night: Night, victim: str
) -> None:
    submit(night, BOTH, count=2)
    hold()
    with serving(night, "torch"), serving(night, "flax"):
        wait_until(lambda: owners_of(night, "torch") and owners_of(night, "flax"))
        (dead,) = owners_of(night, victim)
        kill(night, dead)
        wait_until(lambda: owners_of(night, victim) not in ({dead}, set()))
        for backend in ("torch", "flax"):
            for owner in owners_of(night, backend):
                assert backend_of_worker(night, owner) == backend
        let_go()
        night.wait_for(4)
        night.check(done=4)
    assert makers(night) == {("torch", "cpu0"): 2, ("flax", "flax0"): 2}


def test_a_worker_ends_when_idle_though_jobs_of_another_back_end_wait(
    night: Night,
) -> None:
    submit(night, "[flax]", count=1)
    words = (*WORKER, "--workers", "1", "--exit-when-idle", "1s")
    with running(*words, said=night.folder / "said") as process:
        wait_until(lambda: process.poll() is not None)
    assert process.returncode == 0
    assert night.states() == {"pending": 1}


def kill(night: Night, owner: str) -> None:
    (process,) = (one for one in night.workers() if f":{one.pid}:" in owner)
    process.kill()


def run_sweep(night: Night) -> tuple[int, str]:
    """Run the sweep of both back ends; return the exit code, and what it said."""
    path = write_spec(night, BOTH, count=COUNT)
    with night.begin("run", path, "--device", "cpu", "--workers", "1") as process:
        said, _ = process.communicate()
    return process.returncode, said.replace("\n", " ")


@pytest.mark.long
def test_run_makes_what_it_can_and_says_which_worker_the_rest_needs(
    night: Night,
) -> None:
    code, said = run_sweep(night)
    assert code == 1
    assert "Jobs of `backend: flax` are left to other workers, since" in said
    assert "wait, but no worker of it is alive; start `" in said
    assert "worker --backend flax` where `nightsweep[flax]` is installed." in said
    assert night.states() == {"done": COUNT, "pending": COUNT}
    assert makers(night) == {("torch", "cpu0"): COUNT}


@pytest.mark.long
def test_run_starts_a_worker_of_each_back_end_whose_packages_are_there(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = night.folder / "packages"
    for name in ("jax", "flax"):
        (packages / name).mkdir(parents=True)
        (packages / name / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", f"{packages}:{os.environ['PYTHONPATH']}")
    code, said = run_sweep(night)
    assert code == 0, said
    assert makers(night) == {("torch", "cpu0"): COUNT, ("flax", "flax0"): COUNT}
