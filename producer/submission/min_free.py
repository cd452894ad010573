"""`limits.min_free` where no disk can be full."""

from collections.abc import Iterator

from producer.spec.sweepfile import MIN_FREE_BYTES, Spec
from storage.image_address import ImageAddress


def warn_of_min_free(spec: Spec, images: ImageAddress) -> Iterator[str]:
    """Yield a warning if a spec wants free space, and images go to a bucket."""
    if spec.min_free_bytes != MIN_FREE_BYTES:
        yield (
            f"limits.min_free has no effect, since images go to the bucket {images}, "
            "which grows as it is filled; leave it out"
        )
