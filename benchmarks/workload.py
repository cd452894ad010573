"""The sweeps that benchmarks measure, and their jobs."""

import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import random_models

from producer.expansion.expand import read_jobs
from producer.models.cards import describe
from storage.job import PlannedJob

PROMPTS = tuple(
    f"a {colour} {shape} on a blue background"
    for colour in ("red", "yellow")
    for shape in ("circle", "square")
)
SCHEDULERS = (
    *("ddim", "euler_a", "heun", "unipc"),
    *("dpmpp_2m_karras", "ddpm", "pndm", "lms"),
)
#: Every kind of the catalogue: with and without noise, one call of the network a step
#: and two, cheap ones and slow ones.
TWENTY = (
    *("ddim", "ddim_eta", "ddpm", "pndm", "lms", "euler", "euler_karras", "euler_a"),
    *("heun", "dpm2", "dpm2_a", "dpmpp_2m", "dpmpp_2m_karras", "dpmpp_2m_sde"),
    *("dpmpp_3m", "dpmpp_2s", "dpmpp_sde", "deis", "unipc", "sa_solver"),
)
#: A quarter of the jobs has none.
GUIDANCES = (1.0, 1.0, 2.5, 3.5, 4.5, 5.5, 7.5, 9.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model, and the sweeps that it is measured with.

    Attributes:
        name: `builtin:shapes`, a folder, or a name of `random_models`.
        steps: The step counts of a sweep.
        jobs: Images of a sweep, unless the command says otherwise.
        dtype: Dtype on a GPU; on a CPU it is float32.
    """

    name: str
    steps: tuple[int, ...] = (8, 12, 20)
    jobs: tuple[int, ...] = (96,)
    dtype: str = "float32"

    def find(self, folder: Path, device: str) -> str:
        """Return the name for a spec; save random weights below `folder` if needed."""
        if self.name not in random_models.NAMES:
            return self.name
        made = random_models.save_model(self.name, folder / self.name, device=device)
        return str(made.resolve())


MODELS = {
    "builtin:shapes": Model(name="builtin:shapes", jobs=(96, 800)),
    "sd15": Model(name="sd15", steps=(25,), jobs=(256,), dtype="bfloat16"),
    "sdxl": Model(name="sdxl", steps=(20,), jobs=(64,), dtype="bfloat16"),
    "flux2klein": Model(name="flux2klein", steps=(4,), dtype="bfloat16"),
}


def find_model(name: str) -> Model:
    """Return a model of `MODELS`, or of another name with the default sweeps."""
    return MODELS.get(name, Model(name=name))


def cells_of(count: int, steps: Sequence[int]) -> list[dict[str, Any]]:
    """Return `count` cells: all pairs of step count and scheduler, seed after seed."""
    kinds = list(itertools.product(steps, SCHEDULERS))
    return [
        {"seed": number // len(kinds), "steps": wanted, "scheduler": name}
        for number, (wanted, name) in zip(
            range(count), itertools.cycle(kinds), strict=False
        )
    ]


def random_cells(count: int) -> list[dict[str, Any]]:
    """Return cells of twenty schedulers, 10 to 50 steps and eight guidances."""
    draw = random.Random(8)  # noqa: S311 - a workload
    return [
        {
            "seed": seed,
            "scheduler": draw.choice(TWENTY),
            "steps": draw.randint(10, 50),
            "guidance": draw.choice(GUIDANCES),
        }
        for seed in range(count)
    ]


def write_spec(
    folder: Path,
    model: str,
    cells: Sequence[dict[str, Any]],
    *,
    prompts: Sequence[str] = PROMPTS,
    dtype: str = "float32",
) -> Path:
    """Write a sweep of every prompt with every cell; return the file."""
    spec = {
        "name": "bench",
        "base": {"model": model, "dtype": dtype},
        "axes": {
            "prompt": list(prompts),
            "cell": [{"label": f"c{n}", "set": cell} for n, cell in enumerate(cells)],
        },
    }
    file = folder / "bench.json"
    file.write_text(json.dumps(spec), encoding="utf-8")
    return file


def read_spec(file: Path) -> list[PlannedJob]:
    """Return the jobs of a sweep in order of execution."""
    return sorted(read_jobs(file, describe).jobs(), key=lambda one: one.position)
