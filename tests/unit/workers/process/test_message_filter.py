"""Envelopes: what of a message reaches Celery, and what is none."""

import base64
import json
from typing import Any

import pytest

from storage.broker.queue import MAKE, SCORE
from workers.process.message_filter import MalformedError, rewritten

KEYS = ["0" * 32, "1" * 32]


def encoded(body: object) -> str:
    return base64.b64encode(json.dumps(body).encode()).decode()


def make_raw(**changes: Any) -> dict[str, Any]:
    """Make a message as Celery sends it, with much that nobody needs."""
    return {
        "headers": {"task": MAKE, "id": "x\ny", "eta": "2999-01-01", "timelimit": "x"},
        "content-type": "application/json",
        "content-encoding": "binary",
        "properties": {
            "priority": 3,
            "body_encoding": "base64",
            "delivery_tag": ["x"],
            "delivery_info": {"exchange": "evil", "routing_key": "evil"},
            "reply_to": "evil",
        },
        "body": encoded([[KEYS], {"more": 1}, {"callbacks": [{"task": "evil"}]}]),
        **changes,
    }


def test_only_the_argument_and_the_priority_of_a_message_are_kept() -> None:
    made = rewritten(make_raw())
    assert json.loads(base64.b64decode(made["body"])) == [[KEYS], {}, {}]
    assert set(made["headers"]) == {"task", "id"}
    assert set(made["properties"]) == {
        "priority",
        "body_encoding",
        "delivery_tag",
        "delivery_info",
    }
    assert made["properties"]["priority"] == 3
    assert made["properties"]["delivery_info"] == {
        "exchange": "",
        "routing_key": "images",
    }
    assert "evil" not in json.dumps(made)
    assert "x\\ny" not in json.dumps(made)


def test_a_message_about_scores_is_kept_too() -> None:
    raw = make_raw(headers={"task": SCORE}, body=encoded([["0" * 32], {}, {}]))
    made = rewritten(raw)
    assert made["headers"]["task"] == SCORE
    assert json.loads(base64.b64decode(made["body"])) == [["0" * 32], {}, {}]


def test_no_two_messages_share_a_tag() -> None:
    one, two = rewritten(make_raw()), rewritten(make_raw())
    assert one["properties"]["delivery_tag"] != two["properties"]["delivery_tag"]
    assert one["headers"]["id"] != two["headers"]["id"]


def test_a_message_that_was_rewritten_can_be_so_again() -> None:
    once = rewritten(make_raw())
    assert rewritten(once)["body"] == once["body"]


@pytest.mark.parametrize(("said", "kept"), [(-1, 0), (0, 0), (9, 9), (10**9, 9)])
def test_a_priority_stays_between_its_bounds(said: int, kept: int) -> None:
    raw = make_raw(properties={"priority": said, "body_encoding": "base64"})
    assert rewritten(raw)["properties"]["priority"] == kept


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        "x",
        {},
        make_raw(headers=None),
        make_raw(headers={"task": "celery.chord_unlock"}),
        make_raw(headers={"task": ["x"]}),
        make_raw(properties=[]),
        make_raw(properties={"priority": 3, "body_encoding": "rot13"}),
        make_raw(properties={"priority": "x", "body_encoding": "base64"}),
        make_raw(body=None),
        make_raw(body=[KEYS]),
        make_raw(body=encoded({})),
        make_raw(body=encoded([])),
        make_raw(body=encoded([[]])),
        make_raw(body=encoded([[KEYS, KEYS], {}, {}])),
        make_raw(**{"content-type": "application/x-python-serialize"}),
    ],
)
def test_what_is_not_for_the_one_task_is_no_message(raw: object) -> None:
    with pytest.raises(MalformedError, match="a message must"):
        rewritten(raw)


@pytest.mark.parametrize("body", ["%%%", "eA", base64.b64encode(b"\xff{").decode()])
def test_a_body_that_cannot_be_read_is_no_message(body: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        rewritten(make_raw(body=body))
