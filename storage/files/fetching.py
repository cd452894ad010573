"""Many images as local files, fetched from a bucket ahead of who reads them."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from storage.files.places import find_local
from storage.image_address import ImageAddress

#: Objects that are fetched at the same time, and so many ahead of the reader.
AT_ONCE = 32


def local_each(images: ImageAddress, paths: Iterable[str]) -> Iterator[Path | None]:
    """Yield a local file for each path, in their order; None where there is none.

    Open each before asking for the next: the cache of a bucket may drop old ones.

    Args:
        images: Where images are.
        paths: Below it.

    Raises:
        ImageStoreError: The place cannot be reached.
    """
    find = partial(find_local, images)
    if isinstance(images, Path):
        yield from map(find, paths)
        return
    ahead: deque[Future[Path | None]] = deque()
    with ThreadPoolExecutor(AT_ONCE, "fetch") as pool:
        for path in paths:
            ahead.append(pool.submit(find, path))
            if len(ahead) > AT_ONCE:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
