"""The faults that tests inject into a bucket are those that a client sees."""

from datetime import timedelta
from typing import Any

import obstore
import pytest
from obstore.exceptions import (
    AlreadyExistsError,
    GenericError,
    PermissionDeniedError,
)
from obstore.store import S3Store

from tests.buckets import (
    ANSWER_LOST,
    BROKEN,
    BUSY,
    CUT,
    DENIED,
    GONE,
    KEY_ID,
    REGION,
    SECRET,
    Bucket,
    Fault,
)

PASSING = {"broken": BROKEN, "busy": BUSY, "cut": CUT}


def open_store(bucket: Bucket) -> S3Store:
    at_once = timedelta(milliseconds=1)
    return S3Store(
        bucket.name,
        prefix=bucket.PREFIX,
        endpoint=bucket.endpoint,
        access_key_id=KEY_ID,
        secret_access_key=SECRET,
        region=REGION,
        client_options={"allow_http": True},
        retry_config={
            "max_retries": 2,
            "backoff": {"init_backoff": at_once, "max_backoff": at_once, "base": 2},
            "retry_timeout": timedelta(minutes=1),
        },
    )


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_client_gets_past_a_fault_that_happens_once(
    bucket: Bucket, fault: Fault
) -> None:
    store = open_store(bucket)
    bucket.server.inject(fault, methods=("PUT",), times=1)
    bucket.server.inject(fault, methods=("GET",), times=1)

    obstore.put(store, "a.png", b"pixels", mode="create")

    assert bytes(obstore.get(store, "a.png").bytes()) == b"pixels"
    assert bucket.server.happened() == 2


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_fault_that_stays_ends_a_put_that_leaves_nothing(
    bucket: Bucket, fault: Fault
) -> None:
    store = open_store(bucket)
    bucket.server.inject(fault)

    with pytest.raises(GenericError):
        obstore.put(store, "a.png", b"pixels", mode="create")

    assert bucket.names() == []
    bucket.server.mend()
    obstore.put(store, "a.png", b"pixels", mode="create")
    assert bucket.names() == ["a.png"]


def test_a_put_whose_answer_was_lost_finds_its_own_object(bucket: Bucket) -> None:
    store = open_store(bucket)
    bucket.server.inject(ANSWER_LOST, methods=("PUT",), times=1)

    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "a.png", b"pixels", mode="create")

    assert bucket.read("a.png") == b"pixels"


@pytest.mark.parametrize(
    ("fault", "raised"),
    [(GONE, FileNotFoundError), (DENIED, PermissionDeniedError)],
    ids=["gone", "denied"],
)
def test_what_a_retry_does_not_mend_is_raised_at_once(
    bucket: Bucket, fault: Fault, raised: type[Exception]
) -> None:
    store = open_store(bucket)
    bucket.server.inject(fault)

    def ask(action: Any) -> None:
        with pytest.raises(raised):
            action()

    ask(lambda: obstore.put(store, "a.png", b"pixels"))
    ask(lambda: obstore.get(store, "a.png"))
    assert bucket.server.happened() == 2


def test_every_third_request_can_fail(bucket: Bucket) -> None:
    store = open_store(bucket)
    bucket.server.inject(DENIED, methods=("PUT",), every=3)

    for name in "ab":
        obstore.put(store, name, b"")
    with pytest.raises(PermissionDeniedError):
        obstore.put(store, "c", b"")
    obstore.put(store, "d", b"")

    assert bucket.names() == ["a", "b", "d"]
