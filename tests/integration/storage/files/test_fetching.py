"""Files of a bucket are fetched ahead of their reader, and not too far."""

import pytest

from storage.errors import ImageStoreError
from storage.files.fetching import AT_ONCE, local_each
from storage.settings import read_settings
from tests.buckets import DENIED, Bucket
from tests.processes import wait_until

NAMES = [f"inputs/{number:03}.png" for number in range(3 * AT_ONCE)]


def test_files_come_in_order_and_none_for_what_is_absent(bucket: Bucket) -> None:
    for name in NAMES[:4]:
        bucket.write(name, name.encode())
    asked = [NAMES[2], "inputs/absent.png", NAMES[0], NAMES[2]]

    found = [*local_each(read_settings().images, asked)]

    contents = [file and file.read_bytes().decode() for file in found]
    assert contents == [NAMES[2], None, NAMES[0], NAMES[2]]


def test_many_are_fetched_at_once_and_only_some_ahead(bucket: Bucket) -> None:
    for name in NAMES:
        bucket.write(name, b"pixels")
    bucket.server.latency_s = 0.05

    files = local_each(read_settings().images, NAMES)
    assert next(files)
    wait_until(lambda: bucket.server.requests["GET"] >= AT_ONCE)

    assert AT_ONCE // 2 < bucket.server.most_at_once <= AT_ONCE
    assert bucket.server.requests["GET"] <= AT_ONCE + 1
    assert len([*files]) == len(NAMES) - 1
    assert bucket.server.requests["GET"] == len(NAMES)


def test_a_second_look_fetches_nothing(bucket: Bucket) -> None:
    for name in NAMES[:8]:
        bucket.write(name, b"pixels")
    images = read_settings().images

    first = [*local_each(images, NAMES[:8])]
    again = [*local_each(images, NAMES[:8])]

    assert first == again
    assert bucket.server.requests["GET"] == 8


def test_a_bucket_that_refuses_is_no_absent_file(bucket: Bucket) -> None:
    bucket.server.inject(DENIED)

    with pytest.raises(ImageStoreError, match="The bucket of the images must allow"):
        next(local_each(read_settings().images, NAMES))
