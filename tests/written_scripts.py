"""The scripts that `show --script` prints, run, and a painter to hold against them."""

import runpy
from pathlib import Path

import pytest
import torch
from PIL import Image

from producer.reproduction.script import write_script
from storage.job import Job
from storage.jobs.records import Record
from tests.work import Notes
from workers.engine.torch_painter import TorchPainter


def run_script(job: Job, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Image.Image:
    """Write the script of a job into a folder, run it on the CPU, return its image."""
    record = Record(key=job.key, job=job, places=(job.model,), scheduler="", made=None)
    script = folder / "script.py"
    script.write_text(write_script(record), encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    runpy.run_path(str(script), run_name="__main__")
    with Image.open(folder / f"{job.key}.png") as image:
        image.load()
    return image


def make_painter(folder: Path) -> TorchPainter:
    """Make a painter on the CPU that begins with batches of two rows."""
    digests = folder / "digests.json"
    return TorchPainter("cpu", threads=1, digests=digests, widths=Notes(2))
