"""Sweeps from notebooks: the page of the documentation works, and says what is true."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery import Celery
from PIL import Image

import nightsweep
from producer.notebook import Progress, SubmittedSweep, _written
from storage.jobs import lifecycle
from storage.jobs.budgets import Limits, stop_reached
from storage.jobs.results import record_done, record_failure
from storage.jobs.sweeps import find_sweep
from storage.settings import Settings
from storage.sql.database import Database
from tests.builders import ENVIRONMENT, make_result, take_these
from tests.processes import running

PAGE = Path(__file__).parents[3] / "docs" / "notebook.md"
SPEC = {
    "name": "night",
    "base": {"model": "builtin:shapes", "prompt": "a <red> cat"},
    "axes": {"steps": [4, 8], "seed": {"start": 0, "count": 3}},
}


def finish(database: Database, sweep: SubmittedSweep, *, failed: int = 0) -> None:
    """Make all images of a sweep but those that fail, and one that stays in hand."""
    taken = take_these(database, [row["key"] for row in sweep.find()])
    for claim in taken[:failed]:
        record_failure(database, claim.id, owner="host:1:1", error="no <red>")
    made = {claim.id: make_result() for claim in taken[failed:-1]}
    record_done(database, made, worker="cpu0", environment=ENVIRONMENT)


def test_every_block_of_the_page_runs_in_its_order_and_prints_nothing(
    app: Celery, capfd: pytest.CaptureFixture[str]
) -> None:
    assert app
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    space: dict[str, Any] = {}
    words = ("nightsweep", "worker", "--device", "cpu", "--workers", "1")
    with running(*words):
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), space)  # noqa: S102 - our own page
    assert len(blocks) == 5
    assert capfd.readouterr() == ("", "")
    now: Progress = space["now"]
    assert (now.standing.done, now.failures, now.is_over) == (8, [], True)
    assert "stars stops on " in str(space["sweep"])
    assert [row["steps"] for row in space["rows"]] == [8, 8, 4, 4]
    assert isinstance(space["picture"], Image.Image)
    assert space["counts"] == [
        {"scheduler": "ddim", "images": 4},
        {"scheduler": "unipc", "images": 4},
    ]
    assert space["said"].startswith("the spec line 1: a sweep must have a prompt,")


def test_a_sweep_shows_its_progress_as_html_without_scripts(
    app: Celery, database: Database
) -> None:
    assert app
    sweep = nightsweep.submit(SPEC)
    finish(database, sweep, failed=2)
    now = sweep.progress()
    assert str(now).startswith("night: 3 of 6 images (50%)\n")
    assert "2 failed: no <red>" in now.lines()
    assert any("no worker is alive" in line for line in now.lines())
    shown = sweep._repr_html_()
    assert '<span title="3 done" style="width:50.00%;' in shown
    assert '<span title="2 failed" style="width:33.33%;' in shown
    assert "2 failed: no &lt;red&gt;" in shown
    assert "night: 6 images, 6 new, 0 made already." in shown
    assert "<script" not in shown
    assert shown.count("<div") == shown.count("</div>")


def test_waiting_ends_when_nothing_more_happens(
    app: Celery, database: Database
) -> None:
    assert app
    sweep = nightsweep.submit(SPEC)
    assert not sweep.wait(timeout_s=0).is_over
    stored = find_sweep(database, "night")
    assert stored
    lifecycle.set_state(database, stored, "paused")
    now = sweep.wait()
    assert now.is_over
    assert "night is paused." in now.lines()


def test_a_sweep_at_its_limit_is_over_once_nothing_is_in_hand(
    app: Celery, database: Database
) -> None:
    assert app
    sweep = nightsweep.submit({**SPEC, "limits": {"stop_after_jobs": 5}})
    assert "night stops after 5 images." in sweep.progress().lines()
    stored = find_sweep(database, "night")
    assert stored
    lifecycle.set_state(database, stored, "active", limits=Limits(images=9))
    finish(database, sweep)
    lifecycle.set_state(database, stored, "active", limits=Limits(until=1.0))
    stop_reached(database)
    now = sweep.progress()
    assert now.standing.is_at_limit
    assert not now.is_over
    standing = replace(now.standing, leased=0, pending=1)
    assert replace(now, standing=standing).is_over


def test_submitting_again_goes_on_and_a_file_or_a_name_is_taken_too(
    app: Celery, database: Database, tmp_path: Path
) -> None:
    assert app
    file = tmp_path / "night.yaml"
    file.write_text(yaml.safe_dump(SPEC))
    assert nightsweep.submit(SPEC).submitted.new == 6
    assert nightsweep.submit(file, axes=["steps+=12"]).submitted.new == 3
    assert nightsweep.submit("night").submitted.total == 9


def test_a_store_and_a_sweep_are_in_the_folder_that_is_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    assert nightsweep.Store().settings == settings
    assert nightsweep.Store(settings).settings is settings
    assert nightsweep.Store(other).settings.images == other / "images"
    monkeypatch.setenv("NIGHTSWEEP_IMAGES", str(tmp_path / "images"))
    there = nightsweep.Store(str(other)).settings
    assert (there.home, there.images) == (other, tmp_path / "images")


def test_a_spec_may_hold_values_of_other_libraries() -> None:
    numpy = pytest.importorskip("numpy")
    spec = {
        "folder": Path("a/b"),
        "seed": range(3),
        "steps": numpy.array([4, 8]),
        "guidance": numpy.float64(2.5),
        "until": "07:30",
    }
    assert yaml.safe_load(_written(spec).text) == {
        "folder": "a/b",
        "seed": [0, 1, 2],
        "steps": [4, 8],
        "guidance": 2.5,
        "until": "07:30",
    }
    with pytest.raises(nightsweep.NightsweepError, match="booleans and None, got obj"):
        _written({"seed": object()})
