"""Scripts of `show --script`, run: their pixels are those of strict images."""

import os
import runpy
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from producer.reproduction.script import write_script
from storage.catalogue.pipeline_families import FAMILIES
from storage.files.inputs import InputFolder
from storage.job import Job, Model
from storage.jobs.records import Made, Record
from storage.models.control_nets import describe_control_net
from storage.models.fingerprint import Digests
from storage.settings import read_settings
from tests import tiny_families
from tests.batches import card_of, make_job
from tests.image_scripts import make_image
from tests.matrices import sample, shorten
from tests.tiny_control_nets import make_control_net
from tests.tiny_pipelines import make_flux, make_sd, make_sd3, make_sdxl
from workers.engine.alone import paint_alone
from workers.engine.environment import describe_environment
from workers.engine.pipelines import Pipelines

#: Calls of diffusers' pipelines about themselves.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.usefixtures("one_thread"),
]

MAKERS: Mapping[str, Callable[[Path], Path]] = {
    "StableDiffusionPipeline": make_sd,
    "StableDiffusionXLPipeline": make_sdxl,
    "StableDiffusion3Pipeline": make_sd3,
    "FluxPipeline": partial(make_flux, embeds_guidance=False),
    "FluxPipeline with guidance": partial(make_flux, embeds_guidance=True),
    **{
        name: tiny_families.MAKERS[name]
        for name in (
            "LatentConsistencyModelPipeline",
            "PixArtAlphaPipeline",
            "PixArtSigmaPipeline",
            "HunyuanImagePipeline",
            "QwenImagePipeline",
            "ChromaPipeline",
        )
    },
}
#: Pipelines that take latents in the shape of noise, and that take packed ones.
DRAWING: Mapping[str, str] = {
    "StableDiffusionXLPipeline": "stable_diffusion_xl.pipeline_stable_diffusion_xl",
    "FluxPipeline": "flux.pipeline_flux",
}
#: A CPU is slow at half precision.
SMALL: Mapping[str, Any] = {"width": 32, "height": 32, "steps": 2}
#: Of the demo model: names of the catalogue, each with what else a job sets.
CASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "plain": ("ddim", {}),
    "karras": ("dpmpp_2m_karras", {"negative_prompt": "a blue square"}),
    "noise of its own": ("dpmpp_sde", {"seed": 3}),
    "noise of the generator": ("euler_a", {"seed": 2**40 + 7}),
    "eta": ("ddim_eta", {}),
    "two calls a step": ("heun", {"guidance": 1.0}),
    "own options": (
        "ddim",
        {"scheduler_options": {"timestep_spacing": "trailing"}},
    ),
    "clip skip": ("unipc", {"extras": {"clip_skip": 1}}),
    "an input of the pipeline": ("ddim", {"extras": {"call.guidance_rescale": 0.7}}),
    "another size": ("pndm", {"width": 96, "height": 64}),
    "half": ("lms", {"dtype": "bfloat16", **SMALL}),
    "noise of NumPy": (
        "euler_a",
        {"generator": "numpy", "dtype": "float16", **SMALL},
    ),
    "odd letters": ("euler", {"prompt": 'say "no" \\ it\'s\n"""🐈</script>'}),
}


@cache
def pipelines() -> Pipelines:
    folder = Path(os.environ["NIGHTSWEEP_HOME"])
    return Pipelines("cpu", digests=folder / "digests.json")


def paint(job: Job) -> Image.Image:
    """Make an image as a strict job of a worker is made."""
    environment = describe_environment("cpu", torch.get_num_threads())
    with pipelines().lend(job) as resident:
        return paint_alone(resident, job, environment).image


def run(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Image.Image:
    """Run a script in a folder, and open the one image that it saves."""
    file = folder / "script.py"
    file.write_text(script, encoding="utf-8")
    monkeypatch.chdir(folder)
    runpy.run_path(str(file), run_name="__main__")
    (saved,) = folder.glob("*.png")
    with Image.open(saved) as image:
        image.load()
    return image


def make_record(job: Job) -> Record:
    details = describe_environment("cpu", torch.get_num_threads()).details
    made = Made(
        path="",
        pixel_sha256="",
        engine="plain",
        batch_width=1,
        slot=0,
        decode_dtype="float32",
        gpu="CPU",
        details=details,
    )
    return Record(
        key=job.key,
        job=job,
        places=(job.model,),
        scheduler="",
        made=made,
    )


@pytest.mark.parametrize("case", shorten(CASES, ("plain", "noise of its own", "half")))
def test_a_script_makes_the_strict_image_of_the_demo_model(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, changes = CASES[case]
    job = make_job(name, **changes)
    made = run(write_script(make_record(job)), tmp_path, monkeypatch)
    assert made.size == (job.width, job.height)
    assert made.tobytes() == paint(job).tobytes()


@pytest.mark.parametrize("maker", shorten(MAKERS, DRAWING))
def test_a_script_makes_the_strict_image_of_each_family(
    maker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(MAKERS[maker](tmp_path / "it's a model"))
    family = FAMILIES[maker.partition(" ")[0]]
    own = card_of(model).scheduler_config["_class_name"]
    is_sd = family.name in ("sd", "sdxl")
    extras = {"eta": 0.5} if is_sd else {}
    if "clip_skip" in family.inputs:
        extras["clip_skip"] = 1
    job = make_job(
        "ddim" if is_sd else own,
        model=model,
        extras=extras,
        guidance=2.3 if family.guidance else 1.0,
        negative_prompt="red" if "negative_prompt" in family.inputs else "",
    )
    made = run(write_script(make_record(job)), tmp_path, monkeypatch)
    assert made.tobytes() == paint(job).tobytes()


@pytest.mark.parametrize(("maker", "module"), list(DRAWING.items()))
def test_a_script_makes_the_strict_image_with_the_noise_of_numpy(
    maker: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(MAKERS[maker](tmp_path / "model"))
    own = card_of(model).scheduler_config["_class_name"]
    job = make_job(own, model=model, guidance=1.0, generator="numpy")
    of_pipeline = import_module(f"diffusers.pipelines.{module}")
    # So that it is put back: the script of Flux replaces it.
    monkeypatch.setattr(of_pipeline, "randn_tensor", of_pipeline.randn_tensor)
    script = write_script(make_record(job))
    made = run(script, tmp_path, monkeypatch)
    monkeypatch.undo()
    assert made.tobytes() == paint(job).tobytes()
    assert made.tobytes() != paint(replace(job, generator="cpu")).tobytes()


CONTROLLED = [
    ("StableDiffusionPipeline", (0.7,), {}),
    ("StableDiffusionPipeline", (0.7, 1.0), {"strength": 0.6, "resize": "crop"}),
    ("StableDiffusionXLPipeline", (0.7, 1.0), {}),
    ("FluxPipeline", (0.7,), {"strength": 0.6}),
]


@pytest.mark.parametrize(
    ("maker", "scales", "extras"), sample(CONTROLLED, CONTROLLED[1:2])
)
def test_a_script_has_the_control_nets_of_the_job(
    maker: str,
    scales: tuple[float, ...],
    extras: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = MAKERS[maker](tmp_path / "model")
    own = card_of(str(model)).scheduler_config["_class_name"]
    inputs = InputFolder(read_settings().images)
    size = (80, 48) if "resize" in extras else (64, 64)
    rows, parts = [], []
    for number, scale in enumerate(scales):
        net = make_control_net(model, tmp_path / f"net {number}", seed=number)
        place = Model(fingerprint="", name=str(net))
        parts.append(describe_control_net(place, Digests())[0])
        digest = inputs.save(make_image(number, size))
        rows.append([parts[-1].fingerprint, digest, scale, 0.0, 0.8])
    if "strength" in extras:
        extras = {**extras, "image": inputs.save(make_image(5, size))}
    extras = {**extras, "controlnet": rows}
    given = {"model": str(model), "steps": 4, "dtype": "bfloat16"}
    job = replace(make_job(own, extras=extras, **given), parts=tuple(parts))
    made = run(write_script(make_record(job)), tmp_path, monkeypatch)
    assert made.tobytes() == paint(job).tobytes()


@pytest.mark.parametrize("how", shorten(["", "crop", "pad", "stretch"], ["crop"]))
@pytest.mark.parametrize("maker", ["StableDiffusionPipeline", "FluxPipeline"])
def test_a_script_begins_with_the_image_that_the_job_began_with(
    maker: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(MAKERS[maker](tmp_path / "model"))
    own = card_of(model).scheduler_config["_class_name"]
    picture = make_image(1, (80, 48) if how else (64, 64))
    digest = InputFolder(read_settings().images).save(picture)
    extras = {"image": digest, "strength": 0.6, "resize": how}
    job = make_job(own, model=model, steps=5, extras=extras)
    made = run(write_script(make_record(job)), tmp_path, monkeypatch)
    assert made.tobytes() == paint(job).tobytes()
    assert made.tobytes() != paint(replace(job, extras={})).tobytes()
