"""The result writer and a bucket: puts overlap, and an outage costs no image."""

import threading
import time
from dataclasses import replace

import pytest
from PIL import Image

from storage.files.folders import take_folder
from storage.files.images import ImageFolder, relative_path
from storage.files.verification import check_images
from storage.host.environment import Environment
from storage.jobs.claims import Claim
from storage.settings import Settings
from storage.sql.database import Database
from tests import buckets
from tests.builders import make_job, plan_seeds, states, submit, take
from tests.contexts import OWNER, make_context
from tests.processes import wait_until
from workers.execution import context as context_module
from workers.execution.context import Context
from workers.execution.result_writer import ResultWriter
from workers.painting import Painting, StoppedError
from workers.vitals.recent import Recent

pytestmark = pytest.mark.databases("sqlite")

SMALL = {"width": 8, "height": 8}
GROUP = make_job(**SMALL).group


def hold(
    database: Database, settings: Settings, count: int
) -> tuple[Context, list[Claim]]:
    """Claim some jobs, as a worker with sixteen puts does."""
    submit(database, plan_seeds(*range(count), **SMALL))
    folder = take_folder(database, settings.images)
    images = ImageFolder(settings.images, id=folder.id)
    context = make_context(database, settings, images=images, puts=16)
    claims = take(database, OWNER, group=GROUP, limit=count)
    context.heartbeat.hold(*(claim.id for claim in claims))
    return context, claims


def painting(claim: Claim) -> Painting:
    return Painting(
        image=Image.new("RGB", (8, 8), "red"),
        environment=Environment(gpu="none", host="test"),
        evaluations=claim.job.steps,
    )


def keep_all(context: Context, claims: list[Claim]) -> None:
    with ResultWriter(context, Recent()) as writer:
        for claim in claims:
            writer.keep(claim, lambda claim=claim: painting(claim))


def check_all(database: Database, settings: Settings, *, made: int) -> None:
    pages = [*check_images(database, settings.images, by_digest=True)]
    assert sum(page.images for page in pages) == made
    assert [finding for page in pages for finding in page.findings] == []


def test_puts_overlap_while_pictures_are_encoded_one_by_one(
    bucket: buckets.Bucket, settings: Settings, database: Database
) -> None:
    context, claims = hold(database, settings, 40)
    bucket.server.latency_s = 0.2
    encoding, most, lock = 0, 0, threading.Lock()

    def fetch(claim: Claim) -> Painting:
        nonlocal encoding, most
        with lock:
            encoding += 1
            most = max(most, encoding)
        time.sleep(0.001)
        with lock:
            encoding -= 1
        return painting(claim)

    with ResultWriter(context, Recent()) as writer:
        for claim in claims:
            writer.keep(claim, lambda claim=claim: fetch(claim))
    assert set(states(database).values()) == {"done"}
    assert bucket.server.most_at_once > 2  # one thread encodes
    assert most == 1
    check_all(database, settings, made=40)


def test_a_bucket_that_is_away_for_a_while_costs_no_image(
    bucket: buckets.Bucket,
    settings: Settings,
    database: Database,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(context_module, "OUTAGE_PAUSE_S", 0.01)
    context, claims = hold(database, settings, 20)
    bucket.server.inject(buckets.GONE)
    work = threading.Thread(target=keep_all, args=(context, claims))
    work.start()
    wait_until(lambda: bucket.server.happened() > 40)
    assert set(states(database).values()) == {"leased"}
    bucket.server.mend()
    work.join()
    assert set(states(database).values()) == {"done"}
    check_all(database, settings, made=20)
    waits = [said for said in caplog.messages if said.startswith("Waiting")]
    assert len(waits) == 1
    assert "The bucket of the images must be there" in waits[0]


def test_a_worker_that_is_to_stop_hands_back_what_a_bucket_does_not_take(
    bucket: buckets.Bucket,
    settings: Settings,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(context_module, "OUTAGE_PAUSE_S", 0.01)
    context, claims = hold(database, settings, 4)
    bucket.server.inject(buckets.DENIED)
    is_over = threading.Event()
    context = replace(context, should_stop=is_over.is_set)

    def stop() -> None:
        wait_until(lambda: bucket.server.happened() > 8)
        is_over.set()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(StoppedError):
        keep_all(context, claims)
    stopper.join()
    assert set(states(database).values()) == {"pending"}
    assert bucket.names(".png") == []


def test_a_put_that_comes_late_does_not_replace_the_image_of_the_next_worker(
    bucket: buckets.Bucket,
    settings: Settings,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context, (claim,) = hold(database, settings, 1)
    path, serve = relative_path(claim.job.key), bucket.server.app

    def delay(request: buckets.Request, start: buckets.Start) -> buckets.Answer:
        """Have a put arrive when the job is another worker's, who has made it."""
        if request["REQUEST_METHOD"] == "PUT" and not bucket.names(".png"):
            bucket.write(path, b"theirs")
            context.heartbeat.let_go(claim.id)
        return serve(request, start)

    monkeypatch.setattr(bucket.server, "app", delay)
    keep_all(context, [claim])
    assert bucket.read(path) == b"theirs"
    assert set(states(database).values()) == {"leased"}
