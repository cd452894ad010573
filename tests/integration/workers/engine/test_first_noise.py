"""With `generator: numpy`, every pipeline begins with the same normal numbers."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.batches import Bench, make_job
from tests.matrices import shorten
from tests.tiny_kinds import KINDS, allow_small_sizes

#: What diffusers and transformers say of small models that stand in for large ones.
pytestmark = pytest.mark.filterwarnings("ignore")

SD, FLUX = "StableDiffusionPipeline", "FluxPipeline"
SEED = 5
NAMES = ("ddim", "euler_a", "dpmpp_sde", "lms")


@pytest.fixture(autouse=True, scope="module")
def _small(one_thread: None) -> Iterator[None]:
    del one_thread
    with pytest.MonkeyPatch.context() as patch:
        allow_small_sizes(patch)
        yield


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(KINDS[SD](tmp_path_factory.mktemp("models") / "sd"))


def noise_of(seed: int, count: int) -> torch.Tensor:
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = generator.standard_normal(size=count, dtype=np.float32)
    return torch.from_numpy(drawn)


def first_latents(
    bench: Bench, job: Any, monkeypatch: pytest.MonkeyPatch
) -> torch.Tensor:
    """Return the latents that a pipeline hands to its network first."""
    name = "unet" if hasattr(bench.pipe, "unet") else "transformer"
    seen: list[torch.Tensor] = []
    network = bench.starter.networks[name]

    def look(*args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs["hidden_states"] if "hidden_states" in kwargs else args[0])
        return network(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setitem(bench.starter.networks, name, look)
        bench.mixed([job], 1)
    return seen[0]


@pytest.mark.parametrize(("kind", "scheduler"), [(SD, "ddim"), (FLUX, "flow_euler")])
def test_pipelines_of_every_kind_begin_with_the_same_numbers(
    kind: str, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(KINDS[kind](tmp_path / "tiny"))
    bench = Bench(model)
    job = make_job(scheduler, model=model, seed=SEED, guidance=1.0, generator="numpy")
    begun = first_latents(bench, job, monkeypatch).flatten()
    # Flux packs squares of 2 x 2 into tokens, which changes the order only.
    assert torch.equal(begun.sort()[0], noise_of(SEED, len(begun)).sort()[0])
    assert (kind == FLUX) != torch.equal(begun, noise_of(SEED, len(begun)))


@pytest.mark.parametrize("dtype", shorten(["float32", "bfloat16"], ["float32"]))
@pytest.mark.parametrize("name", shorten(NAMES, NAMES[:2]))
def test_an_image_is_that_of_a_script_that_passes_the_noise_as_latents(
    sd: str, name: str, dtype: str
) -> None:
    bench = Bench(sd, dtype=dtype)
    job = make_job(name, model=sd, seed=SEED, generator="numpy", dtype=dtype)
    side = job.width // bench.pipe.vae_scale_factor
    shape = (1, bench.pipe.unet.config.in_channels, side, side)
    latents = noise_of(SEED, math.prod(shape)).reshape(shape).to(bench.pipe.dtype)
    made, _ = bench.mixed([job], 1)
    assert made[job.key].equals(bench.plain(job, latents=latents))


def test_noise_does_not_depend_on_neighbours_that_draw_otherwise() -> None:
    bench = Bench("builtin:shapes")
    jobs = [
        make_job("euler_a", seed=seed, generator=generator)
        for seed in (1, 2)
        for generator in ("numpy", "cpu")
    ]
    made, _ = bench.mixed(jobs, len(jobs))
    for job in jobs:
        run = made[job.key].run
        assert run
        if job.generator == "cpu":
            assert made[job.key].equals(bench.ordinary(run))
    numpy, cpu = (made[job.key] for job in jobs[:2])
    assert not numpy.equals(cpu)
    alone, _ = bench.mixed(jobs[:1], 1)
    assert torch.allclose(alone[jobs[0].key].pixels, numpy.pixels, atol=1e-3)


def test_a_pipeline_that_draws_elsewhere_fails_its_job_with_one_sentence(
    tmp_path: Path,
) -> None:
    model = str(KINDS["ErnieImagePipeline"](tmp_path / "tiny"))
    job = make_job("flow_euler", model=model, generator="numpy")
    made, basket = Bench(model).mixed([job], 1)
    assert not made
    assert str(basket.failures[job.key]) == (
        "`generator: numpy` needs a pipeline that draws its first noise in"
        " `prepare_latents`, which ErnieImagePipeline does not; use `generator: cpu`"
    )
    other = replace(job, generator="cpu")
    made, _ = Bench(model).mixed([other], 1)
    assert made[other.key].run
