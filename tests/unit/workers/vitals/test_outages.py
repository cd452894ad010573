"""Outages: one log line when one begins, and one when it ends."""

import pytest

from storage.errors import DatabaseError, ImageStoreError
from workers.vitals import outages


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO")
    return caplog


def actions(said: pytest.LogCaptureFixture) -> list[str]:
    return [record.action for record in said.records]  # type: ignore[attr-defined]


def test_an_outage_that_many_meet_is_told_once(
    said: pytest.LogCaptureFixture,
) -> None:
    for who in ("one", "other"):
        outages.begin(who, DatabaseError("it is away"))
        outages.begin(who, DatabaseError("it is still away"))
    assert said.messages == ["Waiting: it is away"]
    outages.end("one")
    assert len(said.messages) == 1
    outages.end("other")
    outages.end("other")
    assert actions(said) == ["outage_began", "outage_ended"]


def test_outages_of_different_kinds_are_told_apart(
    said: pytest.LogCaptureFixture,
) -> None:
    with outages.waiting(DatabaseError("no database")):
        with outages.waiting(ImageStoreError("no disk")):
            assert said.messages == ["Waiting: no database", "Waiting: no disk"]
        assert actions(said)[2:] == ["outage_ended"]
    assert actions(said)[3:] == ["outage_ended"]


def test_an_outage_that_somebody_gave_up_on_has_not_ended(
    said: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(KeyboardInterrupt), outages.waiting(DatabaseError("away")):
        raise KeyboardInterrupt
    assert actions(said) == ["outage_began"]
