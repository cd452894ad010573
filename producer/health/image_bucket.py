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
        is_conditional = not bucket.create(path, text)
    finally:
        bucket.remove([path])
    detail = f"{bucket.address} can be read and written; a put takes {put_s:.3f} s"
    yield fine("image bucket", detail)
    if not is_conditional:
        yield warn(
            "image bucket",
            "the store ignores If-None-Match, so two databases may take the bucket at "
            "the same moment without noticing",
            advice="let no other database use this bucket and prefix",
        )
