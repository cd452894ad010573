"""The layers that a LoRA changes, read from its keys, and whether a model has them.

Keys come in two styles: `lora_unet_mid_block_attentions_0_proj_in.lora_down.weight` of
kohya's trainer, and `unet.mid_block.attentions.0.proj_in.lora_A.weight` of peft. LoKr
files have keys of their own.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from storage.models.adapter_pipelines import (
    LOKR_BEGINNINGS,
    LORA_BEGINNINGS,
    LORA_PARTS,
    NETWORK,
    NETWORKS,
)
from storage.models.located import Located
from storage.models.lokr_layers import changes_of, is_lokr
from storage.models.lora_names import FUSED, find_name, flat_name
from storage.models.tensor_headers import Shape, read_shapes

#: Layer to its outputs and inputs; the layers of one part of a pipeline.
Layers = Mapping[str, tuple[int, int]]

_DOWN = re.compile(
    r"(.+?)\.(?:lora_down|lora_A|lora\.down|lora_linear_layer\.down)(?:\.\w+)?\.weight"
)
_UP = re.compile(
    r"(.+?)\.(?:lora_up|lora_B|lora\.up|lora_linear_layer\.up)(?:\.\w+)?\.weight"
)
#: Keys of methods beside LoRA.
_OTHERS = re.compile(r"\.(hada_w\d|lokr_w\d|oft_|glora)")
#: Beginnings of keys, and the part of a pipeline that each means. Longer ones first.
_PARTS = (
    ("lora_te2_", "text_encoder_2"),
    ("lora_te1_", "text_encoder"),
    ("lora_te_", "text_encoder"),
    ("lora_unet_", NETWORK),
    ("lycoris_", NETWORK),
    ("base_model.model.", NETWORK),
    ("diffusion_model.", NETWORK),
    ("text_encoder_2.", "text_encoder_2"),
    ("text_encoder.", "text_encoder"),
    ("transformer.", NETWORK),
    ("unet.", NETWORK),
)
#: Inputs of cross attention, and what has them.
_BASES = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "SDXL"}
#: Bases, and the names of layers that only each of them has.
_SIGNS = tuple(
    (base, re.compile(pattern))
    for base, pattern in (
        ("Flux 2", r"to_qkv_mlp_proj|ff_linear_in|stream_modulation"),
        ("Flux", r"^(double_blocks|single_(transformer_)?blocks)_"),
        ("Qwen-Image", r"^transformer_blocks_\d+_img_m(od|lp)"),
        ("Z-Image", r"^(layers|\w+_refiner)_\d+_attention_(to_|qkv)"),
        ("Krea 2", r"attn_w[qkvo]$|attn_to_gate"),
    )
)


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
    for stem, (rows, columns) in changes_of(shapes):
        part, name = _split(stem)
        found.append(LoraLayer(part=part, name=name, inputs=columns, outputs=rows))
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
    pipeline: str,
) -> str | None:
    """Say as a phrase why a LoRA does not fit a model; None if it does.

    Args:
        shapes: Of the tensors of the LoRA's file.
        base: The layers of each part of the model that is known.
        pipeline: The class of the model's pipeline.
    """
    layers = layers_of(shapes)
    if not layers or (is_lokr(shapes) and pipeline not in LOKR_BEGINNINGS):
        other = next(filter(_OTHERS.search, shapes), None)
        if other:
            return f"has `{other}`, which is of another method than LoRA"
        return "has no layers of a LoRA"
    seems = _guess(layers)
    for layer in layers:
        if layer.part not in LORA_PARTS.get(pipeline, ()):
            return f"changes a {layer.part}, which the model does not have{seems}"
    return (
        _find_shape(layers, base, seems)
        or _find_strange(layers, base, seems)
        or _find_unread(shapes, pipeline)
    )


def _find_shape(
    layers: list[LoraLayer], base: Mapping[str, Layers], seems: str
) -> str | None:
    for layer, (outputs, inputs) in _pairs(layers, base):
        if layer.inputs != inputs:
            return (
                f"has {layer.inputs} inputs for {layer.name}, where the model has"
                f" {inputs}{seems}"
            )
        if layer.outputs not in (None, outputs) and not layer.name.endswith(FUSED):
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


def _find_unread(shapes: Mapping[str, Shape], pipeline: str) -> str | None:
    """Refuse a LoRA if diffusers would leave some of its keys out."""
    known = LOKR_BEGINNINGS if is_lokr(shapes) else LORA_BEGINNINGS
    read = known.get(pipeline)
    other = next((key for key in shapes if read and not key.startswith(read)), None)
    if read is None or other is None:
        return None
    begin = " or ".join(f"`{each}`" for each in read)
    return f"has `{other}`, and only keys that begin with {begin} are read"


def _pairs(
    layers: list[LoraLayer], base: Mapping[str, Layers]
) -> Iterator[tuple[LoraLayer, tuple[int, int]]]:
    for layer in layers:
        known = base.get(layer.part, {})
        if name := find_name(layer.name, known):
            yield layer, known[name]


def _modern(key: str) -> str:
    """Return a key of diffusers before 0.20 as later versions write it."""
    return re.sub(r"\.processor\.(to_\w+?)_lora\.(down|up)", r".\1.lora.\2", key)


def _split(stem: str) -> tuple[str, str]:
    for beginning, part in _PARTS:
        if stem.startswith(beginning):
            return part, flat_name(stem.removeprefix(beginning))
    return NETWORK, flat_name(stem)


def _guess(layers: list[LoraLayer]) -> str:
    """Return for which base a LoRA seems to be made, to be added to a sentence."""
    for base, pattern in _SIGNS:
        if any(pattern.search(layer.name) for layer in layers):
            return f", so it seems to be for {base}"
    cross = {
        layer.inputs
        for layer in layers
        if layer.part == NETWORK and layer.name.endswith("attn2_to_k")
    }
    known = [_BASES[inputs] for inputs in cross if inputs in _BASES]
    return f", so it seems to be for {known[0]}" if known else ""
