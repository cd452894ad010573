"""Groups that some workers cannot make, and others can."""

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from producer.cli import cli
from storage.host.worker_ids import my_host
from storage.jobs.blocked_groups import block
from storage.sql.schema import blocks, jobs
from tests.faults.night import Night
from tests.processes import wait_until

CPU = ("--device", "cpu", "--workers")


@pytest.fixture(autouse=True)
def _picky(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the first worker that paints unable to."""
    monkeypatch.setenv("NIGHTSWEEP_PAINTER", "tests.faulty_painter:make_painter")
    (night.settings.home / "picky").touch()


def blocked_on(night: Night) -> list[str]:
    with night.database.read() as connection:
        return list(connection.execute(sa.select(blocks.c.host)).scalars())


@pytest.mark.long
def test_what_another_host_cannot_make_is_made_by_a_run_here(night: Night) -> None:
    night.submit(count=3)
    with night.working_elsewhere():
        wait_until(lambda: blocked_on(night) == ["elsewhere"])
        said = night.run("run", str(night.spec(count=3)), *CPU, "1")
    assert "Made 3 images" in said
    night.check(done=3)


@pytest.mark.long
def test_a_run_goes_on_when_another_host_says_that_it_cannot(night: Night) -> None:
    (night.settings.home / "picky").unlink()
    with night.begin("run", str(night.spec(count=3)), *CPU, "1") as run:
        wait_until(lambda: night.states().total() == 3)
        with night.database.read() as connection:
            group = connection.execute(sa.select(jobs.c.group_key)).scalars().first()
        about = {"host": "elsewhere", "worker": "gpu0"}
        block(night.database, str(group), **about, reason="no memory")
        said, _ = run.communicate()
    assert "Made 3 images" in said
    night.check(done=3)


def test_what_one_worker_cannot_make_is_left_to_another_of_its_host(
    night: Night,
) -> None:
    said = night.run("run", str(night.spec(count=3)), *CPU, "2")
    assert "Made 3 images" in said
    night.check(done=3)


def test_a_run_ends_with_what_no_worker_of_its_host_can_make(night: Night) -> None:
    said = night.run("run", str(night.spec(count=3)), *CPU, "1", code=1)
    reason = "the model must fit into memory, but does not"
    assert f"3 images cannot be made by cpu0 on {my_host()}: {reason}" in said
    assert "The workers ended before" not in said
    status = CliRunner().invoke(cli, ["status", "--json"])
    assert f'"host": "{my_host()}"' in status.output
