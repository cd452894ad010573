"""Limits: workers that die, and many at once, make no image too many or too few."""

import pytest

from storage.jobs.sweeps import find_sweep
from tests.faults.night import Night
from tests.processes import wait_until


def is_paused(night: Night) -> bool:
    sweep = find_sweep(night.database, "night")
    return sweep is not None and sweep.state == "paused"


@pytest.mark.long
def test_as_many_images_are_made_as_may_be_though_a_worker_is_killed(
    night: Night,
) -> None:
    night.run("submit", str(night.spec(count=30, steps=3)), "--stop-after", "12")
    with night.working(2):
        night.wait_for(3)
        night.kill_a_worker()
        wait_until(lambda: is_paused(night), moving=night.began)
        wait_until(lambda: not night.owners())
        assert night.states() == {"done": 12, "pending": 18}
        assert "night is paused: it has made as many images" in night.run("status")
        assert "night is active: 18 images to make." in night.run("resume", "night")
        night.wait_for(30)
        night.check(done=30)


def test_a_run_ends_at_its_limit_with_a_code_of_its_own(night: Night) -> None:
    words = ("run", str(night.spec(count=9)), "--device", "cpu", "--workers", "1")
    told = night.folder / "told"
    write = f'echo "$NIGHTSWEEP_MESSAGE" > {told}'
    said = night.run(*words, "--stop-after", "4", "--on", "limit", write, code=3)
    night.check(done=4, others=5)
    assert "night stops after 4 images." in said
    assert "4 images made in 0.00 GPU-hours, 5 images left. `" in said
    assert told.read_text().startswith("night is at its limit, and 5 images are left: ")
    night.run(*words, code=0)
    night.check(done=9)
