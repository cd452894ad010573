"""The command `nightsweep quota`, and where owners are shown."""

import json

import pytest
from click.testing import CliRunner, Result

from producer.cli import cli
from producer.running.quota_text import warn_of_quota
from storage.jobs.quotas import find_quota, set_quota
from storage.jobs.results import Timings, record_done
from storage.jobs.sweeps import find_sweep
from storage.queries.answers import Wanted, find
from storage.queries.columns import COLUMNS
from storage.sql.database import Database
from tests.builders import ENVIRONMENT, make_result, plan_seeds, submit, take

HOUR = 3600.0


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def rows(*words: str) -> list[dict[str, object]]:
    said = call(*words, "--json")
    assert said.exit_code == 0, said.output
    return [json.loads(line) for line in said.stdout.splitlines()]


@pytest.fixture
def used(database: Database) -> Database:
    """Let alice, who has one more image to make, have used two hours."""
    submit(database, plan_seeds(1, 2), name="a", owner="alice")
    timings = Timings(encode_s=0.0, denoise_s=2 * HOUR, decode_s=0.0, save_s=0.0)
    made = {each.id: make_result(timings=timings) for each in take(database, limit=1)}
    record_done(database, made, worker="cpu0", environment=ENVIRONMENT)
    submit(database, plan_seeds(50), name="b", owner="bob")
    return database


def test_the_least_quota_is_a_thousandth_of_an_hour(used: Database) -> None:
    call("quota", "bob", "--gpu-hours", "0.001")
    _, bob = rows("quota")
    assert bob["quota_gpu_hours"] == 0.001


def test_what_owners_used_is_shown(used: Database) -> None:
    set_quota(used, "bob", 5 * HOUR, period="week")
    alice, bob = rows("quota")
    assert (alice["owner"], alice["total_gpu_hours"], alice["total_images"]) == (
        "alice",
        2.0,
        1,
    )
    assert alice["quota_gpu_hours"] is None
    assert (bob["quota_gpu_hours"], bob["left_gpu_hours"], bob["per"]) == (
        5.0,
        5.0,
        "week",
    )
    text = call("quota").stdout
    assert "5 GPU-hours a week" in text
    assert "alice" in text


def test_a_quota_is_set_raised_and_removed(used: Database) -> None:
    said = call("quota", "alice", "--gpu-hours", "3", "--per", "month")
    assert said.exit_code == 0, said.output
    assert "alice may use 3 GPU-hours a month: 0.00 used, 3.00 left" in said.stderr
    call("quota", "alice", "--gpu-hours", "4")
    now = find_quota(used, "alice")
    assert now
    assert (now.gpu_s, now.period) == (4 * HOUR, "month")
    assert "alice has no quota now." in call("quota", "alice", "--remove").stderr
    assert find_quota(used, "alice") is None


def test_a_lower_quota_pauses_and_a_higher_one_goes_on(used: Database) -> None:
    set_quota(used, "alice", 9 * HOUR, period=None)
    submit(used, plan_seeds(7, 8), name="c", owner="alice", priority=0)
    timings = Timings(encode_s=0.0, denoise_s=HOUR, decode_s=0.0, save_s=0.0)
    made = {each.id: make_result(timings=timings) for each in take(used, limit=1)}
    record_done(used, made, worker="cpu0", environment=ENVIRONMENT)
    said = call("quota", "alice", "--gpu-hours", "1")
    assert said.exit_code == 0, said.output
    assert "1.00 used, 0.00 left" in said.stderr
    assert "a, c: paused: the quota is used." in said.stderr
    shown = " ".join(call("status", "a").stdout.split())
    assert "a is paused: the quota of alice, 1 GPU-hour in all, is used" in shown
    assert "1 image left. It goes on by itself when the quota is raised" in shown
    again = call("quota", "alice", "--gpu-hours", "99")
    assert "a, c: active again." in again.stderr
    sweep = find_sweep(used, "a")
    assert sweep
    assert (sweep.state, sweep.reason) == ("active", None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--gpu-hours", "3"), "got no OWNER"),
        (("alice", "--gpu-hours", "3", "--remove"), "got --gpu-hours and --remove"),
        (("alice", "--per", "week"), "--per must come with --gpu-hours"),
        (("zoe",), "OWNER must have submitted a sweep or have a quota, got 'zoe'"),
        (("zoe", "--remove"), "OWNER must have a quota to remove, got 'zoe'"),
        (("alice", "--gpu-hours", "-1"), "gpu_hours must be"),
        (("z" * 300, "--gpu-hours", "1"), "OWNER must be a name of 1 to"),
    ],
)
def test_what_makes_no_sense_is_refused(
    used: Database, words: tuple[str, ...], said: str
) -> None:
    assert used
    result = call("quota", *words)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_a_warning_says_what_is_left_and_what_is_needed(used: Database) -> None:
    set_quota(used, "alice", HOUR, period=None)
    (warning,) = warn_of_quota(used, "alice", needed_s=2 * HOUR)
    assert warning.startswith(
        "alice has 1.00 GPU-hours left of 1 GPU-hour in all, and the images need "
        "about 2.00; at the quota the sweep waits until the quota is raised with "
    )
    assert list(warn_of_quota(used, "alice", needed_s=HOUR)) == []
    assert list(warn_of_quota(used, "alice", needed_s=None)) == []
    assert list(warn_of_quota(used, "bob", needed_s=9 * HOUR)) == []


def test_owners_are_listed_shown_and_asked_for(used: Database) -> None:
    assert {row["sweep"]: row["owner"] for row in rows("list")} == {
        "a": "alice",
        "b": "bob",
    }
    assert {row["sweep"]: row["owner"] for row in rows("status")} == {
        "a": "alice",
        "b": "bob",
    }
    found = find(used, "owner:alice", Wanted(columns=[COLUMNS["owner"]]))
    assert [row["owner"] for row in found] == ["alice", "alice"]
    assert rows("find", "owner:nobody") == []
    (key,) = {str(row["key"]) for row in rows("find", "owner:bob")}
    assert "bob" in call("show", key).stdout
