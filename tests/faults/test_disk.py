"""An image disk that is full."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage.sql.schema import jobs, sweeps, workers
from tests.faults.disk import fill, mounted
from tests.faults.night import Night
from tests.processes import wait_until


@pytest.fixture
def images(night: Night) -> Iterator[Path]:
    """Give the image folder as a disk of its own, of 2 MB."""
    with mounted(night.settings.images, megabytes=2):
        yield night.settings.images


def is_waiting(night: Night) -> bool:
    with night.database.read() as connection:
        phases = connection.execute(sa.select(workers.c.phase)).scalars()
        return "waiting" in set(phases)


def test_a_full_disk_is_waited_for_and_no_job_fails(night: Night, images: Path) -> None:
    filler = images / "filler"
    fill(filler)
    spec = night.spec(count=20)
    # By default work would wait before the disk is full.
    spec.write_text(spec.read_text().replace("limits: {", "limits: {min_free: 0 GB, "))
    night.run("submit", str(spec))
    with night.working():
        wait_until(lambda: is_waiting(night))
        assert set(night.states()) <= {"pending", "leased"}
        filler.unlink()
        night.wait_for(20)
        night.check(done=20)
    assert night.log().count("Waiting: Images must be writable, but") == 1
    assert night.log().count("Going on after") == 1
    with night.database.read() as connection:
        assert set(connection.execute(sa.select(jobs.c.attempts)).scalars()) == {1}


@pytest.mark.long
def test_a_run_waits_for_the_room_that_its_sweep_wants(
    night: Night, images: Path
) -> None:
    assert images
    words = (str(night.spec(count=5)), "--device", "cpu", "--workers", "1")
    with night.begin("run", *words) as run:
        wait_until(lambda: is_waiting(night))
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(3)
        with night.database.write() as connection:
            connection.execute(sa.update(sweeps).values(min_free_bytes=0))
        said, _ = run.communicate()
    assert run.returncode == 0, said
    waits = "Waiting: 1.0 GB must stay free where images of night go"
    assert said.count(waits) == 1
    assert night.states() == {"done": 5}
