"""Single files make the images of diffusers' own `from_single_file`, bit for bit."""

import gc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import diffusers
import pytest
import torch
from PIL import Image, ImageChops
from safetensors.torch import load_file, save_file

from storage.errors import ModelError
from storage.job import Job
from tests.batches import card_of, make_job
from tests.matrices import sample, shorten
from tests.single_files import (
    State,
    load_part,
    make_wide_sdxl,
    without_weights,
    write_network,
    write_sd,
    write_sd2,
    write_sd3,
    write_sdxl,
)
from tests.tiny_families import make_lumina2
from tests.tiny_kinds import KINDS, allow_small_sizes
from tests.tiny_packed import make_chroma
from tests.tiny_pipelines import make_flux, make_sd, make_sd3
from tests.transformer_files import (
    AURA_FLOW,
    CHROMA,
    FLUX,
    FLUX2,
    KREA2,
    LUMINA2,
    SANA,
    Z_IMAGE,
)
from tests.written_scripts import run_script
from workers.engine.alone import paint_alone
from workers.engine.environment import describe_environment
from workers.engine.pipelines import Pipelines

#: What diffusers and transformers say of small models that stand in for large ones.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("one_thread"),
]

WHOLE = {
    "Stable Diffusion 1": (make_sd, write_sd),
    "Stable Diffusion 2": (make_sd, write_sd2),
    "Stable Diffusion XL": (make_wide_sdxl, write_sdxl),
}
make_sd35 = partial(
    make_sd3, transformer={"qk_norm": "rms_norm", "dual_attention_layers": (0,)}
)
SMALL = {
    "Stable Diffusion 3": (make_sd3, write_sd3),
    "Stable Diffusion 3.5": (make_sd35, write_sd3),
    "Qwen-Image": (KINDS["QwenImagePipeline"], write_network),
    "FLUX.2": (KINDS["Flux2Pipeline"], FLUX2),
    "FLUX.2-klein": (KINDS["Flux2KleinPipeline"], FLUX2),
    "Z-Image": (KINDS["ZImagePipeline"], Z_IMAGE),
    "AuraFlow": (KINDS["AuraFlowPipeline"], AURA_FLOW),
    "Sana": (KINDS["SanaPipeline"], SANA),
    "Krea 2": (KINDS["Krea2Pipeline"], KREA2),
    "HiDream": (KINDS["HiDreamImagePipeline"], write_network),
    "Ernie": (KINDS["ErnieImagePipeline"], write_network),
}
REAL_FLUX = {
    "num_attention_heads": 24,
    "attention_head_dim": 128,
    "axes_dims_rope": (16, 56, 56),
}
REAL_LUMINA2 = {
    "hidden_size": 2304,
    "num_attention_heads": 24,
    "num_kv_heads": 8,
    "axes_dim_rope": (32, 32, 32),
}
#: diffusers reads files of these in their real width only.
WIDE = {
    "FLUX.1": (partial(make_flux, **REAL_FLUX, embeds_guidance=True), FLUX),
    "FLUX.1-schnell": (partial(make_flux, **REAL_FLUX, embeds_guidance=False), FLUX),
    "Chroma": (partial(make_chroma, **REAL_FLUX), CHROMA),
    "Lumina 2": (partial(make_lumina2, **REAL_LUMINA2), LUMINA2),
}
TRANSFORMERS = SMALL | WIDE
TRIED = ("Stable Diffusion 3", "Qwen-Image", "FLUX.2", "Z-Image", "Krea 2")
Maker = Callable[[Path], Path]
Writer = Callable[[Path, Path], Path]


def paint(job: Job, folder: Path) -> Image.Image:
    """Make an image as a strict job of a worker is made."""
    environment = describe_environment("cpu", torch.get_num_threads())
    gc.collect()  # networks may be large here
    with Pipelines("cpu", digests=folder / "digests.json").lend(job) as resident:
        return paint_alone(resident, job, environment).image


def differ_by(one: Image.Image, other: Image.Image) -> int:
    """Return the largest difference of two images, of 255.

    Equal weights elsewhere in memory seem to give other last bits on a CPU.
    """
    return max(high for _, high in ImageChops.difference(one, other).getextrema())


def assert_equal_weights(job: Job, weights: State, folder: Path) -> None:
    """Assert that a job's transformer has these weights, bit for bit."""
    with Pipelines("cpu", digests=folder / "digests.json").lend(job) as resident:
        loaded = resident.starter.pipe.transformer.state_dict()
    assert all(torch.equal(loaded[n], each.float()) for n, each in weights.items())


def named(file: Path, config: Path) -> str:
    return f"{file}?config={config}"


@pytest.mark.parametrize("kind", shorten(WHOLE, ["Stable Diffusion 1"]))
def test_a_whole_file_makes_the_image_of_from_single_file(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, write = WHOLE[kind]
    folder = make(tmp_path / "model")
    in_folder = paint(make_job("ddim", model=str(folder)), tmp_path)
    file = write(folder, tmp_path / "x.safetensors")
    job = make_job("ddim", model=named(file, without_weights(folder)))
    made = paint(job, tmp_path)
    pipeline = getattr(diffusers, card_of(job.model.name).pipeline_class)
    plain = pipeline.from_single_file(
        str(file), config=str(folder), dtype=torch.float32, local_files_only=True
    )
    plain.scheduler = diffusers.DDIMScheduler.from_config(
        plain.scheduler.config, **job.scheduler_options
    )
    image = plain(
        job.prompt,
        width=64,
        height=64,
        num_inference_steps=job.steps,
        guidance_scale=job.guidance,
        generator=torch.Generator().manual_seed(job.seed),
    ).images[0]
    assert made.tobytes() == image.tobytes()
    assert differ_by(made, in_folder) <= 1
    script = run_script(job, tmp_path, monkeypatch)
    assert made.tobytes() == script.tobytes()


@pytest.mark.parametrize("kind", sample(SMALL, TRIED, quick=["Qwen-Image"]))
def test_a_file_of_a_transformer_makes_the_image_of_its_folder(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_small_sizes(monkeypatch)
    make, write = SMALL[kind]
    folder = make(tmp_path / "model")
    check_file(folder, write, monkeypatch, steps=2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", WIDE)
def test_a_file_of_the_real_width_makes_the_image_of_its_folder(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, write = WIDE[kind]
    folder = make(tmp_path / "model")
    [file] = (folder / "transformer").glob("*.safetensors")
    halved = {name: each.bfloat16() for name, each in load_file(file).items()}
    save_file(halved, file)
    check_file(folder, write, monkeypatch, steps=1)


def check_file(
    folder: Path, write: Writer, patch: pytest.MonkeyPatch, *, steps: int
) -> None:
    """Compare a file of a folder's transformer with the folder and with the script."""
    beside = folder.parent
    own = card_of(str(folder)).scheduler_config["_class_name"]
    in_folder = paint(make_job(own, model=str(folder), steps=steps), beside)
    file = write(folder, beside / "x.safetensors")
    weights = load_part(folder, "transformer")
    without_weights(folder, "transformer")
    job = make_job(own, model=named(file, folder), steps=steps)
    assert_equal_weights(job, weights, beside)
    del weights
    made = paint(job, beside)
    assert differ_by(made, in_folder) <= 1
    gc.collect()
    script = run_script(job, beside, patch)
    assert made.tobytes() == script.tobytes()


def test_a_file_without_its_vae_takes_it_from_the_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_sd(tmp_path / "model")
    file = write_sd(folder, tmp_path / "x.safetensors")
    job = make_job(model=named(file, folder))
    state = load_file(file)
    kept = {n: v for n, v in state.items() if not n.startswith("first_stage_model.")}
    less = tmp_path / "less.safetensors"
    save_file(kept, less)
    without_weights(folder, "unet", "text_encoder")
    other = make_job(model=named(less, folder))
    assert other.key != job.key
    made = paint(other, tmp_path)
    assert made.tobytes() == paint(job, tmp_path).tobytes()
    script = run_script(other, tmp_path, monkeypatch)
    assert made.tobytes() == script.tobytes()


def test_a_file_that_predicts_v_makes_the_image_of_a_scheduler_that_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_wide_sdxl(tmp_path / "model")
    marks = {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    plain = write_sdxl(folder, tmp_path / "eps.safetensors")
    marked = write_sdxl(folder, tmp_path / "v.safetensors", **marks)
    job = make_job("EulerDiscreteScheduler", model=named(marked, folder))
    made = paint(job, tmp_path)
    script = run_script(job, tmp_path, monkeypatch)
    assert made.tobytes() == script.tobytes()
    other = make_job("EulerDiscreteScheduler", model=named(plain, folder))
    told = {
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
    }
    asked = replace(other, scheduler_options=told)
    assert made.tobytes() == paint(asked, tmp_path).tobytes()
    assert made.tobytes() != paint(other, tmp_path).tobytes()


def test_a_file_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    folder = make_sd(tmp_path / "model")
    file = write_sd(folder, tmp_path / "x.safetensors")
    state = load_file(file)
    state.pop("model.diffusion_model.middle_block.0.in_layers.2.weight")
    save_file(state, file)
    job = make_job(model=named(file, folder))
    with pytest.raises(ModelError, match="a model must load with diffusers"):
        paint(job, tmp_path)
