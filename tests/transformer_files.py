"""Files of transformers in the layouts of their authors, from folders of diffusers.

Each layout undoes what `from_single_file` of diffusers does with such a file.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from tests.single_files import State, load_part, save_state

#: What a pattern for names is replaced by, in this order.
Rules = Mapping[str, str]


class Join(NamedTuple):
    """Layers that are one: a pattern of what is before their names, and the names."""

    before: str
    layers: tuple[str, ...]
    whole: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How authors write a transformer.

    Attributes:
        joins: Layers that are one layer in the file, by the names of diffusers.
        names: What the names become after that.
        swapped: Beginnings of names that have shift and scale in the other order.
        flat: Ends of names of tensors that are written as one row.
        extra: Names of tensors that diffusers does not use, and their shapes.
    """

    joins: tuple[Join, ...] = ()
    names: Rules = field(default_factory=dict)
    swapped: tuple[str, ...] = ()
    flat: tuple[str, ...] = ()
    extra: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __call__(self, folder: Path, file: Path) -> Path:
        """Write the transformer of a folder to a file, and return it."""
        state = self._joined(load_part(folder, "transformer"))
        found = {self._renamed(name): each for name, each in state.items()}
        for name, each in found.items():
            if name.startswith(self.swapped) and self.swapped:
                found[name] = torch.cat(each.chunk(2)[::-1])
            elif name.endswith(self.flat) and self.flat:
                found[name] = each.flatten()
        more = {name: torch.zeros(shape) for name, shape in self.extra.items()}
        return save_state({**found, **more}, file)

    def _joined(self, state: State) -> State:
        for before, layers, whole in self.joins:
            first = re.compile(before + re.escape(layers[0]))
            for name in filter(first.match, list(state)):
                parts = [state.pop(name.replace(layers[0], each)) for each in layers]
                state[name.replace(layers[0], whole)] = torch.cat(parts)
        return state

    def _renamed(self, name: str) -> str:
        for pattern, new in self.names.items():
            name = re.sub(pattern, new, name)
        return name


_QKV = ("attn.to_q", "attn.to_k", "attn.to_v")
_ADDED = ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")
_DOUBLE, _SINGLE = r"transformer_blocks\.\d+\.", r"single_transformer_blocks\.\d+\."
_IMAGE_AND_TEXT = (
    Join(_DOUBLE, _QKV, "img_attn.qkv"),
    Join(_DOUBLE, _ADDED, "txt_attn.qkv"),
)
_FLUX_BLOCKS = {
    r"^transformer_blocks": "double_blocks",
    r"^single_transformer_blocks": "single_blocks",
    r"(double.+)norm1\.linear": r"\1img_mod.lin",
    r"(double.+)norm1_context\.linear": r"\1txt_mod.lin",
    r"(double.+)attn\.norm_(q|k)\.weight": r"\1img_attn.norm.\2_norm.scale",
    r"(double.+)attn\.norm_added_(q|k)\.weight": r"\1txt_attn.norm.\2_norm.scale",
    r"(single.+)attn\.norm_(q|k)\.weight": r"\1norm.\2_norm.scale",
    r"\.q_norm\.": ".query_norm.",
    r"\.k_norm\.": ".key_norm.",
    r"attn\.to_out\.0": "img_attn.proj",
    r"attn\.to_add_out": "txt_attn.proj",
}
_FLUX_NAMES = {
    **_FLUX_BLOCKS,
    r"ff\.net\.0\.proj": "img_mlp.0",
    r"ff\.net\.2": "img_mlp.2",
    r"ff_context\.net\.0\.proj": "txt_mlp.0",
    r"ff_context\.net\.2": "txt_mlp.2",
    r"(single.+)norm\.linear": r"\1modulation.lin",
    r"(single.+)proj_out": r"\1linear2",
    r"^proj_out": "final_layer.linear",
    r"^context_embedder": "txt_in",
    r"^x_embedder": "img_in",
}
_FLUX_JOINS = (*_IMAGE_AND_TEXT, Join(_SINGLE, (*_QKV, "proj_mlp"), "linear1"))
FLUX = Layout(
    joins=_FLUX_JOINS,
    names={
        **_FLUX_NAMES,
        r"time_text_embed\.timestep_embedder": "time_in",
        r"time_text_embed\.text_embedder": "vector_in",
        r"time_text_embed\.guidance_embedder": "guidance_in",
        r"_in\.linear_1": "_in.in_layer",
        r"_in\.linear_2": "_in.out_layer",
        r"norm_out\.linear": "final_layer.adaLN_modulation.1",
    },
    swapped=("final_layer.adaLN",),
)
CHROMA = Layout(
    joins=_FLUX_JOINS,
    names={
        **_FLUX_NAMES,
        r"(distilled.+)linear_1": r"\1in_layer",
        r"(distilled.+)linear_2": r"\1out_layer",
        r"(distilled.+norms.+)weight": r"\1scale",
    },
)
FLUX2 = Layout(
    joins=_IMAGE_AND_TEXT,
    names={
        **_FLUX_BLOCKS,
        r"ff\.linear_in": "img_mlp.0",
        r"ff\.linear_out": "img_mlp.2",
        r"ff_context\.linear_in": "txt_mlp.0",
        r"ff_context\.linear_out": "txt_mlp.2",
        r"attn\.to_qkv_mlp_proj": "linear1",
        r"(single.+)attn\.to_out": r"\1linear2",
        r"stream_modulation(\w*)\.linear": r"stream_modulation\1.lin",
        r"time_guidance_embed\.timestep_embedder": "time_in",
        r"time_guidance_embed\.guidance_embedder": "guidance_in",
        r"_in\.linear_1": "_in.in_layer",
        r"_in\.linear_2": "_in.out_layer",
        r"norm_out\.linear": "final_layer.adaLN_modulation.1",
        r"^proj_out": "final_layer.linear",
        r"^context_embedder": "txt_in",
        r"^x_embedder": "img_in",
    },
    swapped=("final_layer.adaLN",),
)
Z_IMAGE = Layout(
    joins=(Join(r".*attention\.", ("to_q", "to_k", "to_v"), "qkv"),),
    names={
        r"attention\.to_out\.0": "attention.out",
        r"attention\.norm_(\w)": r"attention.\1_norm",
        r"all_(final_layer|x_embedder)\.2-1": r"\1",
    },
    extra={"norm_final.weight": (32,)},
)
LUMINA2 = Layout(
    joins=(Join(r".*attn\.", ("to_q", "to_k", "to_v"), "qkv"),),
    names={
        r"attn\.to_out\.0": "attention.out",
        r"attn\.norm_(\w)": r"attention.\1_norm",
        r"attn\.": "attention.",
        r"linear_(\d)": r"w\1",
        r"norm1\.linear": "adaLN_modulation.1",
        r"norm1\.norm": "attention_norm1",
        r"\.norm(\d)": r".attention_norm\1",
        r"norm_out\.w1": "final_layer.adaLN_modulation.1",
        r"norm_out\.w2": "final_layer.linear",
        r"time_caption_embed\.caption_embedder": "cap_embedder",
        r"time_caption_embed\.timestep_embedder\.w1": "t_embedder.mlp.0",
        r"time_caption_embed\.timestep_embedder\.w2": "t_embedder.mlp.2",
    },
    extra={"norm_final.weight": (32,)},
)
AURA_FLOW = Layout(
    names={
        r"joint_transformer_blocks": "double_layers",
        r"single_transformer_blocks": "single_layers",
        r"ff_context\.": "mlpC.",
        r"(double.+)ff\.": r"\1mlpX.",
        r"(single.+)ff\.": r"\1mlp.",
        r"(mlp\w?)\.linear_": r"\1.c_fc",
        r"out_projection": "c_proj",
        r"norm1_context\.linear": "modC.1",
        r"(double.+)norm1\.linear": r"\1modX.1",
        r"(single.+)norm1\.linear": r"\1modCX.1",
        r"(double.+)to_out\.0": r"\1w2o",
        r"(double.+)to_([qkv])": r"\1w2\2",
        r"(single.+)to_out\.0": r"\1w1o",
        r"(single.+)to_([qkv])": r"\1w1\2",
        r"add_([qkv])_proj": r"w1\1",
        r"to_add_out": "w1o",
        r"time_step_proj\.linear_1": "t_embedder.mlp.0",
        r"time_step_proj\.linear_2": "t_embedder.mlp.2",
        r"^context_embedder": "cond_seq_linear",
        r"^proj_out": "final_linear",
        r"^norm_out\.linear": "modF.1",
        r"^pos_embed\.pos_embed": "positional_encoding",
        r"^pos_embed\.proj": "init_x_linear",
    },
    swapped=("modF.1",),
)
SANA = Layout(
    joins=(
        Join(r".*attn1\.", ("to_q", "to_k", "to_v"), "qkv"),
        Join(r".*attn2\.", ("to_k", "to_v"), "kv_linear"),
    ),
    names={
        r"transformer_blocks": "blocks",
        r"attn1\.to_out\.0": "attn.proj",
        r"attn1\.": "attn.",
        r"attn2\.to_out\.0": "cross_attn.proj",
        r"attn2\.to_q": "cross_attn.q_linear",
        r"attn2\.": "cross_attn.",
        r"ff\.conv_(inverted|depth|point)": r"mlp.\1_conv.conv",
        r"^patch_embed\.proj": "x_embedder.proj",
        r"^time_embed\.emb\.timestep_embedder\.linear_1": "t_embedder.mlp.0",
        r"^time_embed\.emb\.timestep_embedder\.linear_2": "t_embedder.mlp.2",
        r"^time_embed\.linear": "t_block.1",
        r"^caption_projection\.linear_": "y_embedder.y_proj.fc",
        r"^caption_norm": "attention_y_norm",
        r"^proj_out": "final_layer.linear",
        r"^scale_shift_table": "final_layer.scale_shift_table",
    },
    extra={"pos_embed": (1, 4, 8), "y_embedder.y_embedding": (8, 16)},
)
KREA2 = Layout(
    names={
        r"^img_in": "first",
        r"^time_embed\.linear_1": "tmlp.0",
        r"^time_embed\.linear_2": "tmlp.2",
        r"^time_mod_proj": "tproj.1",
        r"^txt_in\.norm\.weight": "txtmlp.0.scale",
        r"^txt_in\.linear_1": "txtmlp.1",
        r"^txt_in\.linear_2": "txtmlp.3",
        r"^text_fusion": "txtfusion",
        r"^transformer_blocks": "blocks",
        r"^final_layer\.norm\.weight": "last.norm.scale",
        r"^final_layer\.scale_shift_table": "last.modulation.lin",
        r"^final_layer": "last",
        r"attn\.to_out\.0": "attn.wo",
        r"attn\.to_gate": "attn.gate",
        r"attn\.to_": "attn.w",
        r"attn\.norm_(\w)\.weight": r"attn.qknorm.\1norm.scale",
        r"\.ff\.": ".mlp.",
        r"norm1\.weight": "prenorm.scale",
        r"norm2\.weight": "postnorm.scale",
        r"scale_shift_table": "mod.lin",
    },
    flat=(".mod.lin",),
)
