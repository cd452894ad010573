"""Where images are: in a folder, or in a bucket of an object store.

An address is plain data. `storage.files.places` opens it.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from storage.errors import UsageError

#: The schemes of buckets, and what each is for.
SCHEMES = {
    "s3": "Amazon S3, or a store with its interface",
    "gs": "Google Cloud Storage",
    "az": "Azure Blob Storage",
}
#: Names that every store takes; Google's may have underscores, too.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketAddress:
    """A bucket, and the prefix that the names of all objects there begin with.

    It never holds credentials. `str` gives the URL.

    Attributes:
        scheme: One of `SCHEMES`.
        bucket: Its name; for `az`, that of the container.
        prefix: Without slashes at its ends; empty for the whole bucket.
        cache: Local folder for copies of objects that were read.
        cache_bytes: About how much it may hold.
    """

    scheme: str
    bucket: str
    prefix: str
    cache: Path
    cache_bytes: int

    def __str__(self) -> str:
        """Return the URL."""
        return f"{self.scheme}://{self.bucket}/{self.prefix}".rstrip("/")


#: Where images are.
ImageAddress = Path | BucketAddress


def is_url(text: str) -> bool:
    """Return whether a text has the form of a URL, and so names no folder.

    So has `s3:/bucket`, which lacks a slash.
    """
    is_bucket = text.partition(":")[0] in SCHEMES and ":" in text
    return is_bucket or re.match(r"[A-Za-z][\w+.-]*://", text) is not None


def read_bucket_address(text: str, *, cache: Path, cache_bytes: int) -> BucketAddress:
    """Read the URL of a bucket: `s3://bucket/prefix`.

    Raises:
        UsageError: It has another scheme, no bucket, or more than bucket and prefix.
    """
    scheme, _, rest = text.partition("://")
    # `urlsplit` understands what comes before an @ and after a ? or #.
    place = urlsplit(f"//{rest}")
    if "@" in place.netloc or place.query or place.fragment:
        msg = (
            "NIGHTSWEEP_IMAGES must name a bucket and a prefix only, but its URL has an"
            " @, ? or #, and is not shown here, since that may be a password; give "
            "credentials as AWS_ACCESS_KEY_ID and the like."
        )
        raise UsageError(msg)
    if scheme not in SCHEMES:
        known = ", ".join(f"{known}://" for known in SCHEMES)
        msg = (
            f"NIGHTSWEEP_IMAGES must be a folder, or a URL that begins with {known}, "
            f"got {text!r}; write s3:// for a store with the interface of S3."
        )
        raise UsageError(msg)
    prefix = place.path.strip("/")
    if not _BUCKET.fullmatch(place.netloc) or not _is_plain(prefix):
        msg = (
            "NIGHTSWEEP_IMAGES must name a bucket in small letters, digits, dots and "
            f"hyphens, and a prefix without empty parts, . or .., got {text!r}; write "
            f"{scheme}://bucket/prefix."
        )
        raise UsageError(msg)
    return BucketAddress(
        scheme=scheme,
        bucket=place.netloc,
        prefix=prefix,
        cache=cache,
        cache_bytes=cache_bytes,
    )


def _is_plain(prefix: str) -> bool:
    parts = prefix.split("/") if prefix else []
    return prefix.isprintable() and not {"", ".", ".."} & {*parts}
