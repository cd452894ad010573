"""One sweep, made by a worker with torch and one with JAX, which start at once."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from click.testing import CliRunner
from PIL import Image

from producer.cli import cli
from storage.settings import read_settings
from storage.sql.database import open_database
from storage.sql.schema import jobs, results
from tests.processes import PATIENCE_S, ROOT

#: An interpreter that has torch; `make test-flax` names it.
TORCH = ROOT / os.environ.get("TORCH", ".venv/bin/python")
SEEDS = 2
SPEC = f"""
name: both
base:
  model: builtin:shapes
  prompt: a red circle on a blue background
  generator: numpy
  dtype: float32
  steps: 20
axes:
  backend: [torch, flax]
  scheduler: [ddim, dpmpp_2m]
  seed: {{start: 0, count: {SEEDS}}}
"""


def work(python: str | Path, backend: str) -> "subprocess.Popen[bytes]":
    """Start a worker that ends when its back end has nothing to do."""
    words = ("worker", "--backend", backend, "--device", "cpu", "--workers", "1")
    return subprocess.Popen(
        [python, "-P", "-m", "nightsweep", *words, "--exit-when-idle", "20s"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        # Held open: at its end a worker takes its supervisor for gone.
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_both_back_ends_make_the_same_pictures_of_one_sweep(tmp_path: Path) -> None:
    spec = tmp_path / "both.yaml"
    spec.write_text(SPEC)
    said = CliRunner().invoke(cli, ["submit", str(spec)])
    assert said.exit_code == 0, said.output
    with ExitStack() as ends:
        workers = [
            ends.enter_context(work(TORCH, "torch")),
            ends.enter_context(work(sys.executable, "flax")),
        ]
        for each in workers:
            ends.callback(each.kill)
        assert [each.wait(PATIENCE_S) for each in workers] == [0, 0]
    settings = read_settings()
    columns = (jobs.c.backend, jobs.c.scheduler_id, jobs.c.seed, results.c.path)
    query = sa.select(*columns).join(results, results.c.job_id == jobs.c.id)
    with open_database(settings.database_url).read() as connection:
        rows = connection.execute(query).all()
    made = {
        row[:3]: np.asarray(Image.open(settings.images / row.path), float) / 255
        for row in rows
    }
    assert len(made) == 2 * 2 * SEEDS
    for (backend, *others), pixels in made.items():
        if backend == "torch":
            # And half a level of 255, to which both are rounded.
            difference = np.abs(pixels - made["flax", *others]).max()
            assert difference <= 0.01 + 0.5 / 255
