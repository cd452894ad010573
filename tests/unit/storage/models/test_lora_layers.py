"""Which layers a LoRA changes, and whether a model has them."""

from pathlib import Path

import numpy as np
import pytest

from storage.errors import ModelError
from storage.models.lora_layers import base_layers, find_misfit, layers_of
from storage.models.tensor_headers import read_shapes
from tests.unit.lora_files import Sizes, Tensors, kohya, lokr, peft, write_tensors

#: Layers of a network with one residual block on each level.
UNET = {
    "down_blocks.0.resnets.0.conv1": (8, 8),
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k": (8, 16),
    "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k": (8, 16),
    "mid_block.attentions.0.proj_in": (8, 8),
    "up_blocks.1.attentions.1.transformer_blocks.0.attn2.to_k": (8, 16),
}
FLUX = {
    "transformer_blocks.0.attn.to_q": (8, 8),
    "transformer_blocks.0.attn.to_out.0": (8, 8),
    "single_transformer_blocks.0.proj_out": (8, 24),
}
TEXTS = {"encoder.layers.0.self_attn.q_proj": (4, 4)}


def shapes_of(tensors: dict[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def misfit(
    tensors: dict[str, np.ndarray],
    sizes: Sizes = UNET,
    *,
    pipeline: str = "StableDiffusionPipeline",
) -> str | None:
    base = {
        "network": base_layers(
            {f"{name}.weight": size for name, size in sizes.items()}
        ),
        "text_encoder": base_layers(
            {f"text_model.{name}.weight": size for name, size in TEXTS.items()}
        ),
    }
    return find_misfit(shapes_of(tensors), base, pipeline=pipeline)


@pytest.mark.parametrize(
    "tensors",
    [
        kohya(UNET, prefix="lora_unet_"),
        peft(UNET, prefix="unet."),
        peft(UNET, prefix="base_model.model."),
        kohya(TEXTS, prefix="lora_te_text_model_"),
        kohya(TEXTS, prefix="lora_te1_text_model_"),
        peft(TEXTS, prefix="text_encoder.text_model."),
        peft(TEXTS, prefix="text_encoder."),
    ],
)
def test_both_styles_of_keys_name_the_layers_of_the_model(
    tensors: dict[str, np.ndarray],
) -> None:
    assert misfit(tensors) is None


@pytest.mark.parametrize(
    ("original", "size"),
    [
        ("input_blocks_1_1_transformer_blocks_0_attn2_to_k", (8, 16)),
        ("input_blocks_3_1_transformer_blocks_0_attn2_to_k", (8, 16)),
        ("input_blocks_1_0_in_layers_2", (8, 8)),
        ("middle_block_1_proj_in", (8, 8)),
        ("output_blocks_3_1_transformer_blocks_0_attn2_to_k", (8, 16)),
    ],
)
def test_blocks_of_the_original_code_are_those_of_diffusers(
    original: str, size: tuple[int, int]
) -> None:
    assert misfit(kohya({original: size}, prefix="lora_unet_")) is None
    outputs, inputs = size
    wrong = kohya({original: (outputs, inputs + 1)}, prefix="lora_unet_")
    assert f"has {inputs + 1} inputs for {original}" in str(misfit(wrong))


@pytest.mark.parametrize(
    ("original", "size"),
    [
        ("double_blocks_0_img_attn_qkv", (24, 8)),
        ("double_blocks_0_img_attn_proj", (8, 8)),
        ("single_blocks_0_linear2", (8, 24)),
    ],
)
def test_layers_of_the_original_flux_are_those_of_diffusers(
    original: str, size: tuple[int, int]
) -> None:
    assert misfit(kohya({original: size}, prefix="lora_unet_"), FLUX) is None
    wrong = kohya({original: (size[0], 5)}, prefix="lora_unet_")
    assert misfit(wrong, FLUX) == (
        f"has 5 inputs for {original}, where the model has {size[1]}, so it seems to be"
        " for Flux"
    )


#: Pipeline, layers of its network, and names of the original code with their sizes.
ORIGINALS = [
    (
        "Flux2Pipeline",
        {
            "transformer_blocks.0.attn.to_q": (8, 8),
            "transformer_blocks.0.ff.linear_in": (48, 8),
            "single_transformer_blocks.0.attn.to_qkv_mlp_proj": (72, 8),
            "single_transformer_blocks.0.attn.to_out": (8, 32),
        },
        {
            "double_blocks_0_img_attn_qkv": (24, 8),
            "double_blocks_0_img_mlp_0": (48, 8),
            "single_blocks_0_linear1": (72, 8),
            "single_blocks_0_linear2": (8, 32),
        },
    ),
    (
        "ZImagePipeline",
        {
            "layers.0.attention.to_q": (8, 8),
            "layers.0.attention.to_out.0": (8, 8),
            "noise_refiner.1.attention.to_out.0": (8, 8),
        },
        {
            "layers_0_attention_qkv": (24, 8),
            "layers_0_attention_out": (8, 8),
            "noise_refiner_1_attention_out": (8, 8),
        },
    ),
    (
        "Krea2Pipeline",
        {
            "transformer_blocks.0.attn.to_out.0": (8, 8),
            "transformer_blocks.0.ff.gate": (16, 8),
            "text_fusion.refiner_blocks.0.attn.to_gate": (8, 8),
        },
        {
            "blocks_0_attn_wo": (8, 8),
            "blocks_0_mlp_gate": (16, 8),
            "txtfusion_refiner_blocks_0_attn_gate": (8, 8),
        },
    ),
]


@pytest.mark.parametrize(("pipeline", "known", "names"), ORIGINALS)
def test_layers_of_the_original_code_are_those_of_diffusers(
    pipeline: str, known: Sizes, names: Sizes
) -> None:
    for name, (outputs, inputs) in names.items():
        right = peft({name: (outputs, inputs)}, prefix="diffusion_model.")
        assert misfit(right, known, pipeline=pipeline) is None
        wrong = peft({name: (outputs, 5)}, prefix="diffusion_model.")
        said = misfit(wrong, known, pipeline=pipeline)
        assert f"has 5 inputs for {name}, where the model has {inputs}" in str(said)


@pytest.mark.parametrize(
    ("layer", "base"),
    [
        ("single_transformer_blocks.0.attn.to_qkv_mlp_proj", "Flux 2"),
        ("single_transformer_blocks.0.proj_out", "Flux"),
        ("transformer_blocks.0.img_mlp.net.2", "Qwen-Image"),
        ("layers.0.attention.to_q", "Z-Image"),
        ("transformer_blocks.0.attn.to_gate", "Krea 2"),
    ],
)
def test_a_transformers_lora_is_told_with_its_base(layer: str, base: str) -> None:
    said = misfit(peft({layer: (8, 8)}, prefix="transformer."))
    assert said == (
        f"changes a layer {layer.replace('.', '_')}, which the model does not have,"
        f" so it seems to be for {base}"
    )


def test_keys_that_diffusers_would_leave_out_are_told() -> None:
    known = {"transformer_blocks.0.attn.to_q": (8, 8)}
    told = misfit(kohya(known, prefix="lora_unet_"), known, pipeline="SanaPipeline")
    assert told == (
        "has `lora_unet_transformer_blocks_0_attn_to_q.lora_down.weight`, and"
        " only keys that begin with `transformer.` are read"
    )
    right = peft(known, prefix="transformer.")
    assert misfit(right, known, pipeline="SanaPipeline") is None


def test_a_layer_of_another_width_is_told_with_the_base_that_has_it() -> None:
    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    tensors = peft({layer: (8, 2048)}, prefix="unet.")
    assert misfit(tensors) == (
        f"has 2048 inputs for {layer.replace('.', '_')}, where the model has 16, so it"
        " seems to be for SDXL"
    )
    tensors = peft({layer: (9, 16)}, prefix="unet.")
    assert "has 9 outputs for" in str(misfit(tensors))


def test_a_text_encoder_that_the_model_lacks_is_told() -> None:
    tensors = kohya(TEXTS, prefix="lora_te2_text_model_")
    assert misfit(tensors) == "changes a text_encoder_2, which the model does not have"


def test_layers_that_the_model_lacks_are_told_if_they_are_most_of_a_part() -> None:
    strange = kohya({"other.0": (8, 8), "other.1": (8, 8)}, prefix="lora_unet_")
    assert misfit(strange) == "changes a layer other_0, which the model does not have"
    assert misfit({**kohya(UNET, prefix="lora_unet_"), **strange}) is None


def test_a_file_of_another_method_is_told() -> None:
    tensors = {"lora_unet_mid.hada_w1_a": np.zeros((2, 2))}
    assert "is of another method" in str(misfit(tensors))
    assert misfit({"x": np.zeros((2, 2))}) == "has no layers of a LoRA"


Z_IMAGE = {"layers.0.attention.to_q": (32, 16)}


@pytest.mark.parametrize(
    ("tensors", "pipeline", "said"),
    [
        (lokr(Z_IMAGE, prefix="transformer."), "ZImagePipeline", None),
        (lokr(Z_IMAGE, prefix="diffusion_model."), "ZImagePipeline", None),
        (lokr(Z_IMAGE, prefix="lycoris_"), "ZImagePipeline", "are read"),
        (lokr(Z_IMAGE, prefix="transformer."), "Flux2Pipeline", None),
        (
            lokr(Z_IMAGE, prefix="diffusion_model."),
            "Flux2Pipeline",
            "and only keys that begin with `transformer.` or `lycoris_` are read",
        ),
        (
            lokr(Z_IMAGE, prefix="transformer."),
            "SanaPipeline",
            "is of another method than LoRA",
        ),
        (
            lokr({"layers.0.attention.to_q": (32, 20)}, prefix="transformer."),
            "ZImagePipeline",
            "has 20 inputs for layers_0_attention_to_q, where the model has 16",
        ),
    ],
)
def test_a_lokr_must_fit_its_model(
    tensors: Tensors, pipeline: str, said: str | None
) -> None:
    found = misfit(tensors, Z_IMAGE, pipeline=pipeline)
    assert found is None if said is None else said in str(found)


def test_old_keys_of_diffusers_are_read() -> None:
    stem = "unet.mid_block.attentions.0.processor.to_q_lora"
    shapes = {f"{stem}.down.weight": (2, 8), f"{stem}.up.weight": (4, 2)}
    [layer] = layers_of(shapes)
    assert (layer.part, layer.name) == ("network", "mid_block_attentions_0_to_q")
    assert (layer.inputs, layer.outputs) == (8, 4)


def test_a_header_is_read_without_its_metadata(tmp_path: Path) -> None:
    file = write_tensors(
        tmp_path / "a.safetensors",
        {"x": np.zeros((2, 3)), "alpha": np.array(1.0)},
        metadata={"ss_tag": "ink"},
    )
    assert read_shapes(file) == {"x": (2, 3), "alpha": ()}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a pickle", b"\xff" * 64])
def test_a_file_without_such_a_header_is_refused(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(content)
    with pytest.raises(ModelError, match="must be in safetensors format, but has no"):
        read_shapes(file)
