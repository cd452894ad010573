"""A bucket that is slow, fails, loses answers, or is gone for a while."""

import signal

import pytest

from tests.buckets import (
    ANSWER_LOST,
    BROKEN,
    BUSY,
    CUT,
    DENIED,
    GONE,
    KEY_ID,
    SECRET,
    WRITES,
    Bucket,
    Fault,
)
from tests.faults.night import Night
from tests.processes import wait_until

#: The bucket is asked for first, since the settings name it.
pytestmark = pytest.mark.usefixtures("bucket")
#: What each attempt gets; only another one later can succeed.
OUTAGES = {"gone": GONE, "denied": DENIED, "broken": BROKEN, "unreachable": CUT}


def verify(night: Night) -> None:
    assert "nothing is wrong" in night.run("verify", "--full"), night.log()


def test_each_image_is_there_once_though_puts_fail(
    bucket: Bucket, night: Night
) -> None:
    night.submit(count=60)
    bucket.server.latency_s = 0.03
    bucket.server.inject(BROKEN, methods=("PUT",), every=5)
    bucket.server.inject(BUSY, methods=("PUT",), every=7)
    bucket.server.inject(CUT, every=11)
    bucket.server.inject(ANSWER_LOST, methods=("PUT",), every=13)
    with night.working(2):
        night.wait_for(60)
    assert bucket.server.happened() >= 20
    bucket.server.mend()

    night.check(done=60)
    verify(night)


@pytest.mark.parametrize("fault", OUTAGES.values(), ids=OUTAGES)
def test_work_waits_for_a_bucket_and_goes_on_by_itself(
    bucket: Bucket, night: Night, fault: Fault
) -> None:
    night.submit(count=20)
    with night.working():
        wait_until(lambda: night.states()["done"] >= 2)
        bucket.server.inject(fault)
        wait_until(lambda: "Waiting: The bucket of the images must" in night.log())
        assert not night.states()["failed"]
        bucket.server.mend()
        night.wait_for(20)

    assert night.log().count("Going on after") == 1
    night.check(done=20)
    verify(night)


def test_a_worker_that_is_killed_amid_puts_loses_no_image(
    bucket: Bucket, night: Night
) -> None:
    night.submit(count=30)
    bucket.server.latency_s = 0.3
    with night.working(2, STAND_IN_WIDTH=4):
        for wanted in (2, 10):
            wait_until(lambda wanted=wanted: bucket.server.requests["PUT"] >= wanted)
            killed = night.kill_a_worker(signal.SIGKILL)
            killed.wait()
            night.end_leases()
        bucket.server.latency_s = 0.0
        night.wait_for(30)

    night.check(done=30)
    verify(night)


def test_puts_run_side_by_side(bucket: Bucket, night: Night) -> None:
    night.submit(count=64)
    bucket.server.latency_s = 0.2
    with night.working(STAND_IN_WIDTH=16):
        night.wait_for(64)

    assert bucket.server.most_at_once >= 8
    bucket.server.latency_s = 0.0
    night.check(done=64)


def test_a_lost_object_is_found_and_made_again(bucket: Bucket, night: Night) -> None:
    night.submit(count=3)
    with night.working():
        night.wait_for(3)
    lost, cut, _ = bucket.names(".png")
    bucket.remove(lost)
    bucket.write(cut, bucket.read(cut)[:-20])

    said = night.run("verify", "--repair")
    assert "1 missing, 1 truncated; 2 repaired" in said
    assert night.states() == {"pending": 2, "done": 1}
    with night.working():
        night.wait_for(3)
    verify(night)


def test_no_secret_is_in_sql_logs_or_errors(bucket: Bucket, night: Night) -> None:
    night.submit(count=4)
    with night.working():
        night.wait_for(1)
        bucket.server.inject(DENIED, methods=WRITES)
        night.submit(count=4, name="more", first=100)
        wait_until(lambda: "Waiting: The bucket of the images must" in night.log())
        bucket.server.mend()
        night.wait_for(8)
    bucket.server.inject(DENIED)
    said = [
        night.run("verify", code=1),
        night.run("grid", "night", code=1),
        night.run("doctor", code=1),
        night.log(),
    ]

    files = [path for path in night.settings.home.rglob("*") if path.is_file()]
    assert night.settings.home / "nightsweep.db" in files
    for secret in (SECRET, KEY_ID):
        assert not [text for text in said if secret in text]
        held = [path for path in files if secret.encode() in path.read_bytes()]
        assert not held
