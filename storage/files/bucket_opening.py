"""How a bucket is reached: its store in obstore, time limits, and attempts.

Only `storage.files.bucket` imports this module; both need the package obstore.
"""

import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from storage.errors import UsageError
from storage.image_address import BucketAddress

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

#: For each request, and for all attempts together.
REQUEST_S, RETRY_S = 20.0, 20.0
#: With pauses of 0.2 s and then twice as long each time, up to 4 s.
RETRIES = 6
_STORES = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
#: Where the address of another store than the scheme's own is; it may be plain HTTP.
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_URL = re.compile(r"https?://[\w.:\[\]-]+(/[\w./~-]*)?")


def open_store(address: BucketAddress) -> "ObjectStore":
    """Open a bucket's store with the prefix as its root; nothing is asked yet.

    Raises:
        UsageError: Settings in the environment that a store needs are missing or wrong.
    """
    endpoints = [_read_endpoint(name) for name in _ENDPOINTS]
    client: ClientConfig = {
        "allow_http": any(each.startswith("http://") for each in endpoints),
        "timeout": timedelta(seconds=REQUEST_S),
    }
    retry: RetryConfig = {
        "max_retries": RETRIES,
        "retry_timeout": timedelta(seconds=RETRY_S),
        "backoff": {
            "init_backoff": timedelta(seconds=0.2),
            "max_backoff": timedelta(seconds=4),
            "base": 2,
        },
    }
    try:
        store: ObjectStore = _STORES[address.scheme](
            address.bucket,
            prefix=address.prefix or None,
            client_options=client,
            retry_config=retry,
        )
    except BaseError as exc:
        said = str(exc).partition("\n")[0]
        msg = (
            f"A bucket's settings must be complete, but for {address} obstore says: "
            f"{said}; set them in the environment, as docs/buckets.md says."
        )
        raise UsageError(msg) from None
    return store


def _read_endpoint(name: str) -> str:
    """Return a setting; refuse what obstore panics at, or what has a login."""
    text = os.environ.get(name, "")
    if text and not _URL.fullmatch(text):
        msg = (
            f"{name} must be the URL of a store, without a login, but is not, and is "
            "not shown here, since a part of it may be a password; write "
            "https://store.example.org, and give credentials as AWS_ACCESS_KEY_ID and "
            "the like."
        )
        raise UsageError(msg)
    return text
