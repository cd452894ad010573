"""The torch painter, one job at a time: `strict`, models, and errors."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from producer.models.cards import describe
from storage.catalogue import schedulers
from storage.errors import (
    DeviceError,
    FingerprintError,
    JobError,
    ModelError,
    NonFiniteError,
    UnfitError,
)
from storage.job import Job, Model
from storage.models.model_files import BUILTIN_FOLDERS
from tests import batches, script
from tests.tiny_pipelines import make_sd3, make_sdxl
from tests.work import Basket, Notes, go_on, paint
from workers.engine.torch_painter import OWN_THREADS, TorchPainter
from workers.painting import Painting, StoppedError

SHAPES = batches.card_of("builtin:shapes").model
PROMPT = "a green square on a white background"
#: Names whose options would leak into the next scheduler if anything could.
RICH = ("euler_karras", "dpmpp_2m_sde_karras", "dpmpp_3m", "unipc_karras", "ddim")


def make_job(
    name: str = "ddim",
    *,
    strict: bool = True,
    model: Model | None = None,
    **changes: Any,
) -> Job:
    """Make a job that is painted alone, by an unmodified call."""
    usual = {"steps": 2, "guidance": 2.5, "prompt": PROMPT, "extras": {}}
    changes = {**usual, **changes}
    changes["extras"] = {**changes["extras"], "strict": strict}
    job = batches.make_job(name, **changes)
    return replace(job, model=model or job.model)


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> TorchPainter:
    digests = tmp_path_factory.mktemp("digests") / "digests.json"
    return TorchPainter("cpu", threads=1, digests=digests, widths=Notes())


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sdxl(tmp_path_factory.mktemp("models") / "sdxl")


def failing(error: Exception) -> Callable[[], None]:
    """Make a check that raises `error` from inside the pipeline."""

    def check() -> None:
        raise error

    return check


def paint_one(
    painter: TorchPainter, job: Job, check: Callable[[], None] = go_on
) -> Painting:
    return paint(painter, job, check=check)[0]


def pixels(painter: TorchPainter, job: Job) -> bytes:
    return paint_one(painter, job).image.tobytes()


def tour(names: tuple[str, ...]) -> list[str]:
    """Give a walk in which each name follows each other one, and itself."""
    edges = {name: [*(n for n in names if n != name), name] for name in names}
    walk, stack = [], [names[0]]
    while stack:
        if edges[stack[-1]]:
            stack.append(edges[stack[-1]].pop())
        else:
            walk.append(stack.pop())
    return walk[::-1]


def check_tour(painter: TorchPainter, names: tuple[str, ...]) -> None:
    walk = tour(names)
    assert set(permutations(names, 2)) <= set(pairwise(walk))
    alone = {}
    for name in names:
        job = make_job(name)
        plain = script.paint(
            job.scheduler_class,
            job.scheduler_options,
            prompt=PROMPT,
            steps=2,
            **{k: v for k, v in job.extras.items() if k != "strict"},
        )
        alone[name] = plain.tobytes()
    for position, name in enumerate(walk):
        assert pixels(painter, make_job(name)) == alone[name], (position, name)


@pytest.mark.long
def test_a_job_never_depends_on_the_job_before_it(painter: TorchPainter) -> None:
    check_tour(painter, RICH)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_scheduler_of_the_catalogue_depends_on_the_one_before(
    painter: TorchPainter,
) -> None:
    check_tour(painter, tuple(row.name for row in schedulers.rows("sd")))


@pytest.mark.long
@pytest.mark.parametrize("threads", [1, OWN_THREADS + 1])
def test_one_thread_or_two_is_all_that_strict_changes_on_a_cpu(
    tmp_path: Path, threads: int
) -> None:
    painter = TorchPainter(
        "cpu", threads=threads, digests=tmp_path / "digests.json", widths=Notes()
    )
    seen: set[int] = set()

    def look() -> None:
        seen.add(torch.get_num_threads())

    strict = paint_one(painter, make_job(steps=4), check=look)
    assert seen == {OWN_THREADS}
    seen.clear()
    loose = paint_one(painter, make_job(steps=4, strict=False), check=look)
    assert seen == {threads}
    assert strict.environment.details["threads"] == str(OWN_THREADS)
    assert loose.environment.details["threads"] == str(threads)
    difference = np.asarray(strict.image, int) - np.asarray(loose.image, int)
    assert np.abs(difference).max() <= 1


def test_evaluations_are_counted_and_timed(painter: TorchPainter) -> None:
    painting = paint_one(painter, make_job("heun", steps=4))
    assert painting.evaluations == 7
    assert painting.image.size == (64, 64)
    phases = (painting.encode_s, painting.denoise_s, painting.decode_s)
    assert all(phase > 0 for phase in phases)


def test_only_the_first_image_after_a_load_is_a_warm_up(tmp_path: Path) -> None:
    fresh = TorchPainter(
        "cpu", threads=1, digests=tmp_path / "digests.json", widths=Notes()
    )
    first = paint_one(fresh, make_job())
    second = paint_one(fresh, make_job())
    assert (first.warm_up, second.warm_up) == (True, False)
    assert first.load_s > 0
    assert second.load_s == 0


def test_a_stopped_job_leaves_load_and_warm_up_to_the_next(tmp_path: Path) -> None:
    fresh = TorchPainter(
        "cpu", threads=1, digests=tmp_path / "digests.json", widths=Notes()
    )
    with pytest.raises(StoppedError):
        paint_one(fresh, make_job(), check=failing(StoppedError()))
    painting = paint_one(fresh, make_job())
    assert painting.warm_up
    assert painting.load_s > 0


def test_a_job_that_nobody_wants_any_more_ends_with_its_step(
    painter: TorchPainter,
) -> None:
    steps = 0

    def cancel() -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            basket.unwanted = {long.key}

    long, short = make_job(steps=20), make_job()
    basket = Basket(long, short, check=cancel)
    painter.paint(basket)
    basket.fetch()
    assert basket.withdrawn == [long]
    assert steps == 3 + short.steps
    assert list(basket.paintings) == [short.key]
    alone = script.paint("DDIMScheduler", {}, prompt=PROMPT, steps=2)
    assert basket.paintings[short.key].image.tobytes() == alone.tobytes()


def test_the_negative_prompt_and_guidance_change_the_picture(
    painter: TorchPainter,
) -> None:
    plain = pixels(painter, make_job())
    assert pixels(painter, make_job(negative_prompt="a red circle")) != plain
    assert pixels(painter, make_job(guidance=1.0)) != plain
    assert pixels(painter, make_job(seed=9)) != plain


def test_a_stop_takes_effect_before_the_next_step(painter: TorchPainter) -> None:
    steps = 0

    def stop() -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        paint_one(painter, make_job(steps=20), check=stop)
    assert steps == 3
    alone = script.paint(
        "DDIMScheduler", {}, prompt=PROMPT, steps=2
    )  # nothing of the stopped job is left over
    assert pixels(painter, make_job()) == alone.tobytes()


def test_a_picture_that_is_not_numbers_is_a_failed_job(painter: TorchPainter) -> None:
    options = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    with pytest.raises(NonFiniteError, match="gives NaN or infinity"):
        paint_one(painter, make_job(steps=4, scheduler_options=options))


def test_a_model_whose_files_changed_is_refused(painter: TorchPainter) -> None:
    model = replace(SHAPES, fingerprint="f" * 32)
    with pytest.raises(FingerprintError, match="must have the files that were planned"):
        paint_one(painter, make_job(model=model))


def empty_weights(folder: Path) -> None:
    """Change the network's file in place: the same inode, and the same time."""
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    before = file.stat()
    with file.open("r+b") as stream:
        content = stream.read()
        start = 8 + int.from_bytes(content[:8], "little")
        stream.seek(start)
        stream.write(bytes(len(content) - start))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("strict", [True, False])
def test_no_picture_is_made_with_weights_that_changed_under_it(
    sdxl: Path, tmp_path: Path, strict: bool
) -> None:
    painter = TorchPainter(
        "cpu", threads=1, digests=tmp_path / "digests.json", widths=Notes()
    )
    folder = tmp_path / "sdxl"
    shutil.copytree(sdxl, folder)
    job = make_job(strict=strict, model=describe(str(folder), base_dir=Path()).model)
    made = pixels(painter, job)
    with pytest.raises(ModelError, match="must not change while images are made"):
        paint_one(painter, job, check=lambda: empty_weights(folder))
    with pytest.raises(FingerprintError, match="must have the files that were planned"):
        paint_one(painter, job)
    shutil.rmtree(folder)
    shutil.copytree(sdxl, folder)
    assert pixels(painter, job) == made


def test_a_model_that_is_not_there_is_not_the_jobs_fault(
    painter: TorchPainter, tmp_path: Path
) -> None:
    model = replace(SHAPES, name=str(tmp_path / "gone"), fingerprint="0" * 32)
    with pytest.raises(ModelError):
        paint_one(painter, make_job(model=model))


def test_the_same_files_under_another_name_are_not_loaded_again(
    painter: TorchPainter, tmp_path: Path
) -> None:
    paint_one(painter, make_job())
    model = replace(SHAPES, name=str(tmp_path / "moved"))
    assert paint_one(painter, make_job(model=model)).load_s == 0


class Elsewhere:
    """The places of every model."""

    def __init__(self, *places: Model) -> None:
        self.places = places

    def of(self, _model: Model) -> tuple[Model, ...]:
        return self.places


def painter_with(places: Elsewhere, tmp_path: Path) -> TorchPainter:
    return TorchPainter(
        "cpu",
        threads=1,
        digests=tmp_path / "digests.json",
        widths=Notes(),
        places=places,
    )


@pytest.mark.parametrize("strict", [True, False])
def test_a_model_that_is_gone_is_loaded_from_another_place(
    tmp_path: Path, strict: bool
) -> None:
    gone = replace(SHAPES, name=str(tmp_path / "gone"))
    changed = replace(SHAPES, name=str(tmp_path / "changed"))
    shutil.copytree(BUILTIN_FOLDERS["builtin:shapes"], changed.name)
    index = tmp_path / "changed" / "model_index.json"
    index.write_text(index.read_text() + " ")
    painter = painter_with(Elsewhere(changed, gone, SHAPES), tmp_path)
    job = make_job(model=gone, strict=strict)
    painting = paint_one(painter, job)
    assert painting.place == SHAPES
    assert painting.image.tobytes() == pixels(painter, make_job(strict=strict))


def test_the_jobs_own_place_serves_before_others(sdxl: Path, tmp_path: Path) -> None:
    own = describe(str(sdxl), base_dir=Path()).model
    shutil.copytree(sdxl, tmp_path / "copy")
    copy = replace(own, name=str(tmp_path / "copy"))
    painter = painter_with(Elsewhere(copy, own), tmp_path)
    assert paint_one(painter, make_job(model=own)).place == own
    # What is resident serves all places.
    painting = paint_one(painter, make_job(model=copy))
    assert (painting.place, painting.load_s) == (own, 0)


def test_a_job_of_a_former_fingerprint_shares_the_pipeline_of_the_present_one(
    sdxl: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sdxl"
    shutil.copytree(sdxl, folder)
    former = describe(str(folder), base_dir=Path()).model
    (folder / "tokenizer" / "chat_template.jinja").write_text("{{ messages }}")
    model = describe(str(folder), base_dir=Path()).model
    assert model.fingerprint != former.fingerprint
    painter = painter_with(Elsewhere(), tmp_path)
    painting = paint_one(painter, make_job(model=former))
    again = paint_one(painter, make_job(model=model))
    assert again.image.tobytes() == painting.image.tobytes()
    assert (painting.load_s > 0, again.load_s) == (True, 0)


def test_all_places_are_named_where_none_serves(tmp_path: Path) -> None:
    one, two = (replace(SHAPES, name=str(tmp_path / name)) for name in ("one", "two"))
    painter = painter_with(Elsewhere(two, one), tmp_path)
    with pytest.raises(ModelError, match=r"none of 2: \(1\) .*/one; .*\(2\) .*/two; "):
        paint_one(painter, make_job(model=one))


def change_vae(folder: Path) -> None:
    file = folder / "vae" / "config.json"
    config = json.loads(file.read_text()) | {"latent_channels": 8}
    file.write_text(json.dumps(config))


def change_text_encoder(folder: Path) -> None:
    file = folder / "text_encoder" / "config.json"
    config = json.loads(file.read_text()) | {"intermediate_size": 64}
    file.write_text(json.dumps(config))


def truncate_vae(folder: Path) -> None:
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    os.truncate(file, file.stat().st_size // 2)


@pytest.mark.parametrize("damage", [change_vae, change_text_encoder, truncate_vae])
def test_a_model_that_diffusers_cannot_load_is_not_the_jobs_fault(
    painter: TorchPainter,
    sdxl: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
) -> None:
    folder = tmp_path / "sdxl"
    shutil.copytree(sdxl, folder)
    damage(folder)
    model = describe(str(folder), base_dir=Path()).model
    with pytest.raises(ModelError, match="must load with diffusers"):
        paint_one(painter, make_job(model=model))


def test_a_model_whose_loading_is_not_implemented_is_not_blamed_on_the_device(
    painter: TorchPainter, sdxl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_args: Any, **_kwargs: Any) -> Any:
        msg = "Cannot copy out of meta tensor; no data!"
        raise NotImplementedError(msg)

    monkeypatch.setattr(diffusers.DiffusionPipeline, "from_pretrained", load)
    model = describe(str(sdxl), base_dir=Path()).model
    with pytest.raises(ModelError, match=r"must load with diffusers, .* meta tensor"):
        paint_one(painter, make_job(model=model))


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (torch.OutOfMemoryError("full"), UnfitError),
        (torch.AcceleratorError("lost"), DeviceError),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), UnfitError),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"), DeviceError),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), DeviceError),
        (RuntimeError("other"), RuntimeError),
    ],
)
def test_after_an_error_of_the_device_the_pipeline_is_as_it_was(
    painter: TorchPainter, raised: Exception, told: type[Exception]
) -> None:
    usual = pixels(painter, make_job())
    with pytest.raises(told) as caught:
        paint_one(painter, make_job(), check=failing(raised))
    if told is UnfitError:
        assert str(caught.value).startswith("one image must fit into memory beside")
    else:
        assert str(raised) in str(caught.value)
    assert pixels(painter, make_job()) == usual


def test_a_job_that_cannot_be_painted_leaves_the_model_where_it_is(
    painter: TorchPainter,
) -> None:
    paint_one(painter, make_job())
    both = {"use_karras_sigmas": True, "use_beta_sigmas": True}
    with pytest.raises(JobError, match="Only one of"):
        paint_one(painter, make_job("euler", scheduler_options=both))
    assert paint_one(painter, make_job()).load_s == 0


def test_noise_of_a_gpu_is_not_made_on_a_cpu(painter: TorchPainter) -> None:
    with pytest.raises(UnfitError, match="no CUDA device for `generator: cuda`"):
        paint_one(painter, make_job(generator="cuda"))


def test_a_pipeline_that_calls_nobody_back_is_stopped_and_timed(
    painter: TorchPainter, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = diffusers.StableDiffusionPipeline
    whole = kind.__call__
    usual = pixels(painter, make_job())

    def call(self: Any, prompt: str, guidance_scale: float, **others: Any) -> Any:
        return whole(self, prompt, guidance_scale=guidance_scale, **others)

    monkeypatch.setattr(kind, "__call__", call)
    painting = paint_one(painter, make_job())
    assert painting.image.tobytes() == usual
    assert painting.evaluations == 2
    phases = (painting.encode_s, painting.denoise_s, painting.decode_s)
    assert all(phase > 0 for phase in phases)
    with pytest.raises(StoppedError):
        paint_one(painter, make_job(), check=failing(StoppedError()))
    with pytest.raises(JobError, match="negative_prompt must be neutral"):
        paint_one(painter, make_job(negative_prompt="a red circle"))


def test_a_pipeline_without_guidance_paints_only_jobs_that_have_none(
    painter: TorchPainter, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = diffusers.StableDiffusionPipeline
    whole = kind.__call__

    def call(self: Any, prompt: str, **others: Any) -> Any:
        assert "guidance_scale" not in others
        return whole(self, prompt, guidance_scale=1.0, **others)

    monkeypatch.setattr(kind, "__call__", call)
    assert paint_one(painter, make_job(guidance=1.0)).evaluations == 2
    with pytest.raises(JobError, match="guidance_scale must be neutral"):
        paint_one(painter, make_job(guidance=3.0))


def test_half_precision_and_another_size_work(painter: TorchPainter) -> None:
    job = make_job(dtype="bfloat16", width=72, height=56)
    painting = paint_one(painter, job)
    assert painting.image.size == (72, 56)


def test_the_environment_names_versions_and_threads(painter: TorchPainter) -> None:
    environment = paint_one(painter, make_job(strict=False)).environment
    assert environment.details["torch"].startswith("2.")
    assert environment.details["threads"] == "1"
    assert environment.gpu.startswith("CPU")


def plain_sdxl(folder: Path, job: Job, **call: Any) -> bytes:
    """Make one image as a plain diffusers script does."""
    torch.set_num_threads(script.THREADS)
    pipe, config = script.load(folder)
    made_by = getattr(diffusers, job.scheduler_class)
    pipe.scheduler = made_by.from_config(config, **job.scheduler_options)
    image = pipe(
        job.prompt,
        num_inference_steps=job.steps,
        guidance_scale=job.guidance,
        generator=torch.Generator("cpu").manual_seed(job.seed),
        **call,
    ).images[0]
    return bytes(image.tobytes())


@pytest.mark.parametrize("name", ["ddim", "euler", "dpmpp_2m"])
def test_sdxl_without_a_negative_prompt_is_that_of_a_plain_script(
    painter: TorchPainter, sdxl: Path, name: str
) -> None:
    model = describe(str(sdxl), base_dir=Path()).model
    assert model.family == "sdxl"
    job = make_job(name, steps=3, model=model)
    without = pixels(painter, job)
    assert without == plain_sdxl(sdxl, job)
    # An empty text is something else to SDXL than none.
    assert without != plain_sdxl(sdxl, job, negative_prompt="")
    job = replace(job, negative_prompt="red")
    assert pixels(painter, job) == plain_sdxl(sdxl, job, negative_prompt="red")


@pytest.mark.parametrize("strict", [True, False])
def test_a_model_that_was_saved_without_a_part_is_painted_without_it(
    painter: TorchPainter, tmp_path: Path, *, strict: bool
) -> None:
    folder = make_sd3(tmp_path / "sd3")
    index = json.loads((folder / "model_index.json").read_text())
    for name in ("text_encoder_3", "tokenizer_3"):
        index[name] = [None, None]
        shutil.rmtree(folder / name)
    (folder / "model_index.json").write_text(json.dumps(index))
    model = batches.card_of(str(folder)).model
    made = paint_one(painter, make_job("flow_euler", model=model, strict=strict))
    assert made.evaluations == 2
