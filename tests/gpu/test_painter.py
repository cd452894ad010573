"""The painter on a GPU: exact under `strict`, timed, and clear when memory ends."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline

from storage.errors import UnfitError
from storage.job import Job
from storage.models.model_files import BUILTIN_FOLDERS
from tests.integration.workers.engine.test_painter import make_job, paint_one
from tests.work import Notes
from workers.devices.placements import choose_placements, probe
from workers.engine.pipelines import DTYPES
from workers.engine.schedulers import build
from workers.engine.torch_painter import TorchPainter

NAMES = ("pndm", "ddim", "lms", "dpmpp_2m_karras", "euler_a", "dpmpp_sde", "unipc")


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> TorchPainter:
    digests = tmp_path_factory.mktemp("digests") / "digests.json"
    return TorchPainter("cuda:0", threads=1, digests=digests, widths=Notes())


def plain(job: Job) -> Any:
    """Make one image as a plain diffusers script does on a GPU."""
    pipe = DiffusionPipeline.from_pretrained(
        BUILTIN_FOLDERS["builtin:shapes"],
        dtype=DTYPES[job.dtype],
        use_safetensors=True,
    ).to("cuda")
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = build(
        job.scheduler_class,
        job.scheduler_options,
        config=dict(pipe.scheduler.config),
        seed=job.seed,
    )
    return pipe(
        job.prompt,
        num_inference_steps=job.steps,
        guidance_scale=job.guidance,
        generator=torch.Generator(job.generator).manual_seed(job.seed),
    ).images[0]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("generator", ["cpu", "cuda"])
def test_a_strict_image_is_that_of_a_plain_script(
    painter: TorchPainter, dtype: str, generator: str
) -> None:
    job = make_job(steps=4, dtype=dtype, generator=generator)
    assert paint_one(painter, job).image.tobytes() == plain(job).tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_scheduler_is_exact_in_half_precision(
    painter: TorchPainter, name: str
) -> None:
    job = make_job(name, steps=4, dtype="float16")
    assert paint_one(painter, job).image.tobytes() == plain(job).tobytes()


def test_memory_is_measured_and_the_gpu_is_named(painter: TorchPainter) -> None:
    painting = paint_one(painter, make_job(steps=2))
    assert painting.peak_bytes
    assert painting.peak_bytes > 10_000_000
    assert painting.environment.gpu == torch.cuda.get_device_name(0)
    assert painting.environment.details["cuda"]


@pytest.mark.parametrize("strict", [True, False])
def test_a_job_too_large_for_the_memory_is_for_a_larger_gpu(
    painter: TorchPainter,
    tmp_path: Path,
    little: Callable[[], AbstractContextManager[None]],
    *,
    strict: bool,
) -> None:
    said = "one image must fit into memory beside its model"
    small, large = {"steps": 2, "strict": strict}, {"width": 4096, "height": 4096}
    paint_one(painter, make_job(**small))  # its model fits
    with little(), pytest.raises(UnfitError, match=said):
        paint_one(painter, make_job(**small, **large))
    after = paint_one(painter, make_job(**small))
    fresh = TorchPainter(
        "cuda:0", threads=1, digests=tmp_path / "digests.json", widths=Notes()
    )
    assert after.image.tobytes() == paint_one(fresh, make_job(**small)).image.tobytes()


def test_a_model_too_large_for_the_memory_is_not_the_jobs_fault(
    tmp_path: Path, limited: Callable[[int], AbstractContextManager[None]]
) -> None:
    small = TorchPainter(
        "cuda:0", threads=1, digests=tmp_path / "digests.json", widths=Notes()
    )
    said = "the model must fit into this device's"
    with limited(0), pytest.raises(UnfitError, match=said):
        paint_one(small, make_job(steps=2))
    assert paint_one(small, make_job(steps=2)).warm_up


def test_seeds_differ_between_generators(painter: TorchPainter) -> None:
    on_cpu = paint_one(painter, make_job(steps=2)).image.tobytes()
    on_gpu = paint_one(painter, replace(make_job(steps=2), generator="cuda"))
    assert on_gpu.image.tobytes() != on_cpu


def test_a_gpu_gets_a_placement() -> None:
    assert probe()
    assert choose_placements(gpus="0")[0].device == "cuda:0"
