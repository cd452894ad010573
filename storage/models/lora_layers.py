"""The layers that a LoRA changes, read from its keys, and whether a model has them.

Keys come in two styles: `lora_unet_mid_block_attentions_0_proj_in.lora_down.weight` of
kohya's trainer, and `unet.mid_block.attentions.0.proj_in.lora_A.weight` of peft. Names
are compared without their dots. Where kohya has the names of the original code, they
are translated.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from storage.models.adapter_pipelines import NETWORK, NETWORKS
from storage.models.located import Located
from storage.models.tensor_headers import Shape, read_shapes

#: Layer to its outputs and inputs; the layers of one part of a pipeline.
Layers = Mapping[str, tuple[int, int]]

_DOWN = re.compile(
    r"(.+?)\.(?:lora_down|lora_A|lora\.down|lora_linear_layer\.down)(?:\.\w+)?\.weight"
)
_UP = re.compile(
    r"(.+?)\.(?:lora_up|lora_B|lora\.up|lora_linear_layer\.up)(?:\.\w+)?\.weight"
)
#: Keys of methods beside LoRA, which diffusers does not load.
_OTHERS = re.compile(r"\.(hada_w\d|lokr_w\d|oft_|glora)")
#: Beginnings of keys, and the part of a pipeline that each means. Longer ones first.
_PARTS = (
    ("lora_te2_", "text_encoder_2"),
    ("lora_te1_", "text_encoder"),
    ("lora_te_", "text_encoder"),
    ("lora_unet_", NETWORK),
    ("base_model.model.", NETWORK),
    ("diffusion_model.", NETWORK),
    ("text_encoder_2.", "text_encoder_2"),
    ("text_encoder.", "text_encoder"),
    ("transformer.", NETWORK),
    ("unet.", NETWORK),
)
_BLOCK = re.compile(r"(input|output)_blocks_(\d+)_(\d+)_(.+)")
_MIDDLE = re.compile(r"middle_block_(\d)_(.+)")
#: Layers of a residual block in the original code of Stable Diffusion.
_RESIDUAL = {
    "in_layers_2": "conv1",
    "emb_layers_1": "time_emb_proj",
    "out_layers_3": "conv2",
    "skip_connection": "conv_shortcut",
}
_FLUX = re.compile(r"(double|single)_blocks_(\d+)_(.+)")
#: Layers of Flux in its original code. What holds several layers here stands for one of
#: them: its inputs are the same.
_FLUX_LAYERS = {
    "img_attn_qkv": "attn_to_q",
    "txt_attn_qkv": "attn_add_q_proj",
    "img_attn_proj": "attn_to_out_0",
    "txt_attn_proj": "attn_to_add_out",
    "img_mlp_0": "ff_net_0_proj",
    "img_mlp_2": "ff_net_2",
    "txt_mlp_0": "ff_context_net_0_proj",
    "txt_mlp_2": "ff_context_net_2",
    "img_mod_lin": "norm1_linear",
    "txt_mod_lin": "norm1_context_linear",
    "linear1": "attn_to_q",
    "linear2": "proj_out",
    "modulation_lin": "norm_linear",
}
_FUSED = ("img_attn_qkv", "txt_attn_qkv", "linear1")
#: Inputs of cross attention, and what has them.
_BASES = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "SDXL"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraLayer:
    """A layer that a LoRA changes.

    Attributes:
        part: `network`, `text_encoder` or `text_encoder_2`.
        name: The layer within it, with `_` for each dot.
        inputs: Features or channels.
        outputs: The same; None where the file does not have them.
    """

    part: str
    name: str
    inputs: int
    outputs: int | None


def layers_of(shapes: Mapping[str, Shape]) -> list[LoraLayer]:
    """Return the layers that a LoRA changes, from the shapes of its tensors."""
    outputs = {
        match[1]: shape[0]
        for key, shape in shapes.items()
        if shape and (match := _UP.fullmatch(_modern(key)))
    }
    found = []
    for key, shape in shapes.items():
        match = _DOWN.fullmatch(_modern(key))
        if match and len(shape) > 1:
            part, name = _split(match[1])
            found.append(
                LoraLayer(
                    part=part, name=name, inputs=shape[1], outputs=outputs.get(match[1])
                )
            )
    return found


def base_layers(shapes: Mapping[str, Shape]) -> Layers:
    """Return the layers of one part of a model, from the shapes of its tensors."""
    return {
        flat_name(key.removesuffix(".weight")): (shape[0], shape[1])
        for key, shape in shapes.items()
        if key.endswith(".weight") and len(shape) > 1
    }


def read_layers(model: Located) -> Mapping[str, Layers]:
    """Return the layers of each part of a model whose weights are on this machine.

    Raises:
        ModelError: They cannot be read.
    """
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for file in model.files:
        folder, _, name = file.partition("/")
        path = model.folder / file
        if name.endswith(".safetensors") and path.is_file():
            part = NETWORK if folder in NETWORKS else folder
            found.setdefault(part, {}).update(base_layers(read_shapes(path)))
    return found


def find_misfit(
    shapes: Mapping[str, Shape],
    base: Mapping[str, Layers],
    *,
    parts: tuple[str, ...],
) -> str | None:
    """Say as a phrase why a LoRA does not fit a model; None if it does.

    Args:
        shapes: Of the tensors of the LoRA's file.
        base: The layers of each part of the model that is known.
        parts: The parts of the model that a LoRA may change.
    """
    layers = layers_of(shapes)
    if not layers:
        other = next(filter(_OTHERS.search, shapes), None)
        what = f"`{other}`, which is of another method" if other else "no such layers"
        return f"has {what}"
    seems = _guess(layers)
    for layer in layers:
        if layer.part not in parts:
            return f"changes a {layer.part}, which the model does not have{seems}"
    return _find_shape(layers, base, seems) or _find_strange(layers, base, seems)


def _find_shape(
    layers: list[LoraLayer], base: Mapping[str, Layers], seems: str
) -> str | None:
    for layer, (outputs, inputs) in _pairs(layers, base):
        if layer.inputs != inputs:
            return (
                f"has {layer.inputs} inputs for {layer.name}, where the model has"
                f" {inputs}{seems}"
            )
        if layer.outputs not in (None, outputs) and not layer.name.endswith(_FUSED):
            return (
                f"has {layer.outputs} outputs for {layer.name}, where the model has"
                f" {outputs}{seems}"
            )
    return None


def _find_strange(
    layers: list[LoraLayer], base: Mapping[str, Layers], seems: str
) -> str | None:
    """Refuse a LoRA if most layers of a part are strange; some may have rare names."""
    for part in base:
        asked = [layer for layer in layers if layer.part == part]
        known = [layer for layer, _ in _pairs(asked, base)]
        if 2 * len(known) < len(asked):
            first = next(layer for layer in asked if layer not in known)
            return f"changes a layer {first.name}, which the model does not have{seems}"
    return None


def _pairs(
    layers: list[LoraLayer], base: Mapping[str, Layers]
) -> Iterator[tuple[LoraLayer, tuple[int, int]]]:
    for layer in layers:
        known = base.get(layer.part, {})
        name = layer.name if layer.name in known else _translate(layer.name, known)
        if name in known:
            yield layer, known[name]


def _modern(key: str) -> str:
    """Return a key of diffusers before 0.20 as later versions write it."""
    return re.sub(r"\.processor\.(to_\w+?)_lora\.(down|up)", r".\1.lora.\2", key)


def _split(stem: str) -> tuple[str, str]:
    for beginning, part in _PARTS:
        if stem.startswith(beginning):
            return part, flat_name(stem.removeprefix(beginning))
    return NETWORK, flat_name(stem)


def flat_name(name: str) -> str:
    """Return a layer's name without dots, and without what only some versions have."""
    return name.replace(".", "_").removeprefix("text_model_")


def _translate(name: str, known: Layers) -> str:
    """Return the name in diffusers of a layer of the original code."""
    if match := _FLUX.fullmatch(name):
        blocks = "transformer" if match[1] == "double" else "single_transformer"
        layer = _FLUX_LAYERS.get(match[3], match[3])
        return f"{blocks}_blocks_{match[2]}_{layer}"
    if match := _MIDDLE.fullmatch(name):
        number = int(match[1])
        if number == 1:
            return f"mid_block_attentions_0_{match[2]}"
        rest = _RESIDUAL.get(match[2], match[2])
        return f"mid_block_resnets_{number // 2}_{rest}"
    if match := _BLOCK.fullmatch(name):
        return _translate_block(*match.groups(), known=known)
    return name.replace("to_out", "to_out_0") if name.endswith("to_out") else name


def _translate_block(
    side: str, number: str, place: str, rest: str, *, known: Layers
) -> str:
    each = 1 + sum(f"down_blocks_0_resnets_{n}_conv1" in known for n in range(9))
    block, layer = divmod(int(number) - (side == "input"), each)
    blocks = f"{'down' if side == 'input' else 'up'}_blocks_{block}"
    if rest in ("op", "conv"):
        return f"{blocks}_{'down' if side == 'input' else 'up'}samplers_0_conv"
    if place == "0":
        return f"{blocks}_resnets_{layer}_{_RESIDUAL.get(rest, rest)}"
    return f"{blocks}_attentions_{layer}_{rest}"


def _guess(layers: list[LoraLayer]) -> str:
    """Return for which base a LoRA seems to be made, to be added to a sentence."""
    names = {layer.name for layer in layers}
    if any(
        re.match(r"(double_blocks|single_(transformer_)?blocks)_", n) for n in names
    ):
        return ", so it seems to be for Flux"
    cross = {
        layer.inputs
        for layer in layers
        if layer.part == NETWORK and layer.name.endswith("attn2_to_k")
    }
    known = [_BASES[inputs] for inputs in cross if inputs in _BASES]
    return f", so it seems to be for {known[0]}" if known else ""
