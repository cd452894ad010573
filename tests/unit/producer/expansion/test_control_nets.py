"""ControlNets of a sweep: which jobs they make, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from producer.expansion.expand import Expansion, expand
from producer.models.cards import ModelCard
from producer.spec.sweepfile import read_spec
from storage.catalogue.pipeline_families import Guidance
from storage.errors import SpecError
from storage.files.inputs import digest_of
from storage.models.located import in_folder
from tests.unit import cards
from tests.unit.cards import CARD, describe_fake, write_spec
from tests.unit.lora_files import write_tensors

UNET = {"cross_attention_dim": 16, "block_out_channels": [16, 32], "in_channels": 4}


def write_net(folder: Path, *, weights: int = 1, **config: Any) -> None:
    folder.mkdir()
    written = {"_class_name": "ControlNetModel", **UNET, **config}
    (folder / "config.json").write_text(json.dumps(written))
    file = folder / "diffusion_pytorch_model.safetensors"
    write_tensors(file, {"a": np.full(2, weights)})


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a model's config, ControlNets, and control images."""
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet/config.json").write_text(json.dumps(UNET))
    write_net(tmp_path / "canny")
    write_net(tmp_path / "copy")
    write_net(tmp_path / "depth", weights=2)
    write_net(tmp_path / "xl", cross_attention_dim=2048)
    write_net(tmp_path / "union", _class_name="ControlNetUnionModel")
    write_net(tmp_path / "pickle")
    weights = tmp_path / "pickle/diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    (tmp_path / "bare").mkdir()
    ramp = Image.linear_gradient("L").convert("RGB")
    ramp.resize((64, 64)).save(tmp_path / "edges.png")
    ramp.resize((64, 64)).rotate(90).save(tmp_path / "lines.png")
    ramp.resize((80, 48)).save(tmp_path / "wide.png")
    located = in_folder("here", tmp_path, {}, ("unet/config.json",))
    sd = replace(CARD, located=located, effects=Guidance())
    known: dict[str, ModelCard] = {
        "here": replace(
            sd, model=replace(CARD.model, pipeline="StableDiffusionPipeline")
        ),
        "sd3": replace(sd, pipeline_class="StableDiffusion3Pipeline"),
        "sana": replace(sd, pipeline_class="SanaPipeline"),
        "other": replace(sd, model=replace(CARD.model, fingerprint="2" * 32)),
    }
    monkeypatch.setattr(cards, "CARDS", known)


def expand_text(folder: Path, rest: str, *, model: str = "here") -> Expansion:
    head = f"name: s\nbase: {{model: {model}, prompt: a cat, scheduler: ddim, steps: 10"
    return expand(read_spec(write_spec(folder, f"{head}{rest}\n")), describe_fake)


def rows_of(folder: Path, rest: str) -> list[list[list[Any]]]:
    expansion = expand_text(folder, rest)
    jobs = [one.job for one in expansion.jobs()]
    assert expansion.count == len(jobs) == len({job.key for job in jobs})
    return [job.extras.get("controlnet", []) for job in jobs]


def refused(folder: Path, rest: str, *, model: str = "here") -> str:
    with pytest.raises(SpecError) as caught:
        expand_text(folder, rest, model=model)
    return str(caught.value)


def digest(folder: Path, name: str) -> str:
    return digest_of(Image.open(folder / name))


def test_a_mapping_and_flat_parameters_mean_the_same(tmp_path: Path) -> None:
    [flat] = rows_of(
        tmp_path,
        ", controlnet: ./canny, control_image: edges.png, control_scale: 0.5,"
        " control_end: 0.8}",
    )
    [mapping] = rows_of(
        tmp_path,
        ", controlnet: {model: ./copy, image: edges.png, scale: 0.5, end: 0.8}}",
    )
    assert flat == mapping
    [[mark, image, *numbers]] = flat
    assert image == digest(tmp_path, "edges.png")
    assert numbers == [0.5, 0.0, 0.8]
    assert len(mark) == 32


def test_each_parameter_is_an_axis(tmp_path: Path) -> None:
    rows = rows_of(
        tmp_path,
        "}\naxes:\n  controlnet: [null, ./canny, [./canny, {model: ./depth, scale: 2}]]"
        "\n  control_image: [edges.png, lines.png]\n  control_scale: [0.4, 0.8]",
    )
    scales = [[row[2] for row in some] for some in rows]
    assert scales == [[], *2 * [[0.4], [0.8]], *2 * [[0.4, 0.8], [0.8, 1.6]]]


def test_cells_are_labelled_and_those_without_a_net_are_one(tmp_path: Path) -> None:
    expansion = expand_text(
        tmp_path,
        "}\naxes:\n  controlnet: [null, {model: ./canny, image: edges.png, scale: 2}]\n"
        "  control_scale: [0.5, 1]",
    )
    jobs = list(expansion.jobs())
    labels = [one.cell["controlnet"] for one in jobs]
    assert labels == ["none", *2 * ["canny@2 (edges.png)"]]
    said = "control_scale has no effect without a ControlNet: 2 values make one job"
    assert said in " ".join(expansion.duplicates)
    assert expansion.digest  # a stored sweep has it
    assert [one.evaluations for one in jobs] == [10, 20, 20]
    assert [one.job.parts[:1] != () for one in jobs] == [False, True, True]


def test_two_ways_to_write_a_scale_are_one_job(tmp_path: Path) -> None:
    expansion = expand_text(
        tmp_path,
        ", control_image: edges.png}\naxes: {controlnet: [./canny, {model: ./canny,"
        " scale: 0.5}], control_scale: [0.5, 1]}",
    )
    assert expansion.count == 3
    said = " ".join(expansion.duplicates)
    assert "leaves the same ControlNets, images and scales: 2 values" in said
    assert expansion.digest


def test_jobs_of_one_net_share_a_batch_and_others_do_not(tmp_path: Path) -> None:
    expansion = expand_text(
        tmp_path,
        ", control_image: edges.png}\naxes: {controlnet: [null, ./canny, ./depth],"
        " control_scale: [0.5, 1]}",
    )
    assert len({one.job.group for one in expansion.jobs()}) == 3


def test_all_images_are_copied_and_the_nets_belong_to_what_is_meant(
    tmp_path: Path,
) -> None:
    expansion = expand_text(
        tmp_path,
        ", control_image: edges.png, image: lines.png}\naxes: {controlnet: [./canny,"
        " {model: ./depth, image: lines.png}]}",
    )
    names = {image.label for image in expansion.inputs}
    assert names == {"edges.png", "lines.png"}
    marks = {net.part.fingerprint for net in expansion.control_nets}
    assert len(marks) == 2
    assert marks <= set(expansion.what_is_meant)


def test_resize_serves_a_control_image_of_another_size(tmp_path: Path) -> None:
    said = refused(tmp_path, ", controlnet: ./canny, control_image: wide.png}")
    assert "must have the 64x64 pixels of the job, got 80x48 in wide.png" in said
    text = ", controlnet: ./canny, control_image: wide.png, resize: crop}"
    [planned] = expand_text(tmp_path, text).jobs()
    assert planned.job.extras["resize"] == "crop"


def test_resize_may_stand_beside_an_axis_with_and_without_a_net(tmp_path: Path) -> None:
    text = (
        ", control_image: wide.png, resize: crop}\naxes: {controlnet: [null, ./canny]}"
    )
    jobs = [one.job for one in expand_text(tmp_path, text).jobs()]
    assert [job.parameter("resize") for job in jobs] == ["", "crop"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("./xl", "xl has cross_attention_dim 2048, where the model's unet has 16"),
        ("./union", "must be a ControlNetModel, but union is a ControlNetUnionModel"),
        ("./pickle", "must have safetensors weights"),
        (
            "./bare",
            "must have a config.json at the root of its folder, but",
        ),
        ("./gone", "must be a folder as `save_pretrained` of diffusers writes it"),
        ("canny", "a ControlNet is a folder that starts with / or ./ or ~"),
        ("./c.safetensors", "`ControlNetModel.from_single_file(FILE)"),
        ("{image: edges.png}", "a ControlNet must have a model"),
        (
            "{model: ./canny, scale: -1}",
            "scale of a ControlNet must be a number",
        ),
        ("{model: ./canny, start: 0.5, end: 0.5}", "must be less than control_end"),
        ("{model: ./canny, image: gone.png}", "control_image must be an image file"),
    ],
)
def test_a_wrong_net_is_refused_with_a_way_out(
    tmp_path: Path, value: str, said: str
) -> None:
    found = refused(tmp_path, f", control_image: edges.png, controlnet: {value}}}")
    assert said in found
    assert "; " in found


def test_a_net_without_an_image_and_an_image_without_a_net_are_refused(
    tmp_path: Path,
) -> None:
    said = refused(tmp_path, ", controlnet: ./canny}")
    assert "control_image must name what canny follows, got none; add" in said
    said = refused(tmp_path, ", control_image: edges.png, control_scale: 0.5}")
    assert "control_image must stand beside a ControlNet, got edges.png" in said
    assert "control_scale must stand beside a ControlNet, got 0.5 without one" in said


@pytest.mark.parametrize("value", ["./union", "[./canny, ./pickle]"])
def test_a_wrong_net_is_told_of_without_the_image_that_it_lacks(
    tmp_path: Path, value: str
) -> None:
    said = refused(tmp_path, f", controlnet: {value}}}")
    assert len(said.splitlines()) == 1
    assert "control_image" not in said


def test_a_model_from_which_all_nets_are_excluded_has_no_use_for_an_image(
    tmp_path: Path,
) -> None:
    text = (
        "name: s\nbase: {prompt: a cat, control_image: edges.png}\n"
        "axes: {model: [here, other], controlnet: [null, ./canny]}\n"
        "exclude: [{model: other, controlnet: ./canny}]\n"
    )
    expansion = expand(read_spec(write_spec(tmp_path, text)), describe_fake)
    assert [one.job.part_fingerprints != () for one in expansion.jobs()] == [
        False,
        True,
        False,
    ]


def test_pipelines_that_take_none_say_why(tmp_path: Path) -> None:
    text = ", controlnet: ./canny, control_image: edges.png}"
    said = refused(tmp_path, text, model="sd3")
    assert "from torch's global generator there, so that no image" in said
    said = refused(tmp_path, text, model="sana")
    assert "no ControlNet was tried with it; those that take one are" in said


def test_what_the_pipeline_lacks_is_refused_beside_a_net(tmp_path: Path) -> None:
    text = (
        ", controlnet: ./canny, control_image: edges.png, call.guidance_rescale: 0.5}"
    )
    said = refused(tmp_path, text)
    assert "since StableDiffusionControlNetPipeline has no such input, got 0.5" in said


def test_flax_refuses_control_nets(tmp_path: Path) -> None:
    text = ", controlnet: ./canny, control_image: edges.png, backend: flax}"
    assert "controlnet must be left out for `backend: flax`" in refused(tmp_path, text)


def test_a_sweep_without_control_nets_has_the_keys_that_it_had(tmp_path: Path) -> None:
    [planned] = expand_text(tmp_path, "}").jobs()
    assert planned.job.extras == {}


def test_the_command_line_names_nets_and_images(tmp_path: Path) -> None:
    file = write_spec(tmp_path, "name: s\nbase: {model: here, prompt: a cat}\n")
    spec = read_spec(
        file,
        sets=["base.controlnet=./canny"],
        axes=["control_image=edges.png,lines.png", "control_scale=0.5,1"],
    )
    assert expand(spec, describe_fake).count == 4
