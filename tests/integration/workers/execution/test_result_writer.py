"""The finisher where a worker is cut off, or memory is short: real SQL and files."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image
from sqlalchemy.engine import Connection

from storage.errors import DatabaseError, DeviceError, ImageStoreError
from storage.files.images import ImageFolder
from storage.files.verification import check_images
from storage.host.environment import Environment
from storage.jobs import claims
from storage.jobs.claims import Claim
from storage.queries.answers import find_one
from storage.settings import Settings
from storage.sql.database import Database, open_database
from storage.sql.schema import results
from tests.builders import (
    SHAPES,
    job_rows,
    make_job,
    plan_seeds,
    states,
    submit,
    take,
)
from tests.contexts import OWNER, make_context
from tests.processes import wait_until
from workers.execution import context as context_module
from workers.execution import result_writer as writer_module
from workers.execution.context import Context
from workers.execution.heartbeat import Heartbeat
from workers.execution.result_writer import ResultWriter
from workers.painting import Painting, StoppedError
from workers.vitals import clocks, phases
from workers.vitals.recent import Recent

pytestmark = pytest.mark.databases("sqlite", "postgresql")

SMALL = {"width": 8, "height": 8}
GROUP = make_job(**SMALL).group
OTHER = "host:8:8"


class Line(Database):
    """The database as one worker reaches it: others still do where that is cut.

    Attributes:
        is_cut: Whether it cannot be reached.
        refused: How often it was not.
    """

    is_cut = False
    refused = 0

    def read(self) -> AbstractContextManager[Connection]:
        """See `Database`."""
        self._check()
        return super().read()

    def write(self) -> AbstractContextManager[Connection]:
        """See `Database`."""
        self._check()
        return super().write()

    def _check(self) -> None:
        if self.is_cut:
            self.refused += 1
            msg = "the line is cut"
            raise DatabaseError(msg)


@pytest.fixture
def line(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setattr(context_module, "OUTAGE_PAUSE_S", 0.01)
    with closing(open_database(database.engine.url.render_as_string(False))) as opened:
        yield Line(opened.engine)


@pytest.fixture
def make(database: Database, settings: Settings) -> Callable[..., Context]:
    """Give what makes the kit of a worker by its owner's name."""

    def make_worker(
        owner: str, *, reached: Database = database, lease_s: float = 90, **changes: Any
    ) -> Context:
        heartbeat = Heartbeat(reached, owner=owner, lease_s=lease_s)
        return make_context(
            reached, settings, owner=owner, heartbeat=heartbeat, **changes
        )

    return make_worker


def hold(database: Database, context: Context, *, lease_s: float = 90) -> Claim:
    """Claim the one job there is, as the feed does."""
    (claim,) = take(database, context.owner, group=GROUP, lease_s=lease_s)
    context.heartbeat.hold(claim.id)
    return claim


def picture(claim: Claim, colour: str) -> Painting:
    return Painting(
        image=Image.new("RGB", (claim.job.width, claim.job.height), colour),
        environment=Environment(gpu="none", host="test"),
        evaluations=claim.job.steps,
    )


def finish(context: Context, claim: Claim, colour: str) -> None:
    with ResultWriter(context, Recent()) as writer:
        writer.keep(claim, partial(picture, claim, colour))


@contextmanager
def finishing(context: Context, claim: Claim, colour: str) -> Iterator[None]:
    """Finish a job meanwhile; at the end of the block, wait until that is done."""
    work = threading.Thread(target=finish, args=(context, claim, colour))
    work.start()
    yield
    work.join()


def free(database: Database) -> None:
    assert claims.free_expired(database) == 1


def check_pixel(database: Database, settings: Settings, colour: str) -> None:
    """Check that the one image is done, of that colour, and as its row says."""
    (row,) = job_rows(database)
    assert row.state == "done"
    (page,) = check_images(database, settings.images, by_digest=True)
    assert (page.images, page.findings) == (1, [])
    with Image.open(ImageFolder(settings.images).path(row.key)) as image:
        wanted = Image.new("RGB", (1, 1), colour).getpixel((0, 0))
        assert image.getpixel((0, 0)) == wanted


def test_an_image_says_where_its_model_was_loaded_from(
    make: Callable[..., Context], database: Database, settings: Settings
) -> None:
    one, two = (replace(SHAPES, name=f"/models/{name}") for name in ("one", "two"))
    submit(database, plan_seeds(0, model=one, **SMALL))
    submit(database, plan_seeds(0, model=two, **SMALL), name="other")
    context = make(OWNER)
    claim = hold(database, context)
    assert claim.job.model == one
    with ResultWriter(context, Recent()) as writer:
        painting = replace(picture(claim, "red"), place=two)
        writer.keep(claim, lambda: painting)
    row = find_one(database, claim.job.key)
    assert (row["state"], row["model"]) == ("done", "/models/two")
    with Image.open(settings.images / row["path"]) as image:
        record = json.loads(image.text["nightsweep"])  # type: ignore[attr-defined]
        assert record["model_name"] == "two"
        assert record["key"] == claim.job.key


def test_a_worker_that_stood_still_leaves_the_file_of_another_alone(
    make: Callable[..., Context], database: Database, settings: Settings
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    frozen, other = make(OWNER, lease_s=0), make(OTHER)
    late = hold(database, frozen, lease_s=-1)
    free(database)
    finish(other, hold(database, other), "red")
    finish(frozen, late, "blue")
    check_pixel(database, settings, "red")


def test_a_worker_that_is_cut_off_waits_before_it_writes_a_file(
    make: Callable[..., Context],
    database: Database,
    settings: Settings,
    line: Line,
    caplog: pytest.LogCaptureFixture,
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    lonely, other = make(OWNER, reached=line, lease_s=0), make(OTHER)
    late = hold(database, lonely, lease_s=-1)
    line.is_cut = True
    with finishing(lonely, late, "blue"):
        wait_until(lambda: line.refused > 2)
        assert not list(settings.images.rglob("*.png"))
        free(database)
        finish(other, hold(database, other), "red")
        line.is_cut = False
    check_pixel(database, settings, "red")
    said = [message for message in caplog.messages if message.startswith("Waiting")]
    assert said == ["Waiting: the line is cut"]


def test_a_job_that_nobody_else_was_given_is_stored_after_an_outage(
    make: Callable[..., Context], database: Database, settings: Settings, line: Line
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    lonely = make(OWNER, reached=line, lease_s=0)
    claim = hold(database, lonely, lease_s=-1)
    line.is_cut = True
    with finishing(lonely, claim, "blue"):
        wait_until(lambda: line.refused > 2)
        line.is_cut = False
    check_pixel(database, settings, "blue")


def test_a_row_that_comes_late_leaves_the_job_to_who_holds_it(
    make: Callable[..., Context], database: Database, settings: Settings, line: Line
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    lonely, other = make(OWNER, reached=line), make(OTHER)
    claim = hold(database, lonely, lease_s=-1)
    line.is_cut = True
    with finishing(lonely, claim, "blue"):
        wait_until(lambda: list(settings.images.rglob("*.png")))
        free(database)
        theirs = hold(database, other)
        line.is_cut = False
    assert [row.owner for row in job_rows(database)] == [OTHER]
    finish(other, theirs, "red")
    check_pixel(database, settings, "red")


def test_an_image_counts_though_its_lease_ended_where_nobody_else_has_it(
    make: Callable[..., Context], database: Database, settings: Settings
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    late = make(OWNER)
    claim = hold(database, late, lease_s=-1)
    free(database)
    finish(late, claim, "blue")
    check_pixel(database, settings, "blue")


def test_a_stop_ends_the_wait_of_a_worker_that_is_cut_off(
    make: Callable[..., Context], database: Database, settings: Settings, line: Line
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    lonely = make(OWNER, reached=line, lease_s=0, should_stop=lambda: line.refused > 2)
    claim = hold(database, lonely, lease_s=-1)
    line.is_cut = True
    with pytest.raises(StoppedError):
        finish(lonely, claim, "blue")
    assert not list(settings.images.rglob("*.png"))
    free(database)
    assert states(database) == {0: "pending"}


@pytest.mark.parametrize("clock", [0, 1])
def test_sql_is_asked_only_where_a_lease_may_have_ended(
    make: Callable[..., Context],
    database: Database,
    line: Line,
    monkeypatch: pytest.MonkeyPatch,
    clock: int,
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    heartbeat = make(OWNER, reached=line).heartbeat
    (claim,) = take(database, OWNER, group=GROUP)
    now = [1000.0, 2000.0]
    monkeypatch.setattr(clocks, "now", lambda: tuple(now))
    heartbeat.hold(claim.id)
    now[clock] += 44
    line.is_cut = True
    assert heartbeat.is_sure_of(claim.id)
    now[clock] += 2
    with pytest.raises(DatabaseError):
        heartbeat.is_sure_of(claim.id)
    line.is_cut = False
    assert heartbeat.is_sure_of(claim.id)
    now[clock] += 44
    line.is_cut = True
    assert heartbeat.is_sure_of(claim.id)


def test_one_answer_is_enough_for_all_threads(
    make: Callable[..., Context], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(database, plan_seeds(0, 1, **SMALL))
    heartbeat = make(OWNER).heartbeat
    ids = [claim.id for claim in take(database, OWNER, group=GROUP)]
    now, asked, sure = [0.0, 0.0], [], []
    monkeypatch.setattr(clocks, "now", lambda: tuple(now))
    heartbeat.hold(*ids)
    now[:] = 60.0, 60.0
    renew = claims.renew

    def slowly(*args: Any, **others: Any) -> set[int]:
        asked.append(others["ids"])
        time.sleep(0.1)
        return renew(*args, **others)

    monkeypatch.setattr(heartbeat, "_renew", slowly)

    def ask(job_id: int) -> None:
        sure.append(heartbeat.is_sure_of(job_id))

    threads = [threading.Thread(target=ask, args=(job_id,)) for job_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sure == [True, True]
    assert len(asked) == 1


def test_a_job_that_was_claimed_anew_meanwhile_is_not_lost(
    make: Callable[..., Context], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    heartbeat = make(OWNER).heartbeat
    heartbeat.hold(1)
    renew = claims.renew

    def claim_anew(*args: Any, **others: Any) -> set[int]:
        kept = renew(*args, **others)
        take(database, OWNER, group=GROUP)
        heartbeat.hold(1)
        return kept

    monkeypatch.setattr(heartbeat, "_renew", claim_anew)
    heartbeat._keep_leases()
    assert heartbeat.is_sure_of(1)
    assert not heartbeat.has_lost(1)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> list[int]:
    """Give how often memory is still too short for a part of the work."""
    monkeypatch.setattr(context_module, "OUTAGE_PAUSE_S", 0.01)
    left = [2]
    name, error = request.param
    real = getattr(Image.Image, name)

    def try_it(*args: Any, **others: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise error
        return real(*args, **others)

    monkeypatch.setattr(Image.Image, name, try_it)
    return left


MEMORY_IS_SHORT = pytest.mark.parametrize(
    "short",
    [
        ("save", MemoryError()),
        ("save", OSError("codec configuration error when writing image file")),
        ("convert", MemoryError()),
    ],
    indirect=True,
)


@pytest.mark.databases("sqlite")
@MEMORY_IS_SHORT
def test_too_little_memory_for_a_file_is_waited_out(
    make: Callable[..., Context],
    database: Database,
    settings: Settings,
    short: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    submit(database, plan_seeds(0, **SMALL))
    context = make(OWNER)
    finish(context, hold(database, context), "blue")
    assert short == [0]
    check_pixel(database, settings, "blue")
    actions = [getattr(record, "action", "") for record in caplog.records]
    assert actions == ["outage_began", "outage_ended", "job_stored"]
    assert "Memory must suffice to make a PNG file of an image" in caplog.text


@pytest.mark.databases("sqlite")
@MEMORY_IS_SHORT
def test_memory_that_stays_too_short_ends_the_worker_and_fails_no_job(
    make: Callable[..., Context],
    database: Database,
    short: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer_module, "SHORTAGE_S", 0.0)
    short[0] = 99
    submit(database, plan_seeds(0, **SMALL))
    context = make(OWNER)
    with pytest.raises(DeviceError, match="Memory must suffice"):
        finish(context, hold(database, context), "blue")
    assert [(row.state, row.attempts) for row in job_rows(database)] == [("pending", 0)]


@pytest.mark.databases("sqlite")
@MEMORY_IS_SHORT
def test_memory_is_not_waited_for_where_the_work_ends(
    make: Callable[..., Context], database: Database, short: list[int]
) -> None:
    short[0] = 99
    submit(database, plan_seeds(0, 1, **SMALL))
    context = make(OWNER)
    one, other = take(database, OWNER, group=GROUP)
    context.heartbeat.hold(one.id, other.id)
    may_fail = threading.Event()

    def fetch() -> Painting:
        may_fail.wait()
        raise MemoryError

    def work() -> None:
        with ResultWriter(context, Recent()) as writer:
            writer.keep(one, fetch)
            writer.keep(other, partial(picture, other, "blue"))
            may_fail.set()

    with pytest.raises(DeviceError, match="MemoryError"):
        work()
    assert short == [98]
    assert states(database) == {0: "pending", 1: "pending"}


@pytest.mark.databases("sqlite")
def test_too_little_memory_for_an_image_ends_the_worker_and_fails_no_job(
    make: Callable[..., Context], database: Database
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    context = make(OWNER)
    claim = hold(database, context)

    def fetch() -> Painting:
        raise MemoryError

    def work() -> None:
        with ResultWriter(context, Recent()) as writer:
            writer.keep(claim, fetch)

    with pytest.raises(DeviceError, match="MemoryError"):
        work()
    assert [(row.state, row.attempts) for row in job_rows(database)] == [("pending", 0)]
    with database.read() as connection:
        assert connection.execute(sa.select(results)).all() == []


@pytest.mark.databases("sqlite")
def test_what_is_left_of_painting_is_no_storing(
    make: Callable[..., Context], database: Database
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    context, seen = make(OWNER), []
    claim = hold(database, context)

    def fetch() -> Painting:
        seen.extend(one.phase for one in phases.under_way())
        return picture(claim, "blue")

    with ResultWriter(context, Recent()) as writer:
        writer.keep(claim, fetch)
    assert phases.PAINTING in seen
    assert phases.STORING not in seen


@pytest.mark.databases("sqlite")
def test_waiting_for_the_disk_is_no_time_of_the_image(
    make: Callable[..., Context],
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ahead_s = [0.0]
    save, now = ImageFolder.save, time.perf_counter

    def save_late(*words: Any, **more: Any) -> bool:
        if not ahead_s[0]:
            ahead_s[0] = 100.0
            msg = "no space left on device"
            raise ImageStoreError(msg)
        return save(*words, **more)

    monkeypatch.setattr(context_module, "OUTAGE_PAUSE_S", 0.01)
    monkeypatch.setattr(ImageFolder, "save", save_late)
    monkeypatch.setattr(time, "perf_counter", lambda: now() + ahead_s[0])
    submit(database, plan_seeds(0, **SMALL))
    context = make(OWNER)
    finish(context, hold(database, context), "blue")
    check_pixel(database, settings, "blue")
    with database.read() as connection:
        (saving_s,) = connection.execute(sa.select(results.c.save_s)).scalars()
    assert 0 < saving_s < ahead_s[0]
