"""A turn for scores: claimed, opened, measured and written; real SQL, files, metric."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image

from storage.errors import DeviceError
from storage.files.images import ImageFolder
from storage.jobs import blocked_groups
from storage.jobs.results import record_done
from storage.scores import score_claims
from storage.scores.asking import ask
from storage.scores.identities import ResolvedMetric
from storage.scores.score_counts import blocked_metrics
from storage.settings import Settings
from storage.sql.database import Database
from storage.sql.schema import jobs, scores
from tests.builders import ENVIRONMENT, make_result, plan_seeds, submit, take
from tests.contexts import OWNER, make_context
from tests.own_metrics import Brightness
from workers.execution.heartbeat import Heartbeat
from workers.painting import StoppedError
from workers.scoring.score_turn import ScoreTurn

pytestmark = [pytest.mark.torch, pytest.mark.databases("sqlite", "postgresql")]

BRIGHTNESS = ResolvedMetric(
    name="brightness",
    source="tests.own_metrics:Brightness",
    version="1",
    higher_is_better=True,
)
DARKNESS = ResolvedMetric(
    name="darkness",
    source="tests.own_metrics:Darkness",
    version="1",
    reference={"steps": 200},
    higher_is_better=False,
)


@pytest.fixture
def make_turn(database: Database, settings: Settings) -> Callable[..., ScoreTurn]:
    def make(**changes: Any) -> ScoreTurn:
        return ScoreTurn(
            context=make_context(database, settings, **changes),
            heartbeat=Heartbeat(
                database, owner=OWNER, lease_s=90, renew=score_claims.renew
            ),
            device="cpu",
            digests=settings.home / "digests.json",
        )

    return make


def make_images(
    database: Database, settings: Settings, *shades: int, **changes: Any
) -> None:
    """Make an image of each shade of grey, by the seeds from 0 on."""
    settings.home.mkdir(exist_ok=True)
    submit(database, plan_seeds(*range(len(shades)), **changes))
    folder = ImageFolder(settings.images)
    made = {}
    for one in take(database, limit=len(shades)):
        path = folder.path(one.job.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (shades[one.job.seed],) * 3).save(path)
        made[one.id] = make_result()
    record_done(database, made, worker="cpu0", environment=ENVIRONMENT)


def found(database: Database) -> Sequence[Any]:
    columns = (jobs.c.seed, scores.c.state, scores.c.value)
    query = sa.select(*columns).join(jobs, jobs.c.id == scores.c.job_id)
    with database.read() as connection:
        rows = connection.execute(query.order_by(jobs.c.id)).all()
    return [tuple(row) for row in rows]


def errors(database: Database) -> list[str]:
    query = sa.select(scores.c.error).where(scores.c.error.is_not(None))
    with database.read() as connection:
        return list(connection.execute(query).scalars())


def measured(settings: Settings) -> int:
    return len((settings.home / "measured").read_text().splitlines())


def test_a_turn_computes_all_scores_of_its_metric_once(
    make_turn: Callable[..., ScoreTurn], database: Database, settings: Settings
) -> None:
    make_images(database, settings, *range(0, 255, 17))
    ask(database, BRIGHTNESS, dict.fromkeys(range(1, 16)))
    turn = make_turn()
    turn.take(BRIGHTNESS.digest)
    assert found(database) == [(n, "done", pytest.approx(n / 15)) for n in range(15)]
    turn.take(BRIGHTNESS.digest)
    assert measured(settings) == 15


def test_a_distance_gets_the_image_and_its_reference(
    make_turn: Callable[..., ScoreTurn], database: Database, settings: Settings
) -> None:
    make_images(database, settings, 51, 255)
    ask(database, DARKNESS, {1: 2})
    make_turn().take(DARKNESS.digest)
    assert found(database) == [(0, "done", pytest.approx(0.8))]


def test_an_image_that_is_gone_or_damaged_costs_no_other_its_score(
    make_turn: Callable[..., ScoreTurn], database: Database, settings: Settings
) -> None:
    make_images(database, settings, 0, 51, 102)
    ask(database, BRIGHTNESS, dict.fromkeys((1, 2, 3)))
    files = sorted(settings.images.rglob("*.png"), key=lambda one: seed(one, database))
    gone, damaged, _ = files
    gone.unlink()
    damaged.write_bytes(b"no picture")
    make_turn().take(BRIGHTNESS.digest)
    assert [each[1:] for each in found(database)] == [
        ("failed", None),
        ("failed", None),
        ("done", pytest.approx(0.4)),
    ]
    again = "`nightsweep verify --repair` has it made again, and then it is scored"
    assert sorted(errors(database)) == [
        f"an image must be there to be scored, but {gone} is gone; {again}",
        f"an image must be whole to be scored, but {damaged} gives: cannot identify "
        f"image file '{damaged}'; {again}",
    ]


def seed(path: Path, database: Database) -> int:
    with database.read() as connection:
        query = sa.select(jobs.c.seed).where(jobs.c.key == path.stem)
        return int(connection.execute(query).scalar_one())


def test_a_metric_that_raises_fails_the_score_and_no_other(
    make_turn: Callable[..., ScoreTurn], database: Database, settings: Settings
) -> None:
    make_images(database, settings, 255, prompt="no metric likes it")
    ask(database, BRIGHTNESS, {1: None})
    make_turn().take(BRIGHTNESS.digest)
    assert found(database) == [(0, "failed", None)]
    (error,) = errors(database)
    assert "this prompt is not for metrics" in error


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"source": "tests.own_metrics:Newer"},
            "brightness must be of version 1, as it was asked for, but 2 is installed "
            "here; install that version, or ask for the scores of this one",
        ),
        (
            {"source": "no_such_package:Sharpness"},
            "the metric no_such_package:Sharpness needs the package no_such_package, "
            "which cannot be imported here (No module named 'no_such_package'); "
            "install it wherever workers run, or correct the name",
        ),
    ],
)
def test_a_metric_that_cannot_be_loaded_is_set_aside_with_its_reason(
    make_turn: Callable[..., ScoreTurn],
    database: Database,
    settings: Settings,
    changes: Any,
    reason: str,
) -> None:
    make_images(database, settings, 255)
    asked = replace(BRIGHTNESS, **changes)
    ask(database, asked, {1: None})
    turn = make_turn()
    turn.take(asked.digest)
    assert found(database) == [(0, "pending", None)]
    (blocked,) = blocked_metrics(database)
    assert (blocked.name, blocked.worker) == ("brightness", "cpu0")
    assert blocked.reason == reason
    # It is left alone for a while, and then tried again.
    ask(database, BRIGHTNESS, {1: None})
    turn.take(asked.digest)
    assert found(database) == [(0, "pending", None)]
    blocked_groups.lift_all(database)
    turn.take(asked.digest)
    assert found(database) == [(0, "done", 1.0)]
    assert blocked_metrics(database) == []


def test_images_come_first(
    make_turn: Callable[..., ScoreTurn], database: Database, settings: Settings
) -> None:
    make_images(database, settings, 255)
    ask(database, BRIGHTNESS, {1: None})
    submit(database, plan_seeds(7), name="later")
    turn = make_turn()
    turn.take(BRIGHTNESS.digest)
    assert found(database) == [(0, "pending", None)]
    blocked_groups.block(
        database,
        plan_seeds(7)[0].job.group,
        host=turn.context.host,
        worker="cpu0",
        reason="no such model",
    )
    turn.take(BRIGHTNESS.digest)
    assert found(database) == [(0, "done", 1.0)]


def test_a_worker_that_is_to_end_hands_its_scores_back(
    make_turn: Callable[..., ScoreTurn], database: Database, settings: Settings
) -> None:
    make_images(database, settings, 255, 255)
    ask(database, BRIGHTNESS, {1: None, 2: None})
    with pytest.raises(StoppedError):
        make_turn(should_stop=lambda: True).take(BRIGHTNESS.digest)
    assert {each[1] for each in found(database)} == {"pending"}
    with database.read() as connection:
        assert set(connection.execute(sa.select(scores.c.attempts)).scalars()) == {0}


def test_scores_that_a_device_fails_with_are_tried_one_by_one(
    make_turn: Callable[..., ScoreTurn],
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_images(database, settings, 0, 255)
    ask(database, BRIGHTNESS, {1: None, 2: None})

    def fail(_self: object, samples: Sequence[Any]) -> list[float]:
        if any(one.image.max() == 0 for one in samples):
            msg = "the device must answer, but does not"
            raise DeviceError(msg)
        return [1.0] * len(samples)

    monkeypatch.setattr(Brightness, "score", fail)
    for _ in range(4):
        with pytest.raises(DeviceError):
            make_turn().take(BRIGHTNESS.digest)
    make_turn().take(BRIGHTNESS.digest)
    assert found(database) == [(0, "failed", None), (1, "done", 1.0)]


def test_a_digest_that_nobody_asked_for_is_ignored(
    make_turn: Callable[..., ScoreTurn], database: Database
) -> None:
    make_turn().take("0" * 32)
    assert found(database) == []
