"""CLIP scores of images in memory, against a bare loop over the same network.

    python benchmarks/clip_scores.py [--clip FOLDER] [--device cuda] [--append]

All sides prepare the same images with the same processor in batches of the same size.
The plain loop reads the prompts of each batch; the tighter one reads each prompt once,
before the time is taken.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import bench
import numpy as np
import report
import torch
import transformers
from torch import Tensor
from torch.nn.functional import normalize

from storage.metrics.identity import find_networks
from storage.metrics.kinds import KINDS
from workers.metrics.measuring import measure
from workers.metrics.metric import Metric, Sample
from workers.metrics.registry import load

COLOURS = ("red", "green", "blue", "yellow")
SHAPES = ("circle", "square", "star", "ring")
PROMPTS = [f"a {c} {s} on a white background" for c in COLOURS for s in SHAPES]
HEADER = (
    *("images", "batch", "scores/s", "plain loop", "tighter loop"),
    *("of plain", "of tighter"),
)
NOTES = """\
Scores/s are medians over the rounds; the shares are medians of the ratios within one
round. With one thread on a CPU, the seconds are those of the process, without its waits
for a core. The images are in memory on all sides. The plain loop calls tokenizer,
processor and network for each batch; the tighter one has the features of all prompts
before its time is taken."""


class Bare:
    """The loop that a user would write, with the network in the metric's precision."""

    def __init__(self, clip: str, device: str) -> None:
        found = find_networks(KINDS["clip"], clip, download=True)
        assert found is not None  # noqa: S101 - for the type alone
        folder = found.network.folder
        dtype = torch.float32 if device == "cpu" else torch.float16
        self.model = transformers.CLIPModel.from_pretrained(folder, dtype=dtype)
        self.model = self.model.eval().to(device)
        self.processor = transformers.AutoImageProcessor.from_pretrained(folder)
        self.tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
        self.texts = {text: self.read([text])[0] for text in PROMPTS}

    def read(self, prompts: Sequence[str]) -> Tensor:
        """Return the features of prompts."""
        tokens = self.tokenizer(
            list(prompts), padding=True, truncation=True, return_tensors="pt"
        ).to(self.model.device)
        return normalize(self.model.get_text_features(**tokens).pooler_output)

    def look(self, images: Sequence[np.ndarray]) -> Tensor:
        """Return the features of images."""
        pixels = self.processor(list(images), return_tensors="pt")["pixel_values"]
        pixels = pixels.to(self.model.device, self.model.dtype)
        return normalize(self.model.get_image_features(pixels).pooler_output)

    @torch.inference_mode()
    def score(self, samples: Sequence[Sample], size: int, read: Any) -> list[float]:
        """Score batches of a size; `read` returns the features of prompts."""
        scores: list[float] = []
        for start in range(0, len(samples), size):
            batch = samples[start : start + size]
            seen = self.look([one.image for one in batch])
            scores += (seen * read([one.prompt for one in batch])).sum(-1).tolist()
        return scores

    def known(self, prompts: Sequence[str]) -> Tensor:
        """Return the features of prompts that were read before."""
        return torch.stack([self.texts[text] for text in prompts])


def make_samples(count: int, *, side: int) -> list[Sample]:
    """Return images of noise, with prompts in turn."""
    rng = np.random.default_rng(8)
    return [
        Sample(
            image=rng.integers(0, 256, (side, side, 3), dtype=np.uint8),
            prompt=PROMPTS[number % len(PROMPTS)],
            parameters={"key": str(number)},
        )
        for number in range(count)
    ]


def measure_sides(
    metric: Metric,
    bare: Bare,
    samples: Sequence[Sample],
    *,
    rounds: int,
    clock: Callable[[], float],
) -> list[list[float]]:
    """Return the scores per second of each side in each round, after a warm-up."""
    size = metric.batch_size
    sides: list[Callable[[], object]] = [
        lambda: measure(metric, samples),
        lambda: bare.score(samples, size, bare.read),
        lambda: bare.score(samples, size, bare.known),
    ]
    rates: list[list[float]] = [[] for _ in sides]
    for number in range(rounds + 1):
        # In another order each time, so that no side has the quiet moments.
        for place in range(len(sides)):
            side = (place + number) % len(sides)
            began = clock()
            sides[side]()
            if number:
                rates[side].append(len(samples) / (clock() - began))
    return rates


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clip", default="builtin:clip", help="or a folder")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--side", type=int, default=64, help="of an image, in pixels")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--append", action="store_true", help="to docs/benchmarks.md")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    metric = load("clip", model=options.clip, device=options.device)
    bare = Bare(options.clip, options.device)
    samples = make_samples(options.images, side=options.side)
    # With one thread, a process's own time is the same on a busy machine.
    is_alone = options.device == "cpu" and options.threads == 1
    rates = measure_sides(
        metric,
        bare,
        samples,
        rounds=options.rounds,
        clock=time.process_time if is_alone else time.perf_counter,
    )
    row = [
        str(options.images),
        str(metric.batch_size),
        *(f"{statistics.median(side):,.0f}" for side in rates),
        *(f"{bench.median_ratio(rates[0], other):.3f}" for other in rates[1:]),
    ]
    title = f"CLIP scores: {options.clip}, {options.device}"
    bench.publish(options, title, report.table(HEADER, [row]), notes=NOTES)


if __name__ == "__main__":
    main()
