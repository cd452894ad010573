"""The share of a device's arithmetic that goes into pictures.

    python benchmarks/gpu_limit.py --device cuda --model sd15 [--width 64] [--compile]
    python benchmarks/gpu_limit.py --device cuda --model sdxl [--width 16] [--append]

Useful FLOPs are those of the UNet for each row that serves an image, twice if it is
guided, and of the decoder, as torch counts them. They are compared with the rate of a
large matrix product, measured in turn with the images.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bare
import bench
import random_models
import report
import torch
import workload
from torch.utils.flop_counter import FlopCounterMode

from storage.job import Job, PlannedJob
from storage.models.located import read_json
from storage.models.model_files import locate
from workers.engine.pipelines import DTYPES
from workers.vitals.tally import Tally

HEADER = (
    *("model", "width", "images/s", "TFLOP an image", "useful TFLOP/s"),
    *("GEMM TFLOP/s", "share"),
)
NOTES = """\
The painter of a worker alone, as long as each free row gets another job. Images/s are
the useful rate over the mean TFLOP of an image. Medians; the share is the median of the
shares of the rounds. Text encoders are not counted."""
#: Number of first steps that are left out.
FIRST_STEPS = 3
#: Rows and columns of the product, on a GPU and on a CPU.
SIDE = {True: 8192, False: 1024}


def count_flops(name: str, image: tuple[int, int]) -> tuple[int, int]:
    """Return the FLOPs of one call of the UNet for one sample, and of the decoder.

    Nothing is computed: the networks are on torch's device `meta`.

    Args:
        name: The model's name in a job.
        image: Width and height of an image in pixels.
    """
    folder = locate(name, download=False).folder
    configs = [_read_config(folder, part) for part in ("unet", "vae")]
    with torch.device("meta"), torch.no_grad():
        unet, vae = (random_models.make_network(config) for config in configs)
        factor = 2 ** (len(vae.config.block_out_channels) - 1)
        width, height = (side // factor for side in image)
        sample = torch.zeros(1, vae.config.latent_channels, height, width)
        asked = {**random_models.ask(unet, side=height), "sample": sample}
        with FlopCounterMode(display=False) as step:
            unet(**asked)
        with FlopCounterMode(display=False) as decoding:
            vae.decode(sample)
    return step.get_total_flops(), decoding.get_total_flops()


def _read_config(folder: Path, part: str) -> dict[str, Any]:
    config = read_json(folder / part / "config.json")
    return {
        key: value
        for key, value in config.items()
        if key == "_class_name" or not key.startswith("_")
    }


class Watched(bare.Listed):
    """A `Work` from a list that notes the progress before each step."""

    def __init__(self, jobs: Sequence[Job], width: int, tally: Tally) -> None:
        super().__init__(jobs, width)
        self._tally = tally
        self._marks: list[tuple[float, int, int]] = []

    def check(self) -> None:
        """Note the time, the useful rows and the pictures so far."""
        if self.has_more:
            now = time.perf_counter()
            self._marks.append((now, self._tally.useful, self.kept))

    def rate(self, *, row: int, picture: int) -> float:
        """Return the useful FLOP/s.

        Args:
            row: FLOPs of one row in one step.
            picture: FLOPs to decode one picture.
        """
        if len(self._marks) <= FIRST_STEPS + 1:
            sys.exit("Too few jobs to measure a rate: ask for several times the width.")
        first, last = self._marks[FIRST_STEPS], self._marks[-1]
        seconds, rows, pictures = (b - a for a, b in zip(first, last, strict=True))
        return (rows * row + pictures * picture) / seconds


def time_gemm(device: str, dtype: torch.dtype) -> float:
    """Return the FLOP/s of a large matrix product."""
    on_gpu = device.startswith("cuda")
    side = SIDE[on_gpu]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    calls = 50

    def run() -> float:
        began = time.perf_counter()
        for _ in range(calls):
            torch.matmul(a, b)
        if on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter() - began

    run()
    return 2 * side**3 * calls / run()


def measure(options: argparse.Namespace, planned: Sequence[PlannedJob]) -> list[str]:
    """Paint and multiply in turn; return a row of the table."""
    painter = bare.make_painter(
        options.device,
        options.width,
        threads=options.threads,
        compiled=options.compile,
    )
    jobs = [one.job for one in planned]
    job = jobs[0]  # all are of one model, size and guidance
    step, decoding = count_flops(job.model.name, (job.width, job.height))
    row = step * (2 if job.guidance > 1 else 1)
    mean = row * statistics.mean(one.evaluations for one in planned) + decoding
    useful, gemms = [], []
    # A warm-up: the model is loaded and compiled, and kernels are chosen.
    bare.paint(painter, jobs[: options.width], options.width)
    for _ in range(options.rounds):
        gemms.append(time_gemm(options.device, DTYPES[options.dtype]))
        work = Watched(jobs, options.width, painter.tally)
        painter.paint(work)
        work.finish()
        useful.append(work.rate(row=row, picture=decoding))
        print(f"{useful[-1] / 1e12:.2f} of {gemms[-1] / 1e12:.2f} TFLOP/s", flush=True)
    return [
        options.model,
        str(options.width),
        f"{statistics.median(useful) / mean:.2f}",
        f"{mean / 1e12:.3f}",
        f"{statistics.median(useful) / 1e12:.3f}",
        f"{statistics.median(gemms) / 1e12:.3f}",
        f"{100 * bench.median_ratio(useful, gemms):.1f} %",
    ]


def main() -> None:
    """Measure and print the table."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--width", type=int, default=32)
        parser.add_argument("--jobs", type=int, help="a multiple of 4")
        parser.add_argument("--threads", type=int, default=1)

    options = bench.parse(__doc__, add)
    model = workload.find_model(options.model)
    name = model.find(options.models, options.device)
    count = (options.jobs or model.jobs[0]) // len(workload.PROMPTS)
    cells = workload.cells_of(count, model.steps)
    with bench.own_folder() as folder:
        spec = workload.write_spec(folder, name, cells, dtype=options.dtype)
        planned = workload.read_spec(spec)
    row = measure(options, planned)
    kind = "compiled" if options.compile else "eager"
    title = f"Useful work: {options.model}, {options.dtype}, {kind}"
    bench.publish(options, title, report.table(HEADER, [row]), notes=NOTES)


if __name__ == "__main__":
    main()
