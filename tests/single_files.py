"""Single-file checkpoints in the layouts of their authors, from folders of diffusers.

Only the names and shapes change, so a file makes the very images of its folder.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors.torch import load_file, save_file

from storage.models.located import read_json
from tests.tiny_pipelines import TEXT, TRAINED, Parts

State = dict[str, torch.Tensor]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_UNET = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
_VAE = {
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
    "mid_block.attentions.0": "mid.attn_1",
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
    "conv_norm_out": "norm_out",
    "conv_shortcut": "nin_shortcut",
}
_OPEN_CLIP = {
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "final_layer_norm": "ln_final",
    "encoder.layers": "transformer.resblocks",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_SD3 = {
    "pos_embed.pos_embed": "pos_embed",
    "pos_embed.proj": "x_embedder.proj",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "proj_out": "final_layer.linear",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
}
_SD3_BLOCK = {
    "attn.to_out.0": "x_block.attn.proj",
    "attn.to_add_out": "context_block.attn.proj",
    "attn2.to_out.0": "x_block.attn2.proj",
    "attn.norm_q": "x_block.attn.ln_q",
    "attn.norm_k": "x_block.attn.ln_k",
    "attn2.norm_q": "x_block.attn2.ln_q",
    "attn2.norm_k": "x_block.attn2.ln_k",
    "attn.norm_added_q": "context_block.attn.ln_q",
    "attn.norm_added_k": "context_block.attn.ln_k",
    "norm1.linear": "x_block.adaLN_modulation.1",
    "norm1_context.linear": "context_block.adaLN_modulation.1",
    "ff.net.0.proj": "x_block.mlp.fc1",
    "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1",
    "ff_context.net.2": "context_block.mlp.fc2",
}


def write_sd(folder: Path, file: Path, **more: torch.Tensor) -> Path:
    """Write the file of a Stable Diffusion 1 folder; `more` are tensors beside it."""
    text = prefixed(_clip(folder, "text_encoder"), "cond_stage_model.transformer.")
    return save_state({**_sd_networks(folder), **text, **more}, file)


def write_sd2(folder: Path, file: Path) -> Path:
    """Write the file of a Stable Diffusion 2 folder, with the encoder of OpenCLIP."""
    text = prefixed(_open_clip(folder, "text_encoder"), "cond_stage_model.model.")
    return save_state({**_sd_networks(folder), **text}, file)


def write_sdxl(folder: Path, file: Path, **more: torch.Tensor) -> Path:
    """Write the file of a Stable Diffusion XL folder."""
    begin = "conditioner.embedders."
    text = prefixed(_clip(folder, "text_encoder"), begin + "0.transformer.")
    text |= prefixed(_open_clip(folder, "text_encoder_2"), begin + "1.model.")
    return save_state({**_sd_networks(folder), **text, **more}, file)


def write_sd3(folder: Path, file: Path) -> Path:
    """Write the transformer of a Stable Diffusion 3 folder, and nothing else."""
    state = _sd3(load_part(folder, "transformer"))
    return save_state(prefixed(state, "model.diffusion_model."), file)


def write_network(folder: Path, file: Path) -> Path:
    """Write a transformer under the names of diffusers, which some authors keep."""
    return save_state(load_part(folder, "transformer"), file)


def make_wide_sdxl(folder: Path) -> Path:
    """Save a small SDXL whose text encoders differ in width, as the real ones do.

    diffusers tells them by it.
    """
    parts = Parts(folder)
    wide = transformers.CLIPTextConfig(
        vocab_size=len(parts.tokenizer),
        hidden_size=2 * TEXT,
        intermediate_size=2 * TEXT,
        projection_dim=2 * TEXT,
        num_hidden_layers=3,
        num_attention_heads=2,
        bos_token_id=parts.tokenizer.bos_token_id,
        eos_token_id=parts.tokenizer.eos_token_id,
        pad_token_id=parts.tokenizer.pad_token_id,
    )
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        norm_num_groups=8,
        cross_attention_dim=3 * TEXT,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 2 * TEXT,
    )
    return parts.save(
        diffusers.StableDiffusionXLPipeline(
            vae=parts.vae(scaling_factor=0.13025),
            text_encoder=parts.clip(transformers.CLIPTextModel),
            text_encoder_2=parts.randomize(
                transformers.CLIPTextModelWithProjection(wide)
            ),
            tokenizer=parts.tokenizer,
            tokenizer_2=parts.tokenizer,
            unet=parts.randomize(unet),
            scheduler=diffusers.EulerDiscreteScheduler(**TRAINED),
            add_watermarker=False,
        )
    )


def without_weights(folder: Path, *parts: str) -> Path:
    """Remove the weights of a folder, of these components or of all."""
    for file in folder.rglob("*.safetensors"):
        if not parts or file.parent.name in parts:
            file.unlink()
    return folder


def load_part(folder: Path, part: str) -> State:
    """Return the weights of a component of a folder."""
    (file,) = (folder / part).glob("*.safetensors")
    return load_file(file)


def save_state(state: Mapping[str, torch.Tensor], file: Path) -> Path:
    """Write weights to a file, and return it."""
    save_file({name: each.contiguous() for name, each in state.items()}, file)
    return file


def prefixed(state: State, prefix: str) -> State:
    """Return weights with a prefix before each name."""
    return {prefix + name: each for name, each in state.items()}


def _renamed(state: State, rename: Callable[[str], str]) -> State:
    return {rename(name): each for name, each in state.items()}


def _replace(name: str, table: Mapping[str, str]) -> str:
    """Replace whole parts of a name."""
    for old, new in table.items():
        pattern = rf"(?<![^.]){re.escape(old)}(?![^.])"
        name = re.sub(pattern, new, name)
    return name


def _sd_networks(folder: Path) -> State:
    unet = _unet(load_part(folder, "unet"), read_json(folder / "unet/config.json"))
    vae = _vae(load_part(folder, "vae"))
    return {
        **prefixed(unet, "model.diffusion_model."),
        **prefixed(vae, "first_stage_model."),
    }


def _unet(state: State, config: Mapping[str, Any]) -> State:
    layers = config["layers_per_block"]

    def rename(name: str) -> str:
        found = re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name)
        if found is None:
            return _resnet(_replace(name, _UNET))
        side, block, kind, layer, rest = found.groups()
        first = int(block) * (layers + 1)
        if kind == "downsamplers":
            return f"input_blocks.{first + layers + 1}.0.{rest.replace('conv', 'op')}"
        if kind == "upsamplers":
            has_attention = any(
                each.startswith(f"up_blocks.{block}.attentions") for each in state
            )
            return f"output_blocks.{first + layers}.{1 + has_attention}.{rest}"
        number = first + int(layer) + (side == "down")
        begin = "input" if side == "down" else "output"
        place = f"{begin}_blocks.{number}.{int(kind == 'attentions')}"
        return f"{place}.{_replace(rest, _RESNET) if kind == 'resnets' else rest}"

    return _renamed(state, rename)


def _resnet(name: str) -> str:
    is_resnet = name.startswith(("middle_block.0", "middle_block.2"))
    return _replace(name, _RESNET) if is_resnet else name


def _vae(state: State) -> State:
    first = re.compile(r"decoder\.up_blocks\.\d+\.resnets\.0\.norm1\.bias")
    blocks = len([name for name in state if first.fullmatch(name)])

    def rename(name: str) -> str:
        name = re.sub(
            r"up_blocks\.(\d+)", lambda each: f"up.{blocks - 1 - int(each[1])}", name
        )
        name = re.sub(r"down_blocks\.(\d+)", r"down.\1", name)
        name = re.sub(r"((?:up|down)\.\d+)\.resnets", r"\1.block", name)
        name = name.replace("downsamplers.0", "downsample")
        return _replace(name.replace("upsamplers.0", "upsample"), _VAE)

    # The attention's linear layers were convolutions.
    return {
        name: each[:, :, None, None] if ".attn_1." in name and each.ndim == 2 else each
        for name, each in _renamed(state, rename).items()
    }


def _clip(folder: Path, part: str) -> State:
    state = load_part(folder, part)
    return _renamed(
        state, lambda name: "text_model." + name.removeprefix("text_model.")
    )


def _open_clip(folder: Path, part: str) -> State:
    found: State = {}
    state = _renamed(
        load_part(folder, part), lambda name: name.removeprefix("text_model.")
    )
    for name, each in state.items():
        if name == "text_projection.weight":
            found["text_projection"] = each.T
        elif ".q_proj." in name:
            rest = [state[name.replace("q_proj", f"{one}_proj")] for one in "kv"]
            begin = _replace(name, _OPEN_CLIP)
            whole = begin.replace("self_attn.q_proj.", "attn.in_proj_")
            found[whole] = torch.cat([each, *rest])
        elif not re.search(r"\.[kv]_proj\.", name):
            found[_replace(name, _OPEN_CLIP)] = each
    return found


def _sd3(state: State) -> State:
    found: State = {}
    for name, each in state.items():
        block, rest = re.findall(r"(?:transformer_blocks\.(\d+)\.)?(.*)", name)[0]
        if not block:
            found[_replace(rest, _SD3)] = each
            continue
        begin = f"joint_blocks.{block}."
        if joined := re.fullmatch(r"(attn2?)\.(to_q|add_q_proj)\.(\w+)", rest):
            side = "x_block" if joined[2] == "to_q" else "context_block"
            three = [
                state[name.replace(joined[2], joined[2].replace("_q", f"_{letter}"))]
                for letter in "qkv"
            ]
            found[f"{begin}{side}.{joined[1]}.qkv.{joined[3]}"] = torch.cat(three)
        elif not re.fullmatch(r"attn2?\.(to_[kv]|add_[kv]_proj)\.\w+", rest):
            found[begin + _replace(rest, _SD3_BLOCK)] = each
    last = max(int(name.split(".")[1]) for name in found if name.startswith("joint_"))
    swapped = ("final_layer.adaLN", f"joint_blocks.{last}.context_block.adaLN")
    return {
        name: torch.cat(each.chunk(2)[::-1]) if name.startswith(swapped) else each
        for name, each in found.items()
    }
