"""Live updates: what a page that listens is told."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from producer.commands.view_actions import CommandActions
from storage.job import PlannedJob
from storage.jobs.claims import hand_back
from storage.jobs.lifecycle import set_state
from storage.jobs.sweeps import require_sweeps, retry
from storage.settings import Settings
from storage.sql.database import open_database
from storage.sql.schema import JOB_STATES
from tests.builders import take_these
from tests.galleries import Visitor, served
from tests.unit.filled_store import filled, finish, make_settings, plan, submit

Store = tuple[Settings, list[PlannedJob]]
Events = Iterator[tuple[str, Any]]


class Page:
    """A page that listens, and knows what it was told."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self.sweep: dict[str, Any] = {}
        self.images: dict[str, str] = {}
        self.trouble = ""

    def wait(self, images: dict[str, str] | None = None, **sweep: Any) -> None:
        """Listen until the first sweep has these values, and these images changed."""
        while not (
            all(self.sweep.get(field) == value for field, value in sweep.items())
            and (images is None or self.images == images)
        ):
            self.hear()

    def hear(self) -> None:
        name, data = next(self.events)
        if name == "state":
            self.sweep = data["sweeps"][0] if data["sweeps"] else {"name": None}
        elif name == "images":
            states = [JOB_STATES[state] for state in data["states"]]
            self.images |= dict(zip(data["keys"], states, strict=True))
        else:
            self.trouble = data["error"]


def test_the_present_state_comes_first(visitor: Visitor) -> None:
    with visitor.listening("/api/events") as events:
        name, data = next(events)
    assert name == "state"
    assert data == visitor.get("/api/sweeps").json


def test_an_image_that_is_made_is_told_at_once(visitor: Visitor, store: Store) -> None:
    settings, planned = store
    with visitor.listening("/api/events?q=shapes") as events:
        page = Page(events)
        page.wait(done=6, pending=1)
        finish(settings, [planned[7]])
        page.wait({planned[7].job.key: "done"}, done=7, pending=0)


@dataclass(frozen=True)
class SlowActions(CommandActions):
    """Counts the jobs of sweeps only while it is let."""

    let: threading.Event = field(default_factory=threading.Event)
    waits: threading.Event = field(default_factory=threading.Event)

    def standings(self, *args: Any) -> list[dict[str, Any]]:
        if not self.let.is_set():
            self.waits.set()
        self.let.wait()
        return super().standings(*args)


def test_an_image_is_told_while_the_jobs_of_sweeps_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gallery.counting.COUNTING_SHARE", 0)
    settings, planned = filled(tmp_path)
    slow = SlowActions(settings)
    slow.let.set()
    with (
        served(settings, actions=slow) as visitor,
        visitor.listening("/api/events?q=shapes") as events,
    ):
        page = Page(events)
        page.wait(done=6, pending=1)
        slow.let.clear()
        slow.waits.wait()
        finish(settings, [planned[7]])
        page.wait({planned[7].job.key: "done"}, done=7, pending=0)
        slow.let.set()


def test_a_page_that_shows_no_sweeps_costs_no_count_of_their_jobs(
    visitor: Visitor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(CommandActions, "standings")
    settings, planned = store
    with visitor.listening("/api/events?q=shapes&sweeps=0") as events:
        assert next(events) == ("state", {})
        finish(settings, [planned[7]])
        name, data = next(events)
    assert (name, data["keys"]) == ("images", [planned[7].job.key])


def test_counts_stay_right_while_jobs_are_not_counted_anew(
    visitor: Visitor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gallery.counting.COUNTING_SHARE", 10**9)
    settings, planned = store
    database = open_database(settings.database_url)
    with visitor.listening("/api/events") as events:
        page = Page(events)
        page.wait(done=6, failed=1, pending=1)
        retry(database, require_sweeps(database, ["shapes"])[0])
        page.wait(done=6, failed=0, pending=2)
        finish(settings, planned[6:])
        page.wait(done=8, failed=0, pending=0, leased=0)
    database.close()


def test_an_image_in_work_is_told_and_told_again_when_it_is_handed_back(
    visitor: Visitor, store: Store
) -> None:
    settings, planned = store
    key = planned[7].job.key
    database = open_database(settings.database_url)
    with visitor.listening("/api/events?q=shapes") as events:
        page = Page(events)
        page.wait(leased=0)
        (claim,) = take_these(database, [key], "w:1:1")
        page.wait({key: "leased"}, leased=1, pending=0)
        hand_back(database, owner="w:1:1", ids=[claim.id])
        page.wait({key: "pending"}, leased=0, pending=1)
    database.close()


def test_a_retry_is_told_though_the_query_asks_for_what_failed(
    visitor: Visitor, store: Store
) -> None:
    settings, planned = store
    database = open_database(settings.database_url)
    with visitor.listening("/api/events?q=shapes+state:failed") as events:
        page = Page(events)
        page.wait(failed=1)
        retry(database, require_sweeps(database, ["shapes"])[0])
        page.wait({planned[6].job.key: "pending"}, failed=0)
    database.close()


def test_only_images_of_the_query_are_told(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    planned = plan({"seed": (0, 1), "steps": (2, 4)})
    submit(settings, "seeds", planned)
    with (
        served(settings) as visitor,
        visitor.listening("/api/events?q=seed:1") as events,
    ):
        page = Page(events)
        page.wait(pending=4)
        finish(settings, planned)
        page.wait(done=4)
    assert page.images == {one.job.key: "done" for one in planned if one.job.seed == 1}


def test_a_paused_sweep_is_told(visitor: Visitor, store: Store) -> None:
    database = open_database(store[0].database_url)
    with visitor.listening("/api/events") as events:
        page = Page(events)
        page.wait(state="active")
        set_state(database, require_sweeps(database, ["shapes"])[0], "paused")
        page.wait(state="paused")
    database.close()


def test_the_first_sweep_is_told(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    with served(settings) as visitor, visitor.listening("/api/events?q=") as events:
        page = Page(events)
        page.wait(name=None)
        planned = plan({"steps": (2,)})
        submit(settings, "first", planned)
        page.wait(name="first", pending=1)
        finish(settings, planned)
        page.wait({planned[0].job.key: "done"})


def test_a_database_that_is_away_is_trouble_until_it_is_back(tmp_path: Path) -> None:
    settings, _ = filled(tmp_path)
    path = settings.database_path
    assert path is not None
    with served(settings) as visitor, visitor.listening("/api/events") as events:
        page = Page(events)
        page.wait(name="shapes")
        content = path.read_bytes()
        aside = path.with_suffix(".aside")
        path.rename(aside)
        path.write_bytes(b"not a database" * 1000)
        while not page.trouble:
            page.hear()
        assert str(tmp_path) not in page.trouble
        page.sweep = {}
        aside.replace(path)
        page.wait(name="shapes")
    assert path.read_bytes() == content


def test_a_query_that_cannot_be_read_is_refused(visitor: Visitor) -> None:
    answer = visitor.get("/api/events?q=sweep:nothing")
    assert answer.status == 400
    assert "sweep must be one that was submitted" in answer.json["error"]


def test_the_server_ends_though_somebody_listens(store: Store) -> None:
    with ExitStack() as stack:
        with served(store[0]) as visitor:
            events = stack.enter_context(visitor.listening("/api/events"))
            Page(events).wait(name="shapes")
        # `served` waited for the server's end; then the stream is over, too.
        assert list(events) == []
