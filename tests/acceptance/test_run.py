"""`nightsweep run`: to the end, whatever happens to it on the way."""

import json
import shutil
import signal
import sqlite3
import subprocess
from pathlib import Path

import psutil
import pytest

from storage.broker.embedded import is_running
from storage.files import markers
from storage.models.model_files import BUILTIN_FOLDERS
from storage.settings import read_settings
from tests.acceptance.conftest import Bench
from tests.processes import PATIENCE_S, find_servers, wait_until
from tests.tiny_pipelines import make_sd

JOBS = 4
SWEEP = """
name: night
base: {model: "builtin:shapes", prompt: "a blue star on a yellow background"}
axes:
  scheduler: [pndm, ddim]
  steps: [2, 6]
"""
#: Two images that are made soon, and two that take long enough to be interrupted.
LONG = SWEEP.replace("6", "100")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "night.yaml"
    path.write_text(SWEEP)
    return path


@pytest.fixture
def long_file(file: Path) -> Path:
    file.write_text(LONG)
    return file


def start(bench: Bench, file: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        bench.command("run", str(file), "--device", "cpu", "--workers", "1"),
        env=bench.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def done(bench: Bench) -> int:
    return bench.states().get("done", 0)


def wait_for(bench: Bench, images: int) -> None:
    wait_until(lambda: done(bench) >= images, moving=lambda: done(bench))


def workers_of(bench: Bench) -> list[psutil.Process]:
    """Find the supervisor and the workers of a state folder."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            home = process.environ().get("NIGHTSWEEP_HOME")
        except psutil.Error:
            continue
        is_ours = "workers.process.main" in words or "worker" in words
        if home == str(bench.home) and is_ours:
            found.append(process)
    return found


def server_of(bench: Bench) -> psutil.Process:
    """Find the embedded Redis of a state folder."""
    (server,) = find_servers(bench.home / "redis")
    return server


def check_whole(bench: Bench) -> None:
    """Every image is there once, and nothing is in anybody's hands."""
    with sqlite3.connect(bench.home / "nightsweep.db") as connection:
        states = connection.execute(
            "SELECT state, count(*) FROM jobs GROUP BY state"
        ).fetchall()
        paths = {row[0] for row in connection.execute("SELECT path FROM results")}
    connection.close()
    assert states == [("done", JOBS)]
    images = bench.home / "images"
    files = {str(p.relative_to(images)) for p in images.rglob("*") if p.is_file()}
    assert paths | {markers.NAME} == files
    assert len(paths) == JOBS


def test_run_goes_to_the_end_and_then_has_nothing_to_do(
    bench: Bench, file: Path
) -> None:
    words = ("run", str(file), "--device", "cpu", "--workers", "1")
    told = file.with_name("told")
    write = f'echo "$NIGHTSWEEP_MESSAGE" >> {told}'
    on = ("--on", "finished", write, "--on", "stopped", write)
    first = bench.process(*words, *on).stderr
    assert told.read_text() == f"night is finished: {JOBS} images made.\n"
    assert f"{JOBS} images, {JOBS} new, 0 made already." in first
    assert f"Made {JOBS} images in" in first
    assert first.endswith(" grid night\n")
    check_whole(bench)
    second = bench.cli(*words).stderr
    assert f"{JOBS} images, 0 new, {JOBS} made already." in second
    assert "Nothing was left to make." in second
    assert not workers_of(bench)


@pytest.mark.long
def test_run_that_is_killed_half_way_goes_on_where_it_was(
    bench: Bench, long_file: Path
) -> None:
    with start(bench, long_file) as run:
        wait_for(bench, 1)
        run.kill()
        run.communicate(timeout=PATIENCE_S)
    psutil.wait_procs(workers_of(bench), timeout=PATIENCE_S)
    assert not workers_of(bench)
    assert is_running(read_settings({"NIGHTSWEEP_HOME": str(bench.home)}))
    assert 1 <= done(bench) < JOBS
    bench.paint_with_the_stand_in()
    bench.process("run", str(long_file), "--device", "cpu", "--workers", "1")
    check_whole(bench)


@pytest.mark.slow
def test_a_host_that_is_lost_whole_loses_no_image(
    bench: Bench, long_file: Path
) -> None:
    with start(bench, long_file) as run:
        wait_for(bench, 1)
        redis = server_of(bench)
        for process in workers_of(bench):
            process.kill()
        redis.kill()
        run.kill()
        run.communicate(timeout=PATIENCE_S)
    psutil.wait_procs(workers_of(bench), timeout=PATIENCE_S)
    bench.process("run", str(long_file), "--device", "cpu", "--workers", "1")
    check_whole(bench)


def change(model: Path, mask: int) -> None:
    weights = model / "vae" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= mask
    weights.write_bytes(content)


@pytest.mark.long
def test_a_model_that_changed_since_it_was_planned_fails_no_job(
    bench: Bench, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(BUILTIN_FOLDERS["builtin:shapes"], model)
    change(model, 1)  # so that the package does not hold the same files
    file = tmp_path / "local.yaml"
    base = f"{model}, dtype: float32"
    file.write_text(SWEEP.replace('"builtin:shapes"', base))
    bench.cli("submit", str(file))
    change(model, 2)
    # Another sweep, of the files as they are now, goes on beside it, to its end.
    other = tmp_path / "other.yaml"
    other.write_text(file.read_text().replace("night", "other"))
    bench.process("run", str(other), "--device", "cpu", "--workers", "1")
    assert {row["state"] for row in bench.find("--sweep", "other")} == {"done"}
    said = bench.cli("status", "--json", "--sweep", "night").stdout
    assert "must have the files that were planned" in said
    rows = bench.find("--sweep", "night")
    assert {(row["state"], row["attempts"]) for row in rows} == {("pending", 0)}
    # Submitted again, it has the images of the other, and the old jobs go.
    said = bench.cli("submit", str(file), "--yes").stderr
    assert f"0 new, {JOBS} made already" in said
    rows = bench.find("--sweep", "night")
    assert {row["state"] for row in rows} == {"done"}
    assert len(rows) == JOBS


@pytest.mark.long
def test_one_ctrl_c_hands_back_and_leaves_nothing_in_hand(
    bench: Bench, long_file: Path
) -> None:
    bench.paint_with_the_stand_in()
    bench.extra["NIGHTSWEEP_STAND_IN_STEP_S"] = "0.1"
    with start(bench, long_file) as run:
        wait_for(bench, 1)
        run.send_signal(signal.SIGINT)
        said, _ = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 130
    assert "unmade; go on with: " in said
    assert not workers_of(bench)
    with sqlite3.connect(bench.home / "nightsweep.db") as connection:
        query = "SELECT count(*) FROM jobs WHERE state='leased' OR deaths > 0"
        assert connection.execute(query).fetchone() == (0,)
        query = "SELECT max(attempts) FROM jobs WHERE state='pending'"
        assert connection.execute(query).fetchone() == (0,)
    connection.close()


@pytest.mark.long
def test_a_cpu_makes_a_sweep_without_a_precision_once(
    bench: Bench, tmp_path: Path
) -> None:
    model = make_sd(tmp_path / "tiny")
    file = tmp_path / "tiny.yaml"
    file.write_text(
        f"name: tiny\nbase: {{model: {model}, prompt: a cat, steps: 2, width: 64,"
        " height: 64}\n"
    )
    words = (str(file), "--device", "cpu", "--workers", "1")
    bench.paint_with_the_stand_in()

    first = bench.process("run", *words).stderr

    assert "tiny is made in float32, since a CPU makes it here" in first
    assert [row["dtype"] for row in bench.find("--sweep", "tiny")] == ["float32"]
    assert "0 new, 1 made already." in bench.cli("submit", str(file)).stderr
    assert json.loads(bench.cli("plan", "--json", str(file)).stdout)["new"] == 0
    assert "Nothing was left to make." in bench.cli("run", *words).stderr
