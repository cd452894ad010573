"""What only some pipelines do with a job's parameters: alone as in a plain script."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from storage.catalogue import schedulers
from storage.errors import JobError
from storage.job import Job
from tests.batches import Bench, make_job, make_various
from tests.matrices import shorten
from tests.tiny_kinds import MEANS
from tests.tiny_pipelines import make_flux, make_sd, make_sd3, make_sdxl

#: A call of diffusers' pipeline about itself.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*upcast_vae:FutureWarning"),
    pytest.mark.usefixtures("one_thread"),
]

MAKERS: Mapping[str, Callable[[Path], Path]] = {
    "sd": make_sd,
    "sdxl": make_sdxl,
    "sdxl with means": partial(make_sdxl, force_upcast=False, **MEANS),
    "sd3": make_sd3,
    "flux": partial(make_flux, embeds_guidance=True),
}
WIDTH = 2


def open_bench(folder: Path, kind: str, dtype: str = "float32") -> tuple[Bench, str]:
    model = str(MAKERS[kind](folder / "tiny"))
    return Bench(model, dtype=dtype), model


def own_job(kind: str, model: str, **changes: Any) -> Job:
    name = "flow_euler" if kind in ("sd3", "flux") else "ddim_eta"
    return make_job(name, model=model, **changes)


def check_alone(bench: Bench, job: Job) -> None:
    made, _ = bench.mixed([job], 1)
    assert made[job.key].equals(bench.plain(job)), job


def check_mixed(bench: Bench, jobs: list[Job]) -> None:
    made, _ = bench.mixed(jobs, WIDTH)
    for job in jobs:
        run = made[job.key].run
        assert run
        assert run.width == WIDTH
        assert made[job.key].equals(bench.ordinary(run)), job


@pytest.mark.parametrize("kind", shorten(["sd", "sdxl", "sd3", "flux"], ["sd"]))
def test_another_size_is_exact(tmp_path: Path, kind: str) -> None:
    bench, model = open_bench(tmp_path, kind)
    jobs = [own_job(kind, model, width=96, height=48, seed=seed) for seed in range(2)]
    check_mixed(bench, jobs)
    check_alone(bench, jobs[0])


@pytest.mark.parametrize("kind", shorten(["sdxl", "sd3"], ["sdxl"]))
@pytest.mark.parametrize("skipped", [1, 2])
def test_skipped_layers_of_clip_are_exact(
    tmp_path: Path, kind: str, skipped: int
) -> None:
    bench, model = open_bench(tmp_path, kind)
    job = own_job(kind, model)
    skipping = replace(job, extras={**job.extras, "clip_skip": skipped})
    check_alone(bench, skipping)
    made, _ = bench.mixed([job, skipping], WIDTH)
    assert not torch.equal(made[job.key].pixels, made[skipping.key].pixels)


@pytest.mark.parametrize("kind", ["sdxl", "sdxl with means"])
def test_sdxl_decodes_in_float32_where_it_must(tmp_path: Path, kind: str) -> None:
    bench, model = open_bench(tmp_path, kind, "float16")
    job = own_job(kind, model, dtype="float16")
    made, _ = bench.mixed([job], 1)
    run = made[job.key].run
    assert run
    assert run.result.dtype == (torch.float32 if kind == "sdxl" else torch.float16)
    assert bench.pipe.vae.dtype == torch.float16
    assert made[job.key].equals(bench.plain(job))


@pytest.mark.slow
def test_every_scheduler_of_the_catalogue_is_exact_in_sdxl(tmp_path: Path) -> None:
    bench, model = open_bench(tmp_path, "sdxl")
    names = [row.name for row in schedulers.rows("sdxl")]
    assert len(names) > 40
    for job in make_various(names, model=model):
        check_alone(bench, job)


def test_sdxl_begins_at_the_first_of_equal_timesteps(tmp_path: Path) -> None:
    bench, model = open_bench(tmp_path, "sdxl")
    job = make_job("dpmpp_2m_beta", model=model, steps=40)
    check_alone(bench, job)
    times = bench.pipe.scheduler.timesteps
    assert times[0] == times[1]


def test_stable_diffusion_begins_where_its_scheduler_finds_the_timestep(
    tmp_path: Path,
) -> None:
    # The second of equal ones, so that the last step has none left.
    bench, model = open_bench(tmp_path, "sd")
    job = make_job("dpmpp_2m_beta", model=model, steps=40)
    _, basket = bench.mixed([job], 1)
    with pytest.raises(JobError, match="IndexError: index 41 is out of bounds"):
        raise basket.failures[job.key]
    with pytest.raises(IndexError, match="index 41 is out of bounds"):
        bench.plain(job)


def test_distilled_models_have_schedulers_of_their_own(tmp_path: Path) -> None:
    model = str(make_sd(tmp_path / "lcm", time_cond_proj_dim=8))
    bench = Bench(model)
    jobs = [
        make_job(row.name, model=model, seed=seed, guidance=7.3, steps=3 + seed % 2)
        for seed, row in enumerate(schedulers.rows("distilled") * 2)
    ]
    check_mixed(bench, jobs)
    check_alone(bench, jobs[0])
