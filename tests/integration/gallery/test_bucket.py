"""Pictures of a bucket come through the gallery's own cache."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.files.images import relative_path
from storage.job import PlannedJob
from storage.settings import Settings
from tests.buckets import DENIED, KEY_ID, SECRET, Bucket
from tests.galleries import Visitor, served
from tests.unit.filled_store import AXES, filled, finish, make_settings, plan, submit


@pytest.fixture
def store(bucket: Bucket, tmp_path: Path) -> tuple[Settings, list[PlannedJob]]:
    assert bucket
    return filled(tmp_path / "home")


@pytest.fixture
def visitor(store: tuple[Settings, list[PlannedJob]]) -> Iterator[Visitor]:
    with served(store[0]) as asking:
        yield asking


def test_an_image_is_sent_by_the_gallery_itself(
    visitor: Visitor, store: tuple[Settings, list[PlannedJob]], bucket: Bucket
) -> None:
    key = store[1][0].job.key

    answer = visitor.get(f"/image/{key}")

    assert answer.status == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.body == bucket.read(relative_path(key))
    assert "location" not in answer.headers
    tag = answer.headers["etag"]
    assert visitor.get(f"/image/{key}", If_None_Match=tag).status == 304
    assert bucket.server.requests["GET"] == 1


def test_a_download_has_the_name_of_the_image(
    visitor: Visitor, store: tuple[Settings, list[PlannedJob]]
) -> None:
    key = store[1][0].job.key

    answer = visitor.get(f"/image/{key}?download=1")

    assert answer.headers["content-disposition"] == f'attachment; filename="{key}.png"'


def test_a_thumbnail_is_made_once_for_everybody(bucket: Bucket, tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "home")
    planned = plan({**AXES, "steps": (2,)}, width=512, height=512)[:1]
    submit(settings, "large", planned)
    finish(settings, planned)
    key = planned[0].job.key

    with served(settings) as visitor:
        answer = visitor.get(f"/thumb/{key}")
        asked = bucket.server.requests.copy()
        again = visitor.get(f"/thumb/{key}")

    assert answer.headers["content-type"] == "image/webp"
    assert bucket.read(relative_path(key).replace(".png", ".webp")) == answer.body
    assert again.body == answer.body
    assert bucket.server.requests - asked == {"HEAD": 1}


def test_a_lost_object_is_not_there_and_an_outage_is_said(
    visitor: Visitor, store: tuple[Settings, list[PlannedJob]], bucket: Bucket
) -> None:
    settings, planned = store
    lost, other = (one.job.key for one in planned[:2])
    bucket.remove(relative_path(lost))

    assert visitor.get(f"/thumb/{lost}").status == 404
    assert visitor.get(f"/image/{lost}").status == 404
    bucket.server.inject(DENIED)
    for what in ("thumb", "image"):
        answer = visitor.get(f"/{what}/{other}")
        assert answer.status >= 500
        assert "The bucket of the images must allow its use" in answer.text
        assert str(settings.images) not in answer.text
        assert KEY_ID not in answer.text
        assert SECRET not in answer.text
