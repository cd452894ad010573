"""The painter with JAX against a loop over diffusers' own Flax pipeline.

    export XLA_FLAGS=--xla_force_host_platform_device_count=2
    .venv-flax/bin/python benchmarks/flax_pipeline.py [--images 48] [--append]

Both sides make the same number of images in turn, from the same prompts, with
DPM-Solver in 25 steps and one image on each device, after everything is compiled. Both
tokenize prompts, take noise from numpy, and end with pictures in memory.
"""

import argparse
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import report
from diffusers import FlaxDPMSolverMultistepScheduler, FlaxStableDiffusionPipeline
from flax.jax_utils import replicate
from flax.training.common_utils import shard
from PIL.Image import Image

from storage.errors import JobError
from storage.job import Job, Model
from storage.models.fingerprint import Digests, fingerprint
from storage.models.model_files import locate
from workers.flax.network_loading import Networks, load_networks
from workers.flax.painter import FlaxPainter
from workers.noise import draw
from workers.painting import Painting

MODEL = "builtin:shapes"
STEPS = 25
SIZE = 64
GUIDANCE = 7.5
HEADER = (
    "devices",
    "images",
    "painter, images/s",
    "pipeline, images/s",
    "ratio",
    "CPU",
)
NOTES = """\
Medians over the rounds, and the median of the ratios within one round: of images/s, and
of images per second of CPU time."""


class Pile:
    """A `Work` with jobs in memory; it fetches each picture at once."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        """Set the jobs."""
        self.waiting = deque(jobs)
        self.images: list[Image] = []

    def expect(self, width: int) -> None:
        """Do nothing: all jobs are ready."""

    def gather(self, count: int) -> list[Job]:
        """Return the next jobs."""
        return [self.waiting.popleft() for _ in range(min(count, len(self.waiting)))]

    def take(self) -> Job | None:
        """Return the next job."""
        return self.waiting.popleft() if self.waiting else None

    def keep(self, _job: Job, fetch: Callable[[], Painting]) -> None:
        """Fetch the picture."""
        self.images.append(fetch().image)

    def fail(self, _job: Job, error: JobError) -> None:
        """Stop at the first error."""
        raise error

    def put_back(self, jobs: list[Job]) -> None:
        """Take jobs back."""
        self.waiting.extendleft(reversed(jobs))

    def withdraw(self) -> list[Job]:
        """Withdraw nothing."""
        return []

    def check(self) -> None:
        """Go on."""


def make_jobs(count: int, model: Model) -> list[Job]:
    """Return jobs that differ in prompt and seed."""
    colours = ("red", "green", "blue", "yellow")
    return [
        Job(
            model=model,
            backend="flax",
            generator="numpy",
            dtype="float32",
            width=SIZE,
            height=SIZE,
            prompt=f"a {colours[seed % 4]} circle on a white background",
            seed=seed,
            scheduler_class="DPMSolverMultistepScheduler",
            steps=STEPS,
            guidance=GUIDANCE,
        )
        for seed in range(count)
    ]


def make_loop(networks: Networks) -> Callable[[Sequence[Job]], list[Image]]:
    """Return the loop that a user would write around diffusers' pipeline."""
    pipe = FlaxStableDiffusionPipeline(
        vae=networks.vae,
        text_encoder=networks.text_encoder,
        tokenizer=networks.tokenizer,
        unet=networks.unet,
        scheduler=FlaxDPMSolverMultistepScheduler.from_config(
            dict(networks.scheduler_config)
        ),
        safety_checker=None,
        feature_extractor=None,
    )
    state = pipe.scheduler.create_state()
    parameters = replicate({**networks.parameters, "scheduler": state})
    count = jax.local_device_count()
    keys = jax.random.split(jax.random.PRNGKey(0), count)
    shape = networks.latents_shape(SIZE, SIZE)

    def paint(jobs: Sequence[Job]) -> list[Image]:
        images: list[Image] = []
        for start in range(0, len(jobs), count):
            part = jobs[start : start + count]
            ids = shard(pipe.prepare_inputs([job.prompt for job in part]))
            pixels = pipe(
                ids,
                parameters,
                keys,
                num_inference_steps=STEPS,
                height=SIZE,
                width=SIZE,
                guidance_scale=GUIDANCE,
                latents=shard(np.concatenate([draw(job.seed, shape) for job in part])),
                neg_prompt_ids=shard(pipe.prepare_inputs([""] * count)),
                jit=True,
            ).images
            images += pipe.numpy_to_pil(
                np.asarray(pixels).reshape(count, SIZE, SIZE, 3)
            )
        return images

    return paint


def rate(
    paint: Callable[[Sequence[Job]], Any], jobs: Sequence[Job]
) -> tuple[float, float]:
    """Return images/s, and images per second of CPU time."""
    began, cpu = time.perf_counter(), time.process_time()
    paint(jobs)
    taken = time.perf_counter() - began
    return len(jobs) / taken, len(jobs) / (time.process_time() - cpu)


def main() -> None:
    """Run both sides in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--append", action="store_true", help="to docs/benchmarks.md")
    options = parser.parse_args()
    found = locate(MODEL, download=True)
    model = Model(fingerprint=fingerprint(found, Digests()), name=MODEL)
    jobs = make_jobs(options.images, model)
    with tempfile.TemporaryDirectory() as home:
        painter = FlaxPainter("cpu", digests=Path(home) / "digests.json")
        loop = make_loop(load_networks(found, dtype="float32"))
        sides = (lambda part: painter.paint(Pile(part)), loop)
        for side in sides:
            side(jobs[: painter.width])
        rounds = [[rate(side, jobs) for side in sides] for _ in range(options.rounds)]
    walls = [[side[0] for side in one] for one in rounds]
    row = (
        str(painter.width),
        str(options.images),
        *(f"{statistics.median(side):.1f}" for side in zip(*walls, strict=True)),
        f"{statistics.median(one[0][0] / one[1][0] for one in rounds):.2f}",
        f"{statistics.median(one[0][1] / one[1][1] for one in rounds):.2f}",
    )
    table = report.table(HEADER, [row])
    print(f"{report.environment_line()}\n\n{table}\n\n{NOTES}")
    if options.append:
        report.append(
            "The painter with JAX against the Flax pipeline",
            report.command_line(),
            table,
            notes=NOTES,
        )


if __name__ == "__main__":
    main()
