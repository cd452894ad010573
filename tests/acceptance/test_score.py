"""`nightsweep score` to the end, with the demo model, its own CLIP and real workers."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.acceptance.conftest import Bench

SWEEP = """
name: scored
base: {model: "builtin:shapes", guidance: 3, steps: 12}
axes: {prompt: [a red circle], seed: [3], scheduler: [ddim, euler_a]}
"""


def test_images_are_scored_once_by_clip_and_by_their_distance(
    warm: Bench, tmp_path: Path
) -> None:
    warm.make(SWEEP, tmp_path)
    metrics = ("--metric", "clip", "--metric", "rmse", "--reference", "steps=24")
    asked = warm.cli("score", "scored", *metrics, "--wait", "--json")
    clip, rmse = map(json.loads, asked.stdout.splitlines())
    assert (clip["metric"], clip["scores"], clip["new"]) == ("clip", 2, 2)
    # At half the steps, the sweep's own image serves.
    assert (rmse["scores"], rmse["references"], rmse["new_references"]) == (1, 2, 1)
    assert rmse["without_limit"] == 1
    rows = scores(warm)
    assert [row[:3] for row in rows] == [
        ("clip", "done", "higher"),
        ("clip", "done", "higher"),
        ("rmse", "done", "lower"),
    ]
    assert all(-1 <= value <= 1 for *_, value in rows)
    again = warm.cli("score", "scored", *metrics, "--wait")
    assert "clip: 2 scores, 0 new, 2 computed already." in again.stderr
    assert scores(warm) == rows
    key = warm.find("scored", "--scheduler", "ddim")[0]["key"]
    shown = json.loads(warm.cli("show", key, "--json").stdout)["scores"]
    assert [each["metric"] for each in shown] == ["clip", "rmse"]
    assert "scored: scores: 3 done." in warm.cli("status", "scored").stdout


TWO_SEEDS = """
name: seeds
base: {model: "builtin:shapes", guidance: 3, steps: 6, scheduler: ddim}
axes: {prompt: [a red circle], seed: [3, 5]}
"""


@pytest.mark.long
def test_distances_come_with_that_between_two_seeds_and_tell_why_no_limit_is_named(
    warm: Bench, tmp_path: Path
) -> None:
    warm.make(TWO_SEEDS, tmp_path)
    metric = ("--metric", "rmse", "--reference", "steps=24")
    said = warm.cli("score", "seeds", *metric, "--wait")
    assert (
        "rmse at 24 steps: 1 distance between two seeds of a prompt, the unit of limits"
    ) in said.stderr
    query = (
        "SELECT seed, steps, s.value FROM image_scores s JOIN images USING (key) "
        "WHERE reference = '{\"seed\":3}'"
    )
    with sqlite3.connect(warm.home / "nightsweep.db") as connection:
        ((seed, steps, apart),) = connection.execute(query).fetchall()
    connection.close()
    assert (seed, steps) == (5, 24)
    (row,) = map(
        json.loads,
        warm.cli("compare", "seeds", "--json").stdout.splitlines(),
    )
    assert row["outcome"] == "few_prompts"
    assert row["seed_distance"] == apart
    assert [test["steps"] for test in row["tests"]] == [12, 6]
    assert all(0 < test["distance"] < 1 for test in row["tests"])


def scores(bench: Bench) -> list[tuple[str, str, str, float]]:
    query = "SELECT metric, state, better, value FROM image_scores ORDER BY metric, key"
    with sqlite3.connect(bench.home / "nightsweep.db") as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def test_a_metric_that_cannot_be_computed_is_refused_before_anything_is_made(
    bench: Bench, tmp_path: Path
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(f"{SWEEP}scores: [clip, 'no_such_package:Sharpness']\n")
    for command in ("plan", "submit"):
        said = bench.cli(command, str(file), code=2).stderr
        assert "sweep.yaml line 5: the metric no_such_package:Sharpness needs" in said
    with sqlite3.connect(bench.home / "nightsweep.db") as connection:
        assert connection.execute("SELECT count(*) FROM sweeps").fetchone() == (0,)
    connection.close()
