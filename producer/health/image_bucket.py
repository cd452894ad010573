"""Whether a bucket of images can be reached, read and written."""

import secrets
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from producer.health.check import Check, fine, warn
from storage.errors import ImageStoreError

if TYPE_CHECKING:
    from storage.files.bucket import Bucket

#: What the doctor puts into the bucket for a moment.
PROBE = ".probes"


def check_bucket(bucket: "Bucket") -> Iterator[Check]:
    """Check the rights that workers need, and that a put can be conditional.

    Raises:
        ImageStoreError: The bucket cannot be reached, or a right is missing.
    """
    path, text = f"{PROBE}/{secrets.token_hex(8)}.txt", secrets.token_bytes(16)
    bucket.names("")
    began = time.perf_counter()
    bucket.save(path, text)
    put_s = time.perf_counter() - began
    try:
        if bucket.read(path)[0] != text:
            msg = (
                f"An object must be read as it was written, but {bucket.address}/"
                f"{path} is not; try again."
            )
            raise ImageStoreError(msg)
        is_conditional = _refuses_the_second(bucket, path)
    finally:
        bucket.remove([path])
    detail = f"{bucket.address} can be read and written; a put takes {put_s:.3f} s"
    yield fine("image bucket", detail)
    if not is_conditional:
        yield warn(
            "image bucket",
            "the store ignores If-None-Match or If-Match, so two databases may take "
            "the bucket at the same moment, and a worker that was cut off may replace "
            "the image of the next one",
            advice="let no other database use this bucket and prefix, and run `verify "
            "--full` now and then",
        )


def _refuses_the_second(bucket: "Bucket", path: str) -> bool:
    """Return whether of two puts of an object the later one is refused."""
    looks = 0

    def come_between() -> bool:
        nonlocal looks
        looks += 1
        if looks == 1:
            bucket.save(path, b"first")
        return looks == 1

    return not bucket.create(path, b"second") and not bucket.save(
        path, b"second", is_mine=come_between
    )
