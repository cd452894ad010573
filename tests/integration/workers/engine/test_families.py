"""Each family of pipelines: mixed batches and single decoding against its own output.

What the engine says of a family is never looked at: the pipelines are of diffusers'
own classes, with random weights, and their own calls say what is right.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from storage.catalogue import schedulers
from storage.errors import JobError
from storage.job import Job
from tests.batches import GUIDANCES, Bench, card_of, make_job, make_various
from tests.tiny_pipelines import make_flux, make_sd, make_sd3, make_sdxl

#: A call of diffusers' pipeline about itself.
pytestmark = pytest.mark.filterwarnings("ignore:.*upcast_vae:FutureWarning")

MEANS = {"latents_mean": (0.1, -0.2, 0.3, 0.4), "latents_std": (1.0, 2.0, 0.5, 1.5)}
MAKERS: Mapping[str, Callable[[Path], Path]] = {
    "sd": make_sd,
    "sdxl": make_sdxl,
    "sdxl with means": lambda folder: make_sdxl(folder, **MEANS, force_upcast=False),
    "sd3": make_sd3,
    "sd3 that shifts": lambda folder: make_sd3(folder, use_dynamic_shifting=True),
    "flux": lambda folder: make_flux(folder, embeds_guidance=False),
    "flux with guidance": lambda folder: make_flux(folder, embeds_guidance=True),
}
#: A CPU is slow at half precision; `test_slots` has some of bfloat16.
DTYPES = ("float32", "float16", pytest.param("bfloat16", marks=pytest.mark.slow))
#: Enough for a family that shares the schedulers of Stable Diffusion.
SOME = ("ddim_eta", "euler_a", "pndm", "heun", "dpmpp_3m_karras", "dpmpp_sde")
#: How many of them are tried in half precision.
HALVES = 3
WIDTH = 2


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)


@pytest.fixture(scope="module", params=MAKERS)
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> str:
    return str(MAKERS[request.param](tmp_path_factory.mktemp("models") / "tiny"))


@cache
def bench_of(model: str, dtype: str = "float32") -> Bench:
    return Bench(model, dtype=dtype)


def names_for(model: str) -> list[str]:
    """Give the schedulers that a model may have, or some where they are many."""
    card = card_of(model)
    if card.model.family in ("sd", "sdxl"):
        return list(SOME)
    rows = schedulers.rows(card.model.family)
    return [row.name for row in rows if can_drive(model, row.name)]


def can_drive(model: str, name: str) -> bool:
    config, family = card_of(model).scheduler_config, card_of(model).model.family
    # It cannot be shifted; its pipeline says so too.
    if name == "flow_heun" and config.get("use_dynamic_shifting"):
        return False
    return not schedulers.check(schedulers.resolve(name), config=config, family=family)


def make_jobs(model: str, *, dtype: str = "float32") -> list[Job]:
    """Make jobs that differ in all that one batch of the model can hold."""
    names = names_for(model)
    # A CPU is slow at half precision.
    names = names if dtype == "float32" else names[:HALVES]
    jobs = make_various(names, model=model, dtype=dtype)
    if not card_of(model).model.embeds_guidance:
        return jobs
    return [replace(job, guidance=GUIDANCES[0]) for job in jobs]


def check_mixed(bench: Bench, jobs: list[Job]) -> None:
    made, basket = bench.mixed(jobs, WIDTH)
    assert not basket.failures
    for job in jobs:
        slot = made[job.key].slot
        assert slot
        assert made[job.key].equals(bench.ordinary(slot)), job


def check_alone(bench: Bench, job: Job) -> None:
    made, _ = bench.mixed([job], 1)
    assert made[job.key].equals(bench.plain(job)), job


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_mixed_image_is_that_of_the_same_slot_of_an_ordinary_batch(
    model: str, dtype: str
) -> None:
    check_mixed(bench_of(model, dtype), make_jobs(model, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_batch_of_one_is_a_plain_script(model: str, dtype: str) -> None:
    for job in make_jobs(model, dtype=dtype):
        check_alone(bench_of(model, dtype), job)


def test_an_image_without_guidance_is_exact(model: str) -> None:
    bench = bench_of(model)
    jobs = [replace(job, guidance=1.0) for job in make_jobs(model)]
    check_mixed(bench, jobs[:2])
    check_alone(bench, jobs[0])


def test_a_negative_prompt_is_exact(model: str) -> None:
    bench = bench_of(model)
    texts = ("red", "", "a green square")
    jobs = [
        replace(job, negative_prompt=texts[place % 3])
        for place, job in enumerate(make_jobs(model)[:3])
    ]
    for job in jobs:
        check_alone(bench, job)
    check_mixed(bench, jobs)


def test_another_size_is_exact(model: str) -> None:
    bench = bench_of(model)
    jobs = [replace(job, width=96, height=48) for job in make_jobs(model)]
    check_mixed(bench, jobs[:2])
    check_alone(bench, jobs[0])


@pytest.mark.parametrize("kind", ["sdxl", "sd3"])
@pytest.mark.parametrize("skipped", [1, 2])
def test_skipped_layers_of_clip_are_exact(
    tmp_path: Path, kind: str, skipped: int
) -> None:
    name = str(MAKERS[kind](tmp_path / "tiny"))
    job = make_jobs(name)[0]
    skipping = replace(job, extras={**job.extras, "clip_skip": skipped})
    bench = bench_of(name)
    check_alone(bench, skipping)
    made, _ = bench.mixed([job, skipping], 2)
    assert not torch.equal(made[job.key].latents, made[skipping.key].latents)


@pytest.mark.parametrize("kind", ["sdxl", "sdxl with means"])
def test_sdxl_decodes_in_float32_where_it_must(tmp_path: Path, kind: str) -> None:
    name = str(MAKERS[kind](tmp_path / "tiny"))
    bench = bench_of(name, "float16")
    must = kind == "sdxl"
    assert bench.family.decode_dtype == (torch.float32 if must else torch.float16)
    job = make_jobs(name, dtype="float16")[0]
    made, _ = bench.mixed([job], 1)
    assert made[job.key].pixels.dtype == bench.family.decode_dtype
    assert made[job.key].latents.dtype == torch.float16
    assert bench.pipe.vae.dtype == torch.float16


@pytest.mark.parametrize("width", [1, pytest.param(WIDTH, marks=pytest.mark.slow)])
def test_every_scheduler_of_the_catalogue_is_exact_in_sdxl(
    tmp_path: Path, width: int
) -> None:
    name = str(make_sdxl(tmp_path / "sdxl"))
    names = [row.name for row in schedulers.rows("sdxl")]
    assert len(names) > 40
    jobs = make_various(names, model=name)
    if width > 1:
        check_mixed(bench_of(name), jobs)
    else:
        for job in jobs:
            check_alone(bench_of(name), job)


def test_sdxl_begins_at_the_first_of_equal_timesteps(tmp_path: Path) -> None:
    name = str(make_sdxl(tmp_path / "sdxl"))
    job = make_job("dpmpp_2m_beta", model=name, steps=40)
    bench = bench_of(name)
    made, _ = bench.mixed([job], 1)
    slot = made[job.key].slot
    assert slot
    assert slot.times[0] == slot.times[1]
    assert made[job.key].equals(bench.plain(job))


def test_stable_diffusion_begins_where_its_scheduler_finds_the_timestep(
    tmp_path: Path,
) -> None:
    # The second of equal ones, so that the last step has none left.
    name = str(make_sd(tmp_path / "sd"))
    job = make_job("dpmpp_2m_beta", model=name, steps=40)
    bench = bench_of(name)
    _, basket = bench.mixed([job], 1)
    with pytest.raises(JobError, match="IndexError: index 41 is out of bounds"):
        raise basket.failures[job.key]
    with pytest.raises(IndexError, match="index 41 is out of bounds"):
        bench.plain(job)


def test_distilled_models_have_schedulers_of_their_own(tmp_path: Path) -> None:
    name = str(make_sd(tmp_path / "lcm", time_cond_proj_dim=8))
    jobs = [
        make_job(row.name, model=name, seed=seed, guidance=7.3, steps=3 + seed % 2)
        for seed, row in enumerate(schedulers.rows("distilled") * 2)
    ]
    check_mixed(bench_of(name), jobs)
    check_alone(bench_of(name), jobs[0])
