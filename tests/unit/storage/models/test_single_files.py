"""Single-file checkpoints, by their headers alone."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from producer.models.cards import ModelCard, describe
from storage.errors import ModelError
from storage.models.fingerprint import Digests, fingerprint, fingerprints
from storage.models.located import Located
from storage.models.model_files import is_hub_id, locate, locate_here, resolve_name
from storage.models.single_files import OWN_CONFIGS
from tests.unit.tiny_checkpoints import (
    FLUX,
    IN,
    REFINER,
    SD1,
    SD2,
    SDXL,
    TEXTS,
    UNET,
    Shapes,
    make_flux_folder,
    write_checkpoint,
)

SD2_MARK = f"{UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias"
MARKS = {"v_pred": (0,), "ztsnr": (0,)}


def find(name: str | Path) -> Located:
    return locate(str(name), download=False)


def read(name: str | Path) -> ModelCard:
    return describe(str(name), base_dir=Path("/"))


def refusal(name: str | Path) -> str:
    with pytest.raises(ModelError) as raised:
        find(name)
    return str(raised.value)


@pytest.mark.parametrize(
    ("shapes", "pipeline", "side", "family"),
    [
        (SD1, "StableDiffusionPipeline", 512, "sd"),
        (SD2, "StableDiffusionPipeline", 512, "sd"),
        (SDXL, "StableDiffusionXLPipeline", 1024, "sdxl"),
    ],
)
def test_a_whole_file_is_recognised_and_needs_nothing_else(
    tmp_path: Path, shapes: Shapes, pipeline: str, side: int, family: str
) -> None:
    card = read(write_checkpoint(tmp_path / "x.safetensors", shapes))
    assert card.pipeline_class == pipeline
    assert (card.width, card.height) == (side, side)
    assert card.model.family == family
    assert card.count_tokens("a photo of a cat") == 7
    assert card.scheduler_config.get("prediction_type", "epsilon") == "epsilon"


def test_the_folders_of_our_own_have_no_weights_and_all_files(tmp_path: Path) -> None:
    for shapes in (SD1, SD2, SDXL):
        found = find(write_checkpoint(tmp_path / "x.safetensors", shapes))
        assert found.folder.parent == OWN_CONFIGS
        assert all(found.path(file).is_file() for file in found.files)
        held = [file for file in found.files if file.endswith(".safetensors")]
        assert held == ["checkpoint.safetensors"]


@pytest.mark.parametrize(
    ("shapes", "what"),
    [
        (REFINER, "the refiner of Stable Diffusion XL"),
        ({**SD1, IN: (320, 9, 3, 3)}, "an inpainting model"),
        ({**SD1, IN: (320, 8, 3, 3)}, "InstructPix2Pix"),
        ({**SD1, IN: (320, 7, 3, 3)}, "an upscaler"),
        ({"lora_unet_mid_block.lora_down.weight": (4, 4)}, "a LoRA"),
        ({"unet.mid_block.attentions.0.to_q.lora_A.weight": (4, 4)}, "a LoRA"),
        ({"transformer.layers.0.attention.to_q.lokr_w1": (4, 4)}, "a LoRA"),
        ({"emb_params": (1, 768)}, "a textual inversion"),
        ({"control_model.time_embed.0.weight": (4, 4)}, "a ControlNet"),
        ({"decoder.conv_in.weight": (4, 4)}, "a VAE"),
        ({"model_ema.diffusion_modeloutbias": (4,)}, "averaged weights (EMA) alone"),
        ({"head.modulation": (4,)}, "a model of videos"),
    ],
)
def test_a_file_that_makes_no_image_from_a_prompt_is_named(
    tmp_path: Path, shapes: Shapes, what: str
) -> None:
    file = write_checkpoint(tmp_path / "x.safetensors", shapes)
    assert refusal(file) == (
        f"a model must make an image from a prompt alone, but {file} is {what}; name a"
        " whole model"
    )


def test_a_file_of_unknown_names_is_refused(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "x.safetensors", {"layer.weight": (4,)})
    assert refusal(file) == (
        f"the tensors of {file} have the names of no architecture that is known here,"
        " such as 'layer.weight'; name a model in diffusers format, with a"
        " model_index.json, or another file"
    )


def test_a_file_that_is_not_there_or_no_safetensors_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    assert refusal(file) == (
        f"a single-file checkpoint must be there, got {file}; check the path"
    )
    for content in (b"", b"PK\x03\x04 a zip archive", b"\x02\0\0\0\0\0\0\0[]"):
        file.write_bytes(content)
        assert refusal(file) == (
            f"{file} must be in safetensors format, but has no such header; fetch it"
            " again, or name another file"
        )


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "x.safetensors", SD1)
    size = file.stat().st_size
    os.truncate(file, size - 1)
    assert refusal(file) == (
        f"{file} must have {size} bytes, as its header says, but has {size - 1}; fetch"
        " it again"
    )


@pytest.mark.parametrize("ending", ["ckpt", "pt", "pth", "bin"])
def test_a_pickle_is_refused_with_the_way_to_convert_it(
    tmp_path: Path, ending: str
) -> None:
    with pytest.raises(ModelError) as raised:
        resolve_name(f"models/x.{ending}", tmp_path)
    message = str(raised.value)
    assert message.startswith(
        "a model must be in safetensors format, since a pickle can run code when it is"
        f" read, got models/x.{ending}; convert it"
    )
    assert "weights_only=True" in message


def test_a_file_is_relative_to_the_sweep_and_keeps_its_ending(tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / "0123"
    write_checkpoint(blob, SD1)
    (tmp_path / "x.safetensors").symlink_to(blob)
    name = str(tmp_path.resolve() / "x.safetensors")
    for written in ("x.safetensors", "./x.safetensors", "../specs/../x.safetensors"):
        base = tmp_path / "specs" if written.startswith("..") else tmp_path
        assert resolve_name(written, base) == name
    assert not is_hub_id("models/x.safetensors")
    assert read(name).pipeline_class == "StableDiffusionPipeline"


def test_the_config_of_a_file_is_a_folder_or_a_hub_id(tmp_path: Path) -> None:
    base = tmp_path.resolve()
    for config, meant in (("./sd", f"{base}/sd"), ("org/name", "org/name")):
        name = resolve_name(f"x.safetensors?config={config}", tmp_path)
        assert name == f"{base}/x.safetensors?config={meant}"


@pytest.mark.parametrize(
    "options", ["sampler=ddim", "zero_snr=maybe", "config", "prediction=v"]
)
def test_a_name_with_wrong_options_is_refused(tmp_path: Path, options: str) -> None:
    with pytest.raises(ModelError):
        resolve_name(f"x.safetensors?{options}", tmp_path)


def test_the_marks_of_v_prediction_and_zero_snr_reach_the_scheduler(
    tmp_path: Path,
) -> None:
    file = write_checkpoint(tmp_path / "x.safetensors", {**SDXL, **MARKS})
    config = read(file).scheduler_config
    assert config["prediction_type"] == "v_prediction"
    assert config["rescale_betas_zero_snr"] is True
    assert config["timestep_spacing"] == "trailing"


def test_what_is_asked_for_goes_before_the_marks_of_the_file(tmp_path: Path) -> None:
    marked = write_checkpoint(tmp_path / "v.safetensors", {**SDXL, **MARKS})
    plain = write_checkpoint(tmp_path / "eps.safetensors", SDXL)
    options = find(f"{marked}?prediction=epsilon&zero_snr=false").scheduler_options
    assert options == {}
    options = find(f"{plain}?prediction=v_prediction").scheduler_options
    assert options == {"prediction_type": "v_prediction"}


def test_metadata_of_the_trainer_says_what_a_network_predicts(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    write_checkpoint(file, SDXL, metadata={"modelspec.prediction_type": "v"})
    assert find(file).scheduler_options == {"prediction_type": "v_prediction"}


@pytest.mark.parametrize(
    ("spread", "prediction", "side"), [(0.02, None, 512), (0.3, "v_prediction", 768)]
)
def test_a_file_of_stable_diffusion_2_predicts_v_if_its_numbers_say_so(
    tmp_path: Path, spread: float, prediction: str | None, side: int
) -> None:
    numbers = {SD2_MARK: np.linspace(-spread, spread, 320)}
    card = read(write_checkpoint(tmp_path / "x.safetensors", SD2, numbers=numbers))
    assert card.scheduler_config.get("prediction_type") == prediction
    assert card.width == side


def test_a_network_of_flow_takes_no_prediction(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "x.safetensors", FLUX)
    assert refusal(f"{file}?prediction=v_prediction") == (
        f"prediction and zero_snr are for files of a UNet, but {file} is of FLUX.1,"
        " whose network predicts a flow; leave them out"
    )


def test_a_transformer_alone_needs_a_config(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "x.safetensors", FLUX)
    assert refusal(file) == (
        "a file of FLUX.1 needs a model in diffusers format beside it, for its"
        " configuration, tokenizers and all that the file does not hold, got"
        f" {file} alone; write it as {{file: FILE, config: FOLDER or Hub id}} in"
        " diffusers format"
    )


def test_a_transformer_takes_the_rest_from_its_config(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "x.safetensors", FLUX)
    folder = make_flux_folder(tmp_path / "flux")
    found = find(f"{file}?config={folder}")
    assert found.held == {"transformer"}
    assert found.files == (
        "checkpoint.safetensors",
        "model_index.json",
        "scheduler/scheduler_config.json",
        "transformer/config.json",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    )
    assert read(found.name).model.embeds_guidance


def test_a_file_without_its_text_encoder_says_what_is_missing(tmp_path: Path) -> None:
    shapes = {name: shape for name, shape in SD1.items() if UNET in name}
    file = write_checkpoint(tmp_path / "x.safetensors", shapes)
    assert refusal(file) == (
        f"{file} must hold a whole Stable Diffusion 1, or name where the rest is, but"
        " lacks text_encoder, vae; write it as {file: FILE, config: FOLDER or Hub id}"
        " in diffusers format"
    )


def test_a_config_of_another_model_is_refused(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "x.safetensors", SD1)
    folder = make_flux_folder(tmp_path / "flux")
    write_checkpoint(
        folder / "transformer/diffusion_pytorch_model.safetensors", {"a": (1,)}
    )
    assert refusal(f"{file}?config={folder}") == (
        f"{file} is a file of Stable Diffusion 1, so its config must be of a"
        " StableDiffusionPipeline or a LatentConsistencyModelPipeline, but"
        f" {folder} is of a FluxPipeline; name another config"
    )


def test_a_config_of_another_size_is_refused(tmp_path: Path) -> None:
    shapes = {**SDXL, TEXTS: (640, 1536)}
    file = write_checkpoint(tmp_path / "x.safetensors", shapes)
    assert refusal(file) == (
        f"the network in {file} has a cross_attention_dim of 1536, but the config"
        f" {OWN_CONFIGS / 'sdxl'} says 2048; name the config of the model that the"
        " file was made from"
    )
    schnell = make_flux_folder(tmp_path / "schnell", embeds_guidance=False)
    dev = write_checkpoint(tmp_path / "dev.safetensors", FLUX)
    assert "has a guidance_embeds of True, but" in refusal(f"{dev}?config={schnell}")
    longer = {**FLUX, "double_blocks.1.img_attn.norm.key_norm.scale": (128,)}
    long = write_checkpoint(tmp_path / "long.safetensors", longer)
    folder = make_flux_folder(tmp_path / "flux")
    assert "has a num_layers of 2, but" in refusal(f"{long}?config={folder}")


def test_averaged_weights_beside_the_others_are_mentioned(tmp_path: Path) -> None:
    shapes = {**SD1, "model_ema.diffusion_modeloutbias": (4,)}
    card = read(write_checkpoint(tmp_path / "x.safetensors", shapes))
    assert card.unchecked == (
        "x.safetensors has its network twice: the weights under model.diffusion_model"
        " are used, as diffusers does, and the averaged ones (EMA) are not",
    )


def test_a_fingerprint_follows_the_content_and_not_the_name(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "x.safetensors", SD1)
    copy = tmp_path / "copies" / "y.safetensors"
    copy.parent.mkdir()
    shutil.copy(file, copy)
    own = fingerprint(find(file), Digests())
    assert fingerprint(find(copy), Digests()) == own
    folder = shutil.copytree(OWN_CONFIGS / "sd1", tmp_path / "sd1")
    assert fingerprint(find(f"{copy}?config={folder}"), Digests()) == own
    assert fingerprints(find(file), Digests()).former == ()


def test_a_fingerprint_changes_with_the_file_the_config_and_the_prediction(
    tmp_path: Path,
) -> None:
    file = write_checkpoint(tmp_path / "x.safetensors", SD1)
    folder = shutil.copytree(OWN_CONFIGS / "sd1", tmp_path / "sd1")
    config = folder / "unet/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"norm_eps": 1e-6}))
    (tmp_path / "other").mkdir()
    other = write_checkpoint(
        tmp_path / "other/x.safetensors", SD1, numbers={"more": np.ones(2)}
    )
    names = (
        file,
        other,
        f"{file}?config={folder}",
        f"{file}?prediction=v_prediction",
        f"{file}?zero_snr=true",
    )
    prints = [fingerprint(find(name), Digests()) for name in names]
    assert len(set(prints)) == len(names)
    # What the configuration says already changes nothing.
    said = fingerprint(find(f"{file}?prediction=epsilon&zero_snr=false"), Digests())
    assert said == prints[0]


def test_the_fingerprints_of_our_own_configurations_never_change(
    tmp_path: Path,
) -> None:
    found = {}
    for config, shapes in (("sd1", SD1), ("sd2", SD2), ("sd2-v", SD2), ("sdxl", SDXL)):
        file = write_checkpoint(tmp_path / "x.safetensors", shapes)
        asked = "v_prediction" if config == "sd2-v" else "epsilon"
        model = find(f"{file}?prediction={asked}")
        assert model.folder.name == config
        found[config] = fingerprint(model, Digests())
    # Another one would make every image of such a file again.
    assert found == {
        "sd1": "0d08f7930c89790b53724df3e7605423",
        "sd2": "7fcf836be06959bddb805f8791fa36a9",
        "sd2-v": "cab62ac02e2ab18e7a9875748dd7d711",
        "sdxl": "026160ec29e20a08d310d96deaf7c858",
    }


def test_a_revision_belongs_to_a_config_on_the_hub(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "x.safetensors", SD1)
    with pytest.raises(ModelError, match="only Hub models have a revision"):
        locate(str(file), revision="main", download=False)
    with pytest.raises(ModelError, match="a single file has no variant"):
        locate_here(str(file), revision=None, variant="fp16")
