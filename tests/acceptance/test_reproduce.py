"""Images made again: by the script of `show --script`, and by `reproduce`."""

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from tests.acceptance.conftest import Bench
from tests.processes import PATIENCE_S

SWEEP = """
name: {name}
base:
  model: "builtin:shapes"
  prompt: "a {name} circle, \\"it's\\" \\\\ 🐈 </script>"
  negative_prompt: "blue"
  strict: {strict}
axes:
  scheduler: [dpmpp_sde, {{class: ddim, options: {{timestep_spacing: trailing}}}}, heun]
  steps: [3, 4]
"""


@pytest.fixture(scope="module")
def made(
    warm: Bench, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[dict[str, Any]]]:
    """Make the same images alone and in batches."""
    rows = {}
    for name, strict in (("red", "true"), ("green", "false")):
        folder = tmp_path_factory.mktemp(name)
        standing = warm.make(SWEEP.format(name=name, strict=strict), folder)
        assert standing["done"] == 6
        rows[name] = warm.find("--sweep", name)
    return rows


def everything(bench: Bench) -> tuple[dict[Path, bytes], list[Any]]:
    """All image files, and all rows of results."""
    files = {file: file.read_bytes() for file in (bench.home / "images").rglob("*.png")}
    with sqlite3.connect(bench.home / "nightsweep.db") as connection:
        rows = connection.execute("SELECT * FROM results ORDER BY job_id").fetchall()
    connection.close()
    return files, rows


def reproduce(bench: Bench, *words: str, code: int = 0) -> list[dict[str, Any]]:
    said = bench.cli("reproduce", *words, "--device", "cpu", "--json", code=code)
    return [json.loads(line) for line in said.stdout.splitlines()]


@pytest.mark.long
def test_the_script_of_a_strict_image_makes_it_bit_for_bit(
    warm: Bench, made: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    row = made["red"][0]
    file = tmp_path / "script.py"
    script = warm.cli("show", row["key"], "--script").stdout
    file.write_text(script, encoding="utf-8")
    subprocess.run(
        [sys.executable, file], cwd=tmp_path, check=True, capture_output=True
    )
    with (
        Image.open(tmp_path / f"{row['key']}.png") as again,
        Image.open(warm.home / "images" / row["path"]) as stored,
    ):
        assert again.tobytes() == stored.tobytes()


def check_equal(answers: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """Check that these images, and no others, were made again bit for bit."""
    assert {answer["key"] for answer in answers} == {row["key"] for row in rows}
    for answer in answers:
        assert (answer["verdict"], answer["conditions"]) == ("equal", {})
        assert answer["difference"] == {"most": 0, "mean": 0.0, "share": 0.0}


def test_images_of_a_batch_are_made_again_bit_for_bit_and_nothing_is_stored(
    warm: Bench, made: dict[str, list[dict[str, Any]]]
) -> None:
    before = everything(warm)
    check_equal(reproduce(warm, "green", "--as-made"), made["green"])
    assert everything(warm) == before


@pytest.mark.long
def test_strict_images_are_made_again_and_a_file_that_is_altered_or_gone_is_said(
    warm: Bench, made: dict[str, list[dict[str, Any]]]
) -> None:
    *whole, altered, gone = made["red"]
    file = warm.home / "images" / altered["path"]
    with Image.open(file) as image:
        image.putpixel((0, 0), (1, 2, 3))
        image.save(file)
    (warm.home / "images" / gone["path"]).unlink()
    before = everything(warm)
    answers = {answer["key"]: answer for answer in reproduce(warm, "red", code=1)}
    assert everything(warm) == before
    one, other = answers.pop(altered["key"]), answers.pop(gone["key"])
    check_equal([*answers.values()], whole)
    assert (one["verdict"], one["note"]) == (
        "different",
        "its file has other pixels than recorded; `nightsweep verify` says more",
    )
    assert one["difference"]["share"] == 1 / (64 * 64)
    assert (other["verdict"], other["difference"]) == ("equal", None)
    assert other["note"].startswith("an image must be a readable file, but ")


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.usefixtures("made")
def test_when_it_is_stopped_nothing_goes_on(
    number: signal.Signals, warm: Bench
) -> None:
    with subprocess.Popen(
        warm.command("reproduce", "green", "--device", "cpu"),
        env=warm.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        said = process.stderr.readline()
        assert said.startswith("Making 6 images again on ")
        assert said.endswith(", each alone, as a plain script would.\n")
        children = psutil.Process(process.pid).children()
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE_S)
    assert children
    assert psutil.wait_procs(children, timeout=PATIENCE_S)[1] == []
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "Interrupted; 0 of 6 images made again: none." in said
