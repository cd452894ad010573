"""Faults while torch paints with the built-in model: killed, stopped, out of memory."""

import signal
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage.sql.schema import jobs, widths
from tests.faults.night import STAND_IN, Night
from tests.image_scripts import make_image
from tests.processes import PATIENCE_S
from workers.engine.batches import CPU_WIDTH

REAL = "workers.engine.torch_painter:make_painter"
TIGHT = "tests.faults.tight_painter:make_painter"
#: More than one batch.
COUNT = CPU_WIDTH + 4


def spec(night: Night, *, size: int, steps: int) -> str:
    """Write a sweep of `COUNT` pictures."""
    path = night.spec(count=COUNT, steps=steps)
    path.write_text(path.read_text().replace("8, height: 8", f"{size}, height: {size}"))
    return str(path)


def max_of(night: Night, column: str) -> int:
    with night.database.read() as connection:
        return int(connection.execute(sa.select(sa.func.max(jobs.c[column]))).scalar())


@pytest.fixture(autouse=True)
def _painter(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:  # after the night
    monkeypatch.setenv("NIGHTSWEEP_PAINTER", REAL)


@pytest.mark.slow  # one that is killed paints no more, whatever it painted with
def test_a_worker_that_is_killed_loses_nothing(night: Night) -> None:
    night.run("submit", spec(night, size=32, steps=12))
    with night.working():
        night.wait_for(1)
        night.kill_a_worker()
        night.wait_for(COUNT)
        night.check(done=COUNT)
    assert max_of(night, "deaths") == 0, "it died in company"


@pytest.mark.slow
def test_a_worker_that_is_killed_amid_input_images_loses_nothing(night: Night) -> None:
    make_image(1, (48, 32)).save(night.folder / "begin.png")
    path = Path(spec(night, size=32, steps=24))
    begins = "image: begin.png, resize: crop, strength: 0.5"
    path.write_text(path.read_text().replace("steps: 24", f"steps: 24, {begins}"))
    night.run("submit", str(path))
    (night.folder / "begin.png").unlink()
    with night.working():
        night.wait_for(1)
        night.kill_a_worker()
        night.wait_for(COUNT)
        night.check(done=COUNT)
    assert max_of(night, "deaths") == 0, "it died in company"


def test_a_worker_that_is_stopped_keeps_what_is_finished(night: Night) -> None:
    night.run("submit", spec(night, size=32, steps=12))
    with night.working() as worker:
        night.wait_for(1)
        worker.send_signal(signal.SIGINT)
        worker.wait(PATIENCE_S)
    assert not night.owners()
    assert 1 <= night.states()["done"] < COUNT
    with night.working(PAINTER=STAND_IN):
        night.wait_for(COUNT)
        night.check(done=COUNT)
    assert max_of(night, "attempts") == 1


@pytest.mark.long
def test_a_batch_that_memory_is_too_short_for_is_halved(night: Night) -> None:
    night.run("submit", spec(night, size=128, steps=1))
    with night.working(PAINTER=TIGHT):
        night.wait_for(COUNT)
        night.check(done=COUNT)
    assert "can't allocate memory" in night.log()
    assert max_of(night, "attempts") == 1
    with night.database.read() as connection:
        columns = (widths.c.batch_width, widths.c.reason)
        width, reason = connection.execute(sa.select(*columns)).one()
    assert width <= CPU_WIDTH / 2
    assert reason == "memory"
