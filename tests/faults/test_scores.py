"""Scores, when workers, commands and Redis die in the midst of them: each once."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
import sqlalchemy as sa

from storage.sql.schema import scores
from tests.faults.night import Night
from tests.processes import wait_until

pytestmark = pytest.mark.torch

METRIC = ("--metric", "tests.own_metrics:Brightness")
#: A `score` that has stored what is asked, and does not come to send it.
STUCK_SCORE = """
import time
from producer.commands import score
from producer.cli import cli

def stop(*_args):
    print("stored", flush=True)
    time.sleep(3600)

score.wake_for_scores = stop
cli(["score", "night", "--metric", "tests.own_metrics:Brightness"])
"""


@pytest.fixture(autouse=True)
def _counted(night: Night) -> None:
    """Have the database count how often a score was written."""
    with night.database.write() as connection:
        connection.execute(sa.text("CREATE TABLE score_effects (score TEXT)"))
        connection.execute(
            sa.text(
                "CREATE TRIGGER s AFTER UPDATE OF state ON scores "
                "WHEN NEW.state = 'done' "
                "BEGIN INSERT INTO score_effects "
                "VALUES (NEW.job_id || ' ' || NEW.metric_id); END"
            )
        )


def make_images(night: Night, count: int, prompts: str = "a cat") -> None:
    night.submit(count=count, steps=1, prompts=prompts)
    with night.working():
        night.wait_for(count * (prompts.count(",") + 1))


def states(night: Night) -> Counter[str]:
    query = sa.select(scores.c.state, sa.func.count()).group_by(scores.c.state)
    with night.database.read() as connection:
        return Counter(dict(map(tuple, connection.execute(query).all())))


def owners(night: Night) -> set[str]:
    query = sa.select(scores.c.owner).where(scores.c.state == "leased").distinct()
    with night.database.read() as connection:
        return set(connection.execute(query).scalars())


@contextmanager
def held(night: Night) -> Iterator[None]:
    """Have the metric wait, with scores in hand, while the block runs."""
    file = night.settings.home / "held"
    file.touch()
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def check(night: Night, *, done: int, failed: int = 0) -> None:
    """Check that each score was written once, and nothing is in hand."""
    wait_until(lambda: states(night).total() == done + failed)
    assert states(night) == Counter({"done": done, "failed": failed}) + Counter()
    with night.database.read() as connection:
        written = connection.execute(sa.text("SELECT score FROM score_effects"))
        assert Counter(Counter(written.scalars()).values()) == {1: done}


def wait_for_scores(night: Night, done: int) -> None:
    wait_until(lambda: states(night)["done"] >= done, moving=lambda: states(night))


def test_scores_of_a_killed_worker_are_computed_by_another(night: Night) -> None:
    make_images(night, 6)
    with held(night):
        night.run("score", "night", *METRIC)
        with night.working(2):
            wait_until(lambda: owners(night) != set())
            (owner, *_) = owners(night)
            psutil.Process(int(owner.split(":")[1])).kill()
            (night.settings.home / "held").unlink()
            wait_for_scores(night, 6)
            check(night, done=6)


@pytest.mark.long
def test_a_score_that_kills_its_worker_fails_and_the_others_are_computed(
    night: Night,
) -> None:
    make_images(night, 1, prompts="a cat, a dog, kill the metric")
    night.run("score", "night", *METRIC)
    with night.working():
        wait_for_scores(night, 2)
        wait_until(lambda: states(night)["failed"] == 1, moving=lambda: states(night))
    check(night, done=2, failed=1)
    said = night.run("show", failed_key(night))
    assert "failed: its worker died 3 times with this score alone" in said


def failed_key(night: Night) -> str:
    query = sa.text("SELECT key FROM image_scores WHERE state = 'failed'")
    with night.database.read() as connection:
        return str(connection.execute(query).scalar_one())


@pytest.mark.long
def test_a_score_command_that_dies_before_it_sends_costs_nothing(night: Night) -> None:
    make_images(night, 3)
    with subprocess.Popen(
        [sys.executable, "-c", STUCK_SCORE], stdout=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout is not None
        for line in command.stdout:
            if line == "stored\n":
                break
        command.kill()
    assert states(night) == {"pending": 3}
    said = night.run("score", "night", *METRIC)
    assert "brightness: 3 scores, 0 new." in said
    with night.redis.client() as client:
        client.flushall()
    with night.working():
        wait_for_scores(night, 3)
        check(night, done=3)


@pytest.mark.long
def test_scores_outlive_a_redis_that_forgets_all(night: Night) -> None:
    make_images(night, 6)
    with held(night):
        night.run("score", "night", *METRIC)
        with night.working(2):
            wait_until(lambda: owners(night) != set())
            night.redis.kill()
            night.redis.start()
            with night.redis.client() as client:
                client.flushall()
            (night.settings.home / "held").unlink()
            wait_for_scores(night, 6)
            check(night, done=6)


def test_a_run_makes_its_references_and_waits_for_its_scores(night: Night) -> None:
    spec = night.spec(count=2, steps=2)
    with spec.open("a") as file:
        file.write(
            "scores: ['tests.own_metrics:Brightness', {metric: "
            "'tests.own_metrics:Darkness', reference: {steps: 8}}]\n"
        )
    said = night.run("run", str(spec), "--device", "cpu", "--workers", "1")
    assert "brightness: 2 scores, 2 new, 2 waiting for images." in said
    assert "night: scores: 4 done." in said, said
    # The halves of the references have a distance, too, and their seeds.
    assert states(night) == {"done": 7}
    assert night.states() == {"done": 6}
    assert "2" in night.run("find", "sweep:night", "--count").split()
    again = night.run("run", str(spec), "--device", "cpu", "--workers", "1")
    assert "Nothing was left to make." in again
    check(night, done=7)
