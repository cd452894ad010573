"""Shifts and schedules make the image of the plain script that says the same."""

import inspect
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers.schedulers import AysSchedules

from storage.catalogue import schedulers
from storage.catalogue.pipeline_families import FAMILIES
from storage.catalogue.schedules import AYS, PIPELINES, steps_of
from storage.catalogue.shifts import shift_options
from storage.catalogue.timestep_inputs import HANDED
from storage.job import Job
from tests.batches import Bench, card_of, make_job
from tests.matrices import sample
from tests.tiny_kinds import KINDS, allow_small_sizes

#: What diffusers and transformers say of small models that stand in for large ones.
pytestmark = pytest.mark.filterwarnings("ignore")

FALLING = ("timesteps", 999, 700, 400, 20)
SIGMAS = ("sigmas", 1.0, 0.8, 0.3)
LEVELS = ("sigmas", 14.0, 4.0, 0.7, 0.0)
FLOW = [k for k in KINDS if k.partition(" ")[0] in PIPELINES["sigmas"] & HANDED.keys()]
CASES = [
    *(("StableDiffusionPipeline", name, FALLING) for name in ("ddpm", "dpmpp_2m")),
    *(("StableDiffusionPipeline", name, FALLING) for name in ("dpmpp_2s", "heun")),
    *(("StableDiffusionPipeline", "euler", one) for one in (FALLING, LEVELS)),
    ("StableDiffusionXLPipeline", "dpmpp_2m_sde", AYS["StableDiffusionXLPipeline"]),
    ("PixArtSigmaPipeline", "euler", LEVELS),
    *((kind, "flow_euler", SIGMAS) for kind in FLOW),
]
TRIED = [CASES[1], CASES[5], ("FluxPipeline", "flow_euler", SIGMAS)]
#: The shift in every class that has one, and where it replaces the one by size.
SHIFTED = [
    ("StableDiffusion3Pipeline", "flow_heun"),
    ("StableDiffusion3Pipeline", "flow_dpmpp_2m"),
    ("StableDiffusion3Pipeline shifts", "flow_euler"),
    ("QwenImagePipeline", "flow_unipc"),
    ("ZImagePipeline", "flow_euler_beta"),
]


@pytest.fixture(autouse=True, scope="module")
def _small() -> Iterator[None]:
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        allow_small_sizes(patch)
        yield
    torch.set_num_threads(usual)


def test_align_your_steps_is_that_of_diffusers() -> None:
    assert {name: list(numbers[1:]) for name, numbers in AYS.items()} == {
        "StableDiffusionPipeline": AysSchedules["StableDiffusionTimesteps"],
        "StableDiffusionXLPipeline": AysSchedules["StableDiffusionXLTimesteps"],
    }


@pytest.mark.parametrize("kind", PIPELINES)
def test_pipelines_that_take_a_list_have_such_an_input(kind: str) -> None:
    assert FAMILIES.keys() >= PIPELINES[kind]
    for name in PIPELINES[kind]:
        taken = inspect.signature(getattr(diffusers, name).__call__).parameters
        assert kind in taken, name


def check_images(bench: Bench, jobs: list[Job]) -> None:
    """Check images alone against plain scripts, and together against batches."""
    for job in jobs:
        alone, basket = bench.mixed([job], 1)
        assert not basket.failures
        assert alone[job.key].equals(bench.plain(job)), job
        run = alone[job.key].run
        assert run
        assert run.steps == schedulers.evaluations(
            job.scheduler_class,
            job.scheduler_options,
            config=bench.config,
            steps=job.steps,
            has_schedule=bool(job.schedule),
        )
    together, basket = bench.mixed(jobs, len(jobs))
    assert not basket.failures
    for job in jobs:
        run = together[job.key].run
        assert run
        if run.width == len(jobs):
            assert together[job.key].equals(bench.ordinary(run)), job


@pytest.mark.parametrize(
    ("kind", "name", "schedule"), sample(CASES, TRIED, quick=TRIED[:1])
)
def test_a_schedule_makes_the_image_of_a_plain_script(
    kind: str, name: str, schedule: Any, tmp_path: Path
) -> None:
    model = str(KINDS[kind](tmp_path / "model"))
    asked, card = schedulers.resolve(name), card_of(model)
    steps = steps_of(schedule, asked.class_name)
    assert not card.check_scheduler(asked)
    assert not card.check_schedule(schedule, asked, steps=steps)
    scale = 2.3 if card.effects is None or card.effects.takes_scale else 1.0
    own = make_job(name, model=model, seed=3, guidance=scale)
    listed = replace(own, seed=8, steps=steps, extras={"schedule": schedule})
    check_images(Bench(model), [listed, own])


@pytest.mark.parametrize(
    ("kind", "name"), sample(SHIFTED, SHIFTED[2:4], quick=SHIFTED[3:4])
)
def test_a_shift_makes_the_image_of_a_plain_script(
    kind: str, name: str, tmp_path: Path
) -> None:
    model = str(KINDS[kind](tmp_path / "model"))
    asked, card = schedulers.resolve(name), card_of(model)
    options = shift_options(asked, 6.0, config=card.scheduler_config)
    shifted = schedulers.resolve(name, options)
    assert not card.check_scheduler(shifted)
    effective = schedulers.effective_options(shifted, card.scheduler_config)
    job = make_job(name, model=model, scheduler_options=effective)
    usual = make_job(name, model=model)
    bench = Bench(model)
    check_images(bench, [job, usual])
    assert not bench.plain(job).equals(bench.plain(usual))


NOISY = [
    ("flow_euler", {"stochastic_sampling": True}),
    ("flow_dpmpp_2m", {"algorithm_type": "sde-dpmsolver++"}),
]


@pytest.mark.long
@pytest.mark.parametrize(("name", "noisy"), sample(NOISY, NOISY[:1]))
def test_sana_adds_the_noise_of_the_seed(
    name: str, noisy: dict[str, Any], tmp_path: Path
) -> None:
    model = str(KINDS["SanaPipeline"](tmp_path / "model"))
    asked, card = schedulers.resolve(name, noisy), card_of(model)
    assert not card.check_scheduler(asked)
    options = schedulers.effective_options(asked, card.scheduler_config)
    job = make_job(name, model=model, scheduler_options=options)
    usual = make_job(name, model=model, seed=3)
    bench = Bench(model)
    check_images(bench, [job, usual])
    assert bench.plain(job).equals(bench.plain(job))
    assert not bench.plain(job).equals(bench.plain(replace(usual, seed=job.seed)))
