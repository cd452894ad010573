"""Images in a bucket of an object store: `NIGHTSWEEP_IMAGES=s3://bucket/prefix`.

Only `storage.files.places` imports this module, when a bucket is used: it needs the
package obstore. Credentials are obstore's business; it takes them from the environment
and from the role of the machine. They never come here, and neither does the text of an
answer, which may name an access key: of an error, only status and code are told.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from storage.errors import ImageStoreError
from storage.files.bucket_cache import Cache
from storage.files.bucket_errors import error_of
from storage.files.bucket_opening import open_store
from storage.files.bucket_versions import condition_of, stamp_of, tag_in, tag_of
from storage.files.disk import always
from storage.host.file_stamps import Stamp
from storage.host.log_rate import RateLimit
from storage.image_address import BucketAddress

if TYPE_CHECKING:
    from obstore import PutMode
    from obstore.store import ObjectStore

log = logging.getLogger(__name__)
log.addFilter(RateLimit())

#: Questions that are asked of a bucket at once.
THREADS = 32
#: Objects that are removed with one request; S3 takes no more.
REMOVED_AT_ONCE = 1000
#: How often a put that another one preceded is repeated.
REPLACEMENTS = 4
#: Metadata of a thumbnail: the tag of the image that it was made from.
_IMAGE = "image"
_TYPES = {"png": "image/png", "webp": "image/webp", "json": "application/json"}
_OTHER = "application/octet-stream"


class Bucket:
    """Objects below a prefix; see `storage.files.places.Place`. Threads may share it.

    Every method may raise `ImageStoreError`, which says what the store answered.
    """

    def __init__(self, address: BucketAddress, store: "ObjectStore") -> None:
        """Ask nothing yet.

        Args:
            address: Of the bucket.
            store: Has the prefix as its root.
        """
        self.address = address
        self._store = store
        folder = hashlib.sha256(str(address).encode()).hexdigest()[:16]
        most = address.cache_bytes
        self._cache = Cache(address.cache, folder, most_bytes=most)

    @property
    def readers(self) -> int:
        """How many objects are best read at once."""
        return THREADS

    def local(self, path: str, *, seen: Stamp | None = None) -> Path:
        """Return a copy in the cache, fetched if need be."""
        stamp = seen or self.look_at(path)
        if stamp is None:
            raise self._absent(path)
        return self._fetch(path, stamp)[0]

    def open(self, path: str, *, seen: Stamp) -> tuple[IO[bytes], Stamp]:
        """Open a copy in the cache, fetched if need be; return its stamp, too."""
        file, stamp = self._fetch(path, seen)
        return file.open("rb"), stamp

    def look_at(self, path: str) -> Stamp | None:
        """Return the stamp of an object; None where there is none."""
        stamp = self._head(path)
        if stamp is None:
            self.require()
        return stamp

    def look_at_each(self, paths: Iterable[str]) -> Iterator[Stamp | None]:
        """Return the stamps of many, in their order, when all were looked at."""
        with ThreadPoolExecutor(THREADS, "look") as pool:
            stamps = [*pool.map(self._head, paths)]
        if None in stamps:
            self.require()
        return iter(stamps)

    def read(self, path: str) -> tuple[bytes, Stamp]:
        """Return a whole object, and its stamp."""
        try:
            content, stamp, _ = self._get(path)
        except FileNotFoundError:
            self.require()
            raise self._absent(path) from None
        return content, stamp

    def save(
        self,
        path: str,
        content: bytes,
        thumbnail: bytes | None = None,
        *,
        is_mine: Callable[[], bool] = always,
    ) -> bool:
        """Write an object, then its thumbnail if that is possible."""
        tag = self._replace(path, content, is_mine)
        if tag and thumbnail:
            self._put_thumbnail(path, thumbnail, tag=tag)
        return tag is not None

    def create(self, path: str, content: bytes) -> str | None:
        """Write an object; return the tag of its version, None if there was one.

        None, too, if the answer was lost: the second attempt finds the object.
        """
        with suppress(AlreadyExistsError):
            return self._put(path, content, mode="create")
        return None

    def save_thumbnail(self, image: str, content: bytes, *, of: Stamp) -> Path | None:
        """Write a thumbnail; return its copy in the cache."""
        self._put_thumbnail(image, content, tag=tag_in(of))
        path = _thumbnail_beside(image)
        return self._cache.keep(path, tag_in(of), content, written_ns=of.written_ns)

    def find_thumbnail(self, image: str, *, of: Stamp) -> Path | None:
        """Return a copy of the thumbnail of just this image, or None."""
        path, tag = _thumbnail_beside(image), tag_in(of)
        if found := self._cache.find(path, tag):
            return found
        try:
            content, _, metadata = self._get(path)
        except FileNotFoundError:
            return None
        if metadata.get(_IMAGE) != tag:
            return None
        return self._cache.keep(path, tag, content, written_ns=of.written_ns)

    def is_whole_thumbnail(self, path: str) -> bool:
        """Return True: no object is ever cut short."""
        del path
        return True

    def touch(self, path: str) -> bool:
        """Write an object again as it is; return whether it is there."""
        try:
            content, _ = self.read(path)
        except FileNotFoundError:
            return False
        self._put(path, content)
        return True

    def names(self, folder: str) -> Sequence[str]:
        """Return the names of what is in a folder; empty for the place itself."""
        with self._asking():
            found = obstore.list_with_delimiter(self._store, folder or None)
        paths = [*found["common_prefixes"], *(one["path"] for one in found["objects"])]
        return [path.rpartition("/")[2] for path in paths]

    def list_shard(self, folder: str) -> Sequence[str]:
        """Return the paths of all objects two folders down."""
        shape = re.compile(rf"{re.escape(folder)}/[^/]{{{len(folder)}}}/[^/]+")
        with self._asking():
            pages = obstore.list(self._store, folder, chunk_size=1000)
            paths = [one["path"] for page in pages for one in page]
        return [path for path in paths if shape.fullmatch(path)]

    def move(self, path: str, to: str) -> None:
        """Give an object another path: a copy, then the end of the first."""
        try:
            with self._asking():
                obstore.rename(self._store, path, to)
        except FileNotFoundError:
            self.require()
            raise self._absent(path) from None

    def remove(self, paths: Sequence[str]) -> None:
        """Remove objects, as far as they are there."""
        for start in range(0, len(paths), REMOVED_AT_ONCE):
            some = paths[start : start + REMOVED_AT_ONCE]
            try:
                with self._asking():
                    obstore.delete(self._store, some)
            except FileNotFoundError:  # some stores say so, and perhaps stop there
                self.require()
                self._remove_each(some)

    def require(self) -> None:
        """Ask whether the bucket itself is there.

        The answer about an absent object does not say so.

        Raises:
            ImageStoreError: It is not, or cannot be reached.
        """
        self.names("")

    def _remove_each(self, paths: Sequence[str]) -> None:
        for path in paths:
            with suppress(FileNotFoundError), self._asking():
                obstore.delete(self._store, path)

    def _fetch(self, path: str, seen: Stamp) -> tuple[Path, Stamp]:
        """Return a copy of this version, or of a later one if the cache has none."""
        size_bytes = seen.size_bytes
        if found := self._cache.find(path, tag_in(seen), size_bytes=size_bytes):
            return found, seen
        content, stamp = self.read(path)
        tag = tag_in(stamp)
        copy = self._cache.keep(path, tag, content, written_ns=stamp.written_ns)
        return copy, stamp

    def _head(self, path: str) -> Stamp | None:
        with suppress(FileNotFoundError), self._asking():
            return stamp_of(obstore.head(self._store, path))
        return None

    def _get(self, path: str) -> tuple[bytes, Stamp, Mapping[str, str]]:
        with self._asking():
            found = obstore.get(self._store, path)
            return bytes(found.bytes()), stamp_of(found.meta), found.attributes

    def _replace(
        self, path: str, content: bytes, is_mine: Callable[[], bool]
    ) -> str | None:
        """Write an object where none is, or instead of one that was looked at.

        A put may arrive late, when another worker has the job and has put its image.
        The store then refuses it, and `is_mine` says the rest.

        Returns:
            The tag of its version; None if `is_mine` says no.
        """
        mode: PutMode = "create"
        for _ in range(REPLACEMENTS):
            with suppress(AlreadyExistsError, PreconditionError):
                return self._put(path, content, mode=mode)
            mode = self._seen(path)
            # After the look: whoever has the job later is not replaced.
            if not is_mine():
                return None
        msg = (
            f"An image must be written by one worker at a time, but {self.address}/"
            f"{path} was replaced {REPLACEMENTS} times meanwhile; the work goes on by "
            "itself."
        )
        raise ImageStoreError(msg)

    def _seen(self, path: str) -> "PutMode":
        """Return the condition that an object is as it is now, there or not."""
        with suppress(FileNotFoundError), self._asking():
            return condition_of(obstore.head(self._store, path))
        return "create"

    def _put(self, path: str, content: bytes, **options: Any) -> str:
        """Write an object; return the tag of its version."""
        attributes = {"Content-Type": _TYPES.get(path.rpartition(".")[2], _OTHER)}
        attributes |= options.pop("metadata", {})
        try:
            with self._asking():
                put = obstore.put(
                    self._store,
                    path,
                    content,
                    attributes=attributes,
                    use_multipart=False,
                    **options,
                )
        except FileNotFoundError as exc:
            raise error_of(exc, self.address) from None
        return tag_of(put["e_tag"] or "")

    def _put_thumbnail(self, image: str, content: bytes, *, tag: str) -> None:
        try:
            self._put(_thumbnail_beside(image), content, metadata={_IMAGE: tag})
        except ImageStoreError as exc:
            log.warning(
                "Thumbnails cannot be written: %s They are made again when somebody "
                "looks at them.",
                exc,
                extra={"action": "thumbnail_failed"},
            )

    def _absent(self, path: str) -> FileNotFoundError:
        return FileNotFoundError(2, "No such object", f"{self.address}/{path}")

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Translate the errors of the store, except those that callers expect."""
        try:
            yield
        except (AlreadyExistsError, PreconditionError):
            raise
        except BaseError as exc:
            # Not `from exc`: a traceback would show what the store answered.
            raise error_of(exc, self.address) from None


@lru_cache(8)
def open_bucket(address: BucketAddress) -> Bucket:
    """Open a bucket; nothing is asked yet.

    Raises:
        UsageError: Settings in the environment that a store needs are missing.
    """
    return Bucket(address, open_store(address))


def _thumbnail_beside(image: str) -> str:
    return f"{image.rpartition('.')[0]}.webp"
