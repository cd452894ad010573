"""Loading: every weight has its place in Flax, and other models are refused."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from diffusers import FlaxAutoencoderKL, FlaxUNet2DConditionModel
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import load_file

from storage.errors import ModelError
from tests.flax import changed_models as models
from tests.flax.cases import FOLDER
from workers.flax.network_loading import load_networks
from workers.flax.weights import convert, require_equal

WEIGHTS = "diffusion_pytorch_model.safetensors"


def _flat(parameters: Any) -> dict[Any, Any]:
    return flatten_dict(parameters)


@pytest.mark.parametrize(
    ("component", "of"),
    [("unet", FlaxUNet2DConditionModel), ("vae", FlaxAutoencoderKL)],
)
def test_every_weight_of_the_demo_model_has_its_place(component: str, of: Any) -> None:
    network = of.from_config(of.load_config(FOLDER / component))
    wanted = flatten_dict(jax.eval_shape(network.init_weights, jax.random.key(0)))
    weights = load_file(FOLDER / component / WEIGHTS)
    found = convert(weights, wanted)
    assert len(found) == len(weights)
    assert found.keys() == wanted.keys()
    require_equal(found, wanted, name=component)


def test_a_text_encoder_loads_with_and_without_its_prefix(tmp_path: Path) -> None:
    folder = models.copy_to(tmp_path)
    file = folder / "text_encoder" / "model.safetensors"
    assert all(name.startswith("text_model.") for name in load_file(file))
    models.reweigh(
        file,
        lambda weights: {
            **{k.removeprefix("text_model."): value for k, value in weights.items()},
            "embeddings.position_ids": np.arange(20)[None],
        },
    )
    bare = load_networks(models.find(folder), dtype="float32")
    plain = load_networks(models.find(), dtype="float32")
    found = _flat(bare.parameters["text_encoder"])
    wanted = _flat(plain.parameters["text_encoder"])
    assert found.keys() == wanted.keys()
    assert all((found[path] == wanted[path]).all() for path in wanted)


def test_a_folder_that_flax_saved_loads(tmp_path: Path) -> None:
    folder = models.copy_to(tmp_path)
    plain = load_networks(models.find(), dtype="float32")
    vae = plain.vae
    wanted = flatten_dict(jax.eval_shape(vae.init_weights, jax.random.key(0)))
    whole = unflatten_dict(convert(load_file(FOLDER / "vae" / WEIGHTS), wanted))
    for component, network, parameters in (
        ("unet", plain.unet, plain.parameters["unet"]),
        ("vae", vae, whole),
        ("text_encoder", plain.text_encoder, plain.parameters["text_encoder"]),
    ):
        for file in (folder / component).glob("*.safetensors"):
            file.unlink()
        network.save_pretrained(folder / component, params=parameters)
    models.change(
        folder / "model_index.json",
        _class_name="FlaxStableDiffusionPipeline",
        unet=["diffusers", "FlaxUNet2DConditionModel"],
        vae=["diffusers", "FlaxAutoencoderKL"],
        text_encoder=["transformers", "FlaxCLIPTextModel"],
        scheduler=["diffusers", "FlaxPNDMScheduler"],
    )
    located = models.find(folder)
    assert "unet/diffusion_flax_model.msgpack" in located.files
    assert "text_encoder/flax_model.msgpack" in located.files
    saved = load_networks(located, dtype="float32")
    for component, parameters in plain.parameters.items():
        found, wanted = _flat(saved.parameters[component]), _flat(parameters)
        assert found.keys() == wanted.keys()
        assert all((found[path] == wanted[path]).all() for path in wanted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda weights: {**weights, "conv_in.bias": np.zeros(3, np.float32)},
            "it has in another shape 1, such as conv_in.bias",
        ),
        (
            lambda weights: {**weights, "add_embedding.linear_1.bias": np.zeros(3)},
            "it does not have 1, such as add_embedding.linear_1.bias",
        ),
        (
            lambda weights: {k: v for k, v in weights.items() if k != "conv_in.bias"},
            "it also needs 1, such as conv_in.bias",
        ),
    ],
    ids=["misshapen", "unknown", "missing"],
)
def test_weights_of_another_network_are_refused(
    tmp_path: Path, change: Any, message: str
) -> None:
    folder = models.copy_to(tmp_path)
    models.reweigh(folder / "unet" / WEIGHTS, change)
    with pytest.raises(ModelError) as caught:
        load_networks(models.find(folder), dtype="float32")
    assert str(caught.value) == (
        f"the weights of unet of {folder} must be those of Flax's network, but "
        f"{message}; use `backend: torch`"
    )


def test_another_pipeline_is_refused(tmp_path: Path) -> None:
    folder = models.copy_to(tmp_path)
    models.change(folder / "model_index.json", _class_name="StableDiffusionXLPipeline")
    with pytest.raises(ModelError) as caught:
        load_networks(models.find(folder), dtype="float32")
    assert str(caught.value) == (
        "a model for `backend: flax` must be a StableDiffusionPipeline, but "
        f"{folder} is a StableDiffusionXLPipeline; name another model, or use "
        "`backend: torch`"
    )


@pytest.mark.parametrize(
    ("component", "name", "value"),
    [
        ("unet", "norm_num_groups", 16),
        ("unet", "resnet_time_scale_shift", "scale_shift"),
        ("vae", "shift_factor", 0.1),
    ],
)
def test_a_network_that_flax_would_compute_otherwise_is_refused(
    tmp_path: Path, component: str, name: str, value: Any
) -> None:
    folder = models.copy_to(tmp_path)
    models.change(folder / component / "config.json", **{name: value})
    with pytest.raises(ModelError, match=f"{name} of the {component} must be"):
        load_networks(models.find(folder), dtype="float32")


def test_an_inpainting_model_is_refused(tmp_path: Path) -> None:
    folder = models.copy_to(tmp_path)
    models.change(folder / "unet" / "config.json", in_channels=17)
    with pytest.raises(ModelError, match="takes 17 channels, of which latents are 8"):
        load_networks(models.find(folder), dtype="float32")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    folder = models.copy_to(tmp_path)
    (folder / "unet" / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(ModelError, match="a model must load with Flax"):
        load_networks(models.find(folder), dtype="float32")


def test_half_precision_halves_the_parameters() -> None:
    networks = load_networks(models.find(), dtype="bfloat16")
    kinds = {
        str(leaf.dtype)
        for parameters in networks.parameters.values()
        for leaf in _flat(parameters).values()
    }
    assert kinds == {"bfloat16"}
