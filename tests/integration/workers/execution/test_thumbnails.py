"""Workers and thumbnails: there before the row, and never in the way of an image."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from storage.files import images
from storage.files.images import ImageFolder
from storage.files.thumbnails import find_or_make, thumbnail_path
from storage.host.environment import Environment
from storage.jobs.claims import Claim
from storage.jobs.results import record_done
from storage.settings import Settings
from storage.sql.database import Database
from tests.builders import make_job, plan_seeds, states, submit, take
from tests.contexts import make_context
from tests.unit.storage.files.test_verify import verify
from workers.execution import recording
from workers.execution.encode import encode
from workers.execution.result_writer import ResultWriter
from workers.painting import Painting
from workers.vitals.recent import Recent

LARGE = {"width": 320, "height": 512}


def picture(claim: Claim) -> Painting:
    return Painting(
        image=Image.new("RGB", (claim.job.width, claim.job.height), "blue"),
        environment=Environment(gpu="none", host="test"),
        evaluations=claim.job.steps,
    )


def finish(database: Database, settings: Settings) -> None:
    """Make one image as a worker does."""
    submit(database, plan_seeds(0, **LARGE))
    context = make_context(database, settings)
    (claim,) = take(database, context.owner, group=make_job(**LARGE).group)
    context.heartbeat.hold(claim.id)
    with ResultWriter(context, Recent()) as writer:
        writer.keep(claim, partial(picture, claim))


def test_a_thumbnail_is_there_before_the_row_of_its_image(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = thumbnail_path(settings.images, make_job(seed=0, **LARGE).key)
    was_there = []

    def record(*args: Any, **options: Any) -> None:
        was_there.append(path.exists())
        record_done(*args, **options)

    monkeypatch.setattr(recording, "record_done", record)
    finish(database, settings)
    assert was_there == [True]
    assert states(database) == {0: "done"}
    with Image.open(path, formats=["WEBP"]) as small:
        assert small.size == (160, 256)
    made = path.stat()
    assert find_or_make(settings.images, path.stem).stat().st_ino == made.st_ino
    said = verify("--full")
    assert (said.exit_code, said.stdout) == (0, "")


def test_an_image_is_stored_though_pillow_cannot_make_its_thumbnail(
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As in a Pillow that was built without WebP.
    monkeypatch.delitem(Image.SAVE, "WEBP")
    monkeypatch.setattr(Image, "_initialized", 2)
    finish(database, settings)
    assert states(database) == {0: "done"}
    assert list(settings.images.rglob("*.webp")) == []


def test_an_image_waits_for_the_room_that_its_thumbnail_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(seed=0, **LARGE)
    image = Image.effect_noise((320, 512), 60).convert("RGB")
    made = encode(image, job, scheduler="ddim", until=0.0)
    assert made.thumbnail
    monkeypatch.setattr(images, "free_bytes", lambda _folder: 10**6)
    left = []

    def missing(_key: str, left_bytes: int) -> None:
        left.append(left_bytes)

    ImageFolder(tmp_path, missing).save(job.key, made.png, made.thumbnail)
    assert left == [10**6 - len(made.png) - len(made.thumbnail)]
