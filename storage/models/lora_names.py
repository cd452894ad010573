"""The names that layers have in LoRA files, translated to those of diffusers.

Names are compared without their dots. A file has the names of diffusers, or those of
the original code of its model.
"""

import re
from collections.abc import Container, Iterator, Mapping

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
#: Layers of Flux and Flux 2 in their original code. What holds several layers of
#: diffusers stands for one of them, since its inputs are the same.
_FLUX_LAYERS: Mapping[str, tuple[str, ...]] = {
    "img_attn_qkv": ("attn_to_q",),
    "txt_attn_qkv": ("attn_add_q_proj",),
    "img_attn_proj": ("attn_to_out_0",),
    "txt_attn_proj": ("attn_to_add_out",),
    "img_mlp_0": ("ff_net_0_proj", "ff_linear_in"),
    "img_mlp_2": ("ff_net_2", "ff_linear_out"),
    "txt_mlp_0": ("ff_context_net_0_proj", "ff_context_linear_in"),
    "txt_mlp_2": ("ff_context_net_2", "ff_context_linear_out"),
    "img_mod_lin": ("norm1_linear",),
    "txt_mod_lin": ("norm1_context_linear",),
    "linear1": ("attn_to_q", "attn_to_qkv_mlp_proj"),
    "linear2": ("proj_out", "attn_to_out"),
    "modulation_lin": ("norm_linear",),
}
_KREA = re.compile(
    r"(blocks|txtfusion_layerwise_blocks|txtfusion_refiner_blocks)_(\d+)_(attn|mlp)_(\w+)"
)
_KREA_LAYERS = {
    "attn_wq": "attn_to_q",
    "attn_wk": "attn_to_k",
    "attn_wv": "attn_to_v",
    "attn_wo": "attn_to_out_0",
    "attn_gate": "attn_to_gate",
    "mlp_gate": "ff_gate",
    "mlp_up": "ff_up",
    "mlp_down": "ff_down",
}
_Z_IMAGE = re.compile(r"(.+_attention)_(qkv|out)")
_Z_IMAGE_LAYERS = {"qkv": "to_q", "out": "to_out_0"}
#: Ends of names that hold several layers of diffusers in one.
FUSED = ("attn_qkv", "attention_qkv", "linear1")


def flat_name(name: str) -> str:
    """Return a layer's name without dots, and without what only some versions have."""
    return name.replace(".", "_").removeprefix("text_model_")


def find_name(name: str, known: Container[str]) -> str | None:
    """Return the name in diffusers of a layer of a LoRA; None if it is not known.

    Args:
        name: In the file, without dots.
        known: The layers of the model.
    """
    return next((each for each in _names(name, known) if each in known), None)


def _names(name: str, known: Container[str]) -> Iterator[str]:
    """Yield what diffusers may call a layer, beginning with the name as it is."""
    yield name
    if name.endswith("to_out"):
        yield f"{name}_0"
    if match := _FLUX.fullmatch(name):
        blocks = "transformer" if match[1] == "double" else "single_transformer"
        for layer in _FLUX_LAYERS.get(match[3], ()):
            yield f"{blocks}_blocks_{match[2]}_{layer}"
    elif match := _MIDDLE.fullmatch(name):
        yield _middle(int(match[1]), match[2])
    elif match := _BLOCK.fullmatch(name):
        yield _unet_block(*match.groups(), known=known)
    elif match := _KREA.fullmatch(name):
        block = match[1].replace("txtfusion", "text_fusion")
        block = "transformer_blocks" if block == "blocks" else block
        layer = _KREA_LAYERS.get(f"{match[3]}_{match[4]}", match[4])
        yield f"{block}_{match[2]}_{layer}"
    elif match := _Z_IMAGE.fullmatch(name):
        yield f"{match[1]}_{_Z_IMAGE_LAYERS[match[2]]}"


def _middle(number: int, rest: str) -> str:
    if number == 1:
        return f"mid_block_attentions_0_{rest}"
    return f"mid_block_resnets_{number // 2}_{_RESIDUAL.get(rest, rest)}"


def _unet_block(
    side: str, number: str, place: str, rest: str, *, known: Container[str]
) -> str:
    each = 1 + sum(f"down_blocks_0_resnets_{n}_conv1" in known for n in range(9))
    block, layer = divmod(int(number) - (side == "input"), each)
    blocks = f"{'down' if side == 'input' else 'up'}_blocks_{block}"
    if rest in ("op", "conv"):
        return f"{blocks}_{'down' if side == 'input' else 'up'}samplers_0_conv"
    if place == "0":
        return f"{blocks}_resnets_{layer}_{_RESIDUAL.get(rest, rest)}"
    return f"{blocks}_attentions_{layer}_{rest}"
