"""From a sweep file to images that are found again, through the real parts."""

import hashlib
import json
import re
import shutil
import sqlite3
from pathlib import Path

import pytest
from PIL import Image

from storage.models.model_files import BUILTIN_FOLDERS
from tests.acceptance.conftest import Bench
from tests.hub_server import COMMIT, NAME, hub_variables, serve
from tests.processes import wait_until

SWEEP = """
name: {name}
base: {{model: "builtin:shapes", prompt: "a red circle on a blue background"}}
axes:
  scheduler: [{schedulers}]
  steps: [{steps}]
"""


def sweep(name: str, schedulers: str = "pndm, ddim, lms", steps: str = "2, 4") -> str:
    return SWEEP.format(name=name, schedulers=schedulers, steps=steps)


def test_a_sweep_becomes_images_that_can_be_found(warm: Bench, tmp_path: Path) -> None:
    standing = warm.make(sweep("found"), tmp_path)
    assert standing["done"] == 6
    rows = warm.find("--sweep", "found", "--scheduler", "PNDM", "--steps", "3..")
    assert [(row["scheduler"], row["steps"]) for row in rows] == [("pndm", 4)]
    row = rows[0]
    assert row["evaluations"] == 5
    assert row["denoise_s"] > 0
    with Image.open(warm.home / "images" / row["path"]) as image:
        pixels = image.convert("RGB").tobytes()
    assert hashlib.sha256(pixels).hexdigest() == row["pixel_sha256"]


def test_an_image_says_how_it_was_made(warm: Bench, tmp_path: Path) -> None:
    warm.make(sweep("embedded", "dpmpp_2m_karras", "3"), tmp_path)
    row = warm.find("--sweep", "embedded")[0]
    with Image.open(warm.home / "images" / row["path"]) as image:
        said = image.text
    assert said["parameters"].splitlines()[0] == "a red circle on a blue background"
    for part in ("Steps: 3", "Sampler: ", "CFG scale: 2.5", "Seed: 0", "Size: 64x64"):
        assert part in said["parameters"]
    record = json.loads(said["nightsweep"])
    assert record["key"] == row["key"]
    assert record["scheduler_options"] == {"use_karras_sigmas": True}


def test_metrics_tell_how_full_the_batches_were(warm: Bench, tmp_path: Path) -> None:
    warm.make(sweep("full", "ddim, unipc", "5, 6"), tmp_path)
    file = tmp_path / "nightsweep.prom"

    def rows(name: str) -> float:
        found = re.findall(rf"^nightsweep_worker_{name}_total{{.+}} (.+)$", text, re.M)
        return sum(map(float, found))

    def are_told() -> bool:
        nonlocal text
        warm.cli("metrics", "--once", "--file", str(file))
        text = file.read_text()
        return rows("used_rows") >= 2 * (5 + 6)  # each step of each image

    text = ""
    wait_until(are_told)
    assert rows("rows") >= rows("used_rows")


def test_sweeps_that_overlap_make_only_what_is_new(warm: Bench, tmp_path: Path) -> None:
    warm.make(sweep("first", "heun, euler", "2, 3"), tmp_path)
    file = tmp_path / "second.yaml"
    file.write_text(sweep("second", "euler, deis", "2, 3"))
    plan = json.loads(warm.cli("plan", "--json", str(file)).stdout)
    assert (plan["new"], plan["existing"]) == (2, {"done": 2})
    said = warm.cli("submit", str(file)).stderr
    assert "4 images, 2 new, 2 made already." in said
    assert warm.finish("second")["done"] == 4
    shared = warm.find("--sweep", "second", "--scheduler", "euler")
    assert {row["sweep"] for row in shared} == {"second"}


def test_a_changed_spec_says_what_it_adds_and_drops(
    bench: Bench, tmp_path: Path
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(sweep("changing", "pndm, ddim"))
    bench.cli("submit", str(file))
    file.write_text(sweep("changing", "ddim, lms, heun"))
    asked = bench.cli("submit", str(file), code=2).stderr
    assert "4 come, 2 stay, 2 leave (2 unmade); add --yes to change it" in asked
    said = bench.cli("submit", str(file), "--yes").stderr
    assert "changing (revision 2): 6 images, 4 new, 0 made already; 6 to make." in said
    assert "2 images that were unmade left the sweep." in said
    assert len(bench.find("--sweep", "changing")) == 6


def test_plan_writes_nothing_and_opens_the_database_for_reading(
    bench: Bench, tmp_path: Path
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(sweep("planned"))
    bench.cli("plan", str(file))
    assert not bench.home.exists()
    bench.cli("submit", str(file))
    bench.close()
    before = sorted(path.stat().st_mtime_ns for path in bench.home.rglob("*"))
    bench.cli("plan", str(file))
    after = sorted(path.stat().st_mtime_ns for path in bench.home.rglob("*"))
    assert before == after


def test_a_sweep_comes_from_standard_input_and_is_changed_by_options(
    bench: Bench,
) -> None:
    done = bench.cli(
        "plan", "-", "--json", "--axis", "steps=5,6,7", stdin=sweep("piped")
    )
    plan = json.loads(done.stdout)
    assert plan["total"] == 9
    assert plan["axes"]["steps"] == [5, 6, 7]


def test_a_bad_spec_stores_nothing_and_ends_with_two(
    bench: Bench, tmp_path: Path
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(sweep("bad", "pndm, dimm", "2, zero"))
    said = bench.cli("run", str(file), code=2).stderr
    assert "dimm" in said
    assert "zero" in said
    assert "line" in said
    assert not (bench.home / "nightsweep.db").exists()


def test_the_database_can_be_asked_with_any_client(warm: Bench, tmp_path: Path) -> None:
    warm.make(sweep("asked", "unipc", "2"), tmp_path)
    query = (
        "SELECT model, scheduler, state, finished_at FROM sweep_images WHERE sweep=?"
    )
    with sqlite3.connect(warm.home / "nightsweep.db") as connection:
        rows = connection.execute(query, ("asked",)).fetchall()
    connection.close()
    assert rows[0][:3] == ("builtin:shapes", "unipc", "done")
    assert len(rows[0][3]) == len("2026-11-22T22:14:04.939014+00:00")


def test_show_and_grid_work_on_what_was_made(warm: Bench, tmp_path: Path) -> None:
    warm.make(sweep("shown", "ddim, euler_a", "2, 4"), tmp_path)
    key = warm.find("--sweep", "shown")[0]["key"]
    assert json.loads(warm.cli("show", "--json", key[:10]).stdout)["key"] == key
    sheet = tmp_path / "sheet.png"
    words = ("--sweep", "shown", "--rows", "scheduler", "--cols", "steps")
    assert warm.cli("grid", *words, "--out", str(sheet)).stdout.strip() == str(sheet)
    with Image.open(sheet) as image:
        assert image.width > 128


def test_a_moved_model_makes_nothing_again_and_a_changed_one_everything(
    warm: Bench, tmp_path: Path
) -> None:
    warm.make(sweep("moved", "ddim", "2, 3"), tmp_path)
    copy = tmp_path / "copy of the model"
    shutil.copytree(BUILTIN_FOLDERS["builtin:shapes"], copy)
    (copy / "README.md").write_text("Renamed, and with a page of its own.")
    file = tmp_path / "moved.yaml"
    file.write_text(sweep("moved", "ddim", "2, 3").replace("builtin:shapes", f"{copy}"))
    # The default size, dtype and guidance of the built-in model are its own.
    options = ("--set", "base.dtype=float32", "--set", "base.guidance=2.5")
    plan = json.loads(warm.cli("plan", "--json", str(file), *options).stdout)
    assert (plan["new"], plan["existing"]) == (0, {"done": 2})
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    plan = json.loads(warm.cli("plan", "--json", str(file), *options).stdout)
    assert plan["new"] == 2


@pytest.mark.long
def test_a_model_that_was_fetched_is_made_without_the_network(
    bench: Bench, tmp_path: Path
) -> None:
    file = tmp_path / "hub.yaml"
    file.write_text(sweep("hub", "ddim", "2").replace("builtin:shapes", NAME))
    with serve(BUILTIN_FOLDERS["builtin:shapes"]) as hub:
        bench.extra.update(hub_variables(tmp_path, hub.url))
        bench.process("fetch", str(file))
    bench.extra.update(HF_HUB_OFFLINE="1")
    options = ("--set", "base.dtype=float32", "--device", "cpu", "--workers", "1")
    bench.process("run", str(file), *options)
    row = bench.find("--sweep", "hub")[0]
    assert (row["state"], row["model"]) == ("done", NAME)
    assert row["model_revision"] == COMMIT
