"""What a row costs in a call of a network, by the number of rows and compiled or not.

    python benchmarks/network_calls.py --device cuda --model flux2klein
    python benchmarks/network_calls.py --device cuda --model sd15 [--rows 2 16 64]

`flux2klein` is a transformer of 3.9 billion parameters in the shapes of Flux 2 Klein,
at 1024 x 1024 pixels. A guided image of `sd15` or `sdxl` takes two rows.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import bench
import diffusers
import random_models
import report
import torch

from workers.engine.pipelines import DTYPES

#: Shapes of Flux 2 Klein, 4 B; and small ones to try the script.
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "flux2klein": {
        "num_layers": 5,
        "num_single_layers": 20,
        "attention_head_dim": 128,
        "num_attention_heads": 24,
        "joint_attention_dim": 7680,
        "guidance_embeds": False,
    },
    "tinyklein": {
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 128,
        "num_attention_heads": 2,
        "joint_attention_dim": 64,
        "guidance_embeds": False,
    },
}
#: Tokens of an image of 1024 x 1024 pixels, and of a text.
TOKENS, TEXT = 4096, 512
#: Side of the latents of images of the usual size.
SIDES = {"sd15": 64, "sdxl": 128, "tiny": 8}
CALLS = 5
HEADER = (
    *("rows", "ms a call", "ms a row", "compiled, ms a row"),
    *("first call, s", "gain of compiling", "gain over rows one by one"),
)
NOTES = """\
Medians of a row's time over the rounds, of calls in the batch's dtype with the same
inputs again and again. `first call` is that of the compiled network, which includes its
compilation. The last column compares the compiled call with uncompiled calls of the
fewest rows."""


def make(name: str, device: str, dtype: torch.dtype) -> Any:
    """Make a network with random weights."""
    if name in TRANSFORMERS:
        with torch.device(device):
            network = diffusers.Flux2Transformer2DModel(**TRANSFORMERS[name])
        return network.eval().to(dtype)
    architecture = random_models.read_architecture(name)
    with torch.device(device):
        network = random_models.make_network(architecture["unet"])
    return network.to(dtype)


def ask(network: Any, name: str, rows: int) -> dict[str, Any]:
    """Return arguments for a call, on the network's device and in its dtype."""
    if name not in TRANSFORMERS:
        return random_models.ask(network, side=SIDES[name], rows=rows)
    like = {"device": network.device, "dtype": network.dtype}
    tokens = TOKENS if name == "flux2klein" else 64
    width = network.config.joint_attention_dim
    return {
        "hidden_states": torch.randn(rows, tokens, network.config.in_channels, **like),
        "encoder_hidden_states": torch.randn(rows, TEXT, width, **like),
        "timestep": torch.full((rows,), 0.5, **like),
        "img_ids": torch.zeros(tokens, 4, device=network.device),
        "txt_ids": torch.zeros(TEXT, 4, device=network.device),
        "return_dict": False,
    }


def time_calls(call: Callable[[], Any], device: str) -> float:
    """Return the milliseconds of a call."""
    call()
    _wait(device)
    began = time.perf_counter()
    for _ in range(CALLS):
        call()
    _wait(device)
    return (time.perf_counter() - began) / CALLS * 1000


def measure(options: argparse.Namespace) -> list[list[str]]:
    """Call the network in turn, uncompiled and compiled; return rows of the table."""
    network = make(options.model, options.device, DTYPES[options.dtype])
    compiled = torch.compile(network, dynamic=False)
    asked = {rows: ask(network, options.model, rows) for rows in options.rows}
    first = {rows: _first_call(compiled, asked[rows], options) for rows in asked}
    times: dict[tuple[int, bool], list[float]] = {}
    for _ in range(options.rounds):
        for rows, given in asked.items():
            for called, is_compiled in ((network, False), (compiled, True)):
                ms = time_calls(lambda: called(**given), options.device)  # noqa: B023
                times.setdefault((rows, is_compiled), []).append(ms)
    return list(_lines(options.rows, times, first))


def _lines(
    counts: Sequence[int],
    times: dict[tuple[int, bool], list[float]],
    first: dict[int, float],
) -> Any:
    alone = statistics.median(times[counts[0], False]) / counts[0]
    for rows in counts:
        plain = statistics.median(times[rows, False])
        fast = statistics.median(times[rows, True]) / rows
        yield [
            str(rows),
            f"{plain:.1f}",
            f"{plain / rows:.2f}",
            f"{fast:.2f}",
            f"{first[rows]:.0f}",
            f"{plain / rows / fast:.2f}",
            f"{alone / fast:.2f}",
        ]


def _first_call(compiled: Any, given: Any, options: argparse.Namespace) -> float:
    began = time.perf_counter()
    compiled(**given)
    _wait(options.device)
    return time.perf_counter() - began


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


@torch.no_grad()
def main() -> None:
    """Measure and print the table."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--rows", type=int, nargs="+", default=[1, 4])

    options = bench.parse(__doc__, add)
    title = f"Calls of a network: {options.model}, {options.dtype}"
    bench.publish(options, title, report.table(HEADER, measure(options)), notes=NOTES)


if __name__ == "__main__":
    main()
