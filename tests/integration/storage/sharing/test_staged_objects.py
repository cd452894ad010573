"""Images that are imported into a bucket: row and object tell of the same picture."""

import pytest

from storage.files.images import relative_path
from storage.settings import Settings
from storage.sharing.shared_items import SharedImage
from storage.sharing.staged_files import put_in_place, stage
from tests import buckets
from tests.builders import make_job, make_result

IMAGE = SharedImage(
    job=make_job(),
    evaluations=1,
    scheduler="euler",
    scheduler_names=("euler",),
    members=(),
    result=make_result(),
    environment=None,
    worker="elsewhere",
    is_evicted=False,
    file=None,
    scores=(),
    ratings=(),
)
PATH = relative_path(IMAGE.job.key)


def test_an_object_that_is_still_as_it_was_put_is_not_put_again(
    bucket: buckets.Bucket, settings: Settings
) -> None:
    staged = stage(IMAGE, make_result(), b"imported", images=settings.images)
    put_in_place([staged], settings.images)
    assert bucket.read(PATH) == b"imported"
    assert bucket.server.requests == {"PUT": 1, "HEAD": 1}


@pytest.mark.parametrize("is_first", [True, False])
def test_an_object_of_a_killed_worker_is_replaced(
    bucket: buckets.Bucket, settings: Settings, is_first: bool
) -> None:
    if is_first:
        bucket.write(PATH, b"of a worker")
    staged = stage(IMAGE, make_result(), b"imported", images=settings.images)
    if not is_first:
        bucket.write(PATH, b"of a worker")
    put_in_place([staged], settings.images)
    assert bucket.read(PATH) == b"imported"


def test_an_object_is_put_though_an_answer_is_lost(
    bucket: buckets.Bucket, settings: Settings
) -> None:
    bucket.server.inject(buckets.ANSWER_LOST, methods=("PUT",), times=1)
    staged = stage(IMAGE, make_result(), b"imported", images=settings.images)
    put_in_place([staged], settings.images)
    assert bucket.read(PATH) == b"imported"
