"""How full batches are, with real claims and a network that costs nothing."""

import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from producer.models.cards import describe
from storage.catalogue import schedulers
from storage.job import Job, PlannedJob
from storage.settings import Settings
from storage.sql.database import Database
from tests.builders import make_job, submit
from tests.contexts import make_context
from tests.work import Unhurried
from workers.engine.torch_painter import TorchPainter
from workers.execution.turn import Turn
from workers.vitals.tally import Tally

NAMES = (
    *("ddim", "ddim_eta", "ddpm", "pndm", "euler", "euler_karras", "euler_a"),
    *("euler_exponential", "euler_sgm_uniform", "heun", "heun_karras", "dpm2"),
    *("dpm2_karras", "dpm2_a", "dpmpp_2m", "dpmpp_2m_karras", "dpmpp_2m_sde"),
    *("dpmpp_3m", "dpmpp_2s", "unipc"),
)
#: A quarter of the jobs has none.
GUIDANCES = (1.0, 1.0, 2.5, 3.5, 4.5, 5.5, 7.5, 9.0)


class Widths:
    """Knows one width for all jobs."""

    def __init__(self, width: int) -> None:
        self.width = width

    def get(self, _job: Job, _gpu: str) -> int:
        return self.width

    def set(self, _job: Job, _gpu: str, *, width: int, reason: str) -> None:
        pytest.fail(f"{width} {reason}")


@pytest.fixture(autouse=True)
def _free_of_charge(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_self: Any, sample: torch.Tensor, *_args: Any, **_kw: Any) -> Any:
        return (torch.zeros_like(sample),)

    def decode(_self: Any, _latents: Any, **_kw: Any) -> Any:
        return (torch.zeros(1, 3, 64, 64),)

    # On a slow machine a turn would be over before its last job.
    monkeypatch.setattr("workers.execution.turn.TURN_S", math.inf)
    monkeypatch.setattr(UNet2DConditionModel, "forward", answer)
    monkeypatch.setattr(AutoencoderKL, "decode", decode)


def mix(count: int) -> list[PlannedJob]:
    """Plan jobs of twenty schedulers, 10 to 50 steps and eight guidances."""
    draw = random.Random(8)  # noqa: S311 - a workload
    card = describe("builtin:shapes", base_dir=Path())
    planned = []
    for seed in range(count):
        name, steps = draw.choice(NAMES), draw.randint(10, 50)
        asked = schedulers.resolve(name)
        options = schedulers.effective_options(asked, card.scheduler_config)
        job = make_job(
            model=card.model,
            dtype="float32",
            width=64,
            height=64,
            seed=seed,
            scheduler_class=asked.class_name,
            scheduler_options=options,
            steps=steps,
            guidance=draw.choice(GUIDANCES),
            extras=asked.extras,
        )
        evaluations = schedulers.evaluations(
            asked.class_name, options, config=card.scheduler_config, steps=steps
        )
        planned.append(
            PlannedJob(
                job=job,
                position=seed,
                evaluations=evaluations,
                scheduler_name=name,
            )
        )
    return planned


@pytest.mark.parametrize(
    ("count", "width", "least"),
    [
        (40, 4, 0.95),
        pytest.param(100, 8, 0.95, marks=pytest.mark.long),
        pytest.param(200, 16, 0.95, marks=pytest.mark.slow),
        pytest.param(800, 16, 0.97, marks=pytest.mark.slow),
        pytest.param(800, 64, 0.93, marks=pytest.mark.slow),
    ],
)
def test_a_batch_is_full_from_the_first_job_of_a_mixed_sweep_to_the_last(
    database: Database, settings: Settings, count: int, width: int, least: float
) -> None:
    planned = mix(count)
    submit(database, planned)
    painter = TorchPainter(
        "cpu",
        threads=1,
        digests=settings.home / "digests.json",
        widths=Widths(width),
    )
    turn = Turn(
        context=make_context(database, settings),
        painter=Unhurried(painter, database),
    )
    turn.take([planned[0].job.key])
    tally: Tally = painter.tally
    assert tally.useful == sum(one.evaluations for one in planned)
    assert tally.occupancy >= least
