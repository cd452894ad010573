"""Which architecture a single-file checkpoint has, by the names of its tensors.

The names are those by which `from_single_file` of diffusers 0.42 knows them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from storage.models.tensor_headers import Header

#: What programs that save a whole checkpoint put before the names of the network.
_WHOLE = "model.diffusion_model."
_CONV_IN = _WHOLE + "input_blocks.0.0.weight"
_CONTEXT = (
    _WHOLE + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
    _WHOLE + "input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight",
    _WHOLE + "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",
)
_SDXL_ENCODERS = "conditioner.embedders."


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A kind of checkpoint.

    Attributes:
        name: As people call it.
        pipelines: Classes of diffusers that make images with it; the first is meant
            where no configuration names one. None for what does not make images.
        network: The component that the file is about.
        encoders: Component to what the names of its tensors begin with, for the text
            encoders that such a file may hold.
        own: The folder of `single_file/` with its configuration; None where there is
            none.
        marks: A file has this architecture if it has a tensor of one of these names,
            alone or after `model.diffusion_model.`.
    """

    name: str
    pipelines: tuple[str, ...] = ()
    network: str = "transformer"
    encoders: Mapping[str, str] = field(default_factory=dict)
    own: str | None = None
    marks: tuple[str, ...] = ()

    def held(self, header: Header) -> frozenset[str]:
        """Return the components whose weights the file holds."""
        encoders = [
            part for part, prefix in self.encoders.items() if header.has(prefix)
        ]
        vae = ["vae"] if header.has("first_stage_model.", "vae.") else []
        return frozenset([self.network, *encoders, *vae])


SD1 = Architecture(
    name="Stable Diffusion 1",
    pipelines=("StableDiffusionPipeline", "LatentConsistencyModelPipeline"),
    network="unet",
    encoders={"text_encoder": "cond_stage_model.transformer."},
    own="sd1",
)
SD2 = Architecture(
    name="Stable Diffusion 2",
    pipelines=("StableDiffusionPipeline",),
    network="unet",
    encoders={"text_encoder": "cond_stage_model.model."},
    own="sd2",
)
SDXL = Architecture(
    name="Stable Diffusion XL",
    pipelines=("StableDiffusionXLPipeline",),
    network="unet",
    encoders={
        "text_encoder": _SDXL_ENCODERS + "0.transformer.",
        "text_encoder_2": _SDXL_ENCODERS + "1.model.",
    },
    own="sdxl",
)
PLAYGROUND = replace(SDXL, name="Playground 2.5", own=None)
REFINER = Architecture(name="the refiner of Stable Diffusion XL")
INPAINTING = Architecture(name="an inpainting model")
PIX2PIX = Architecture(name="InstructPix2Pix")
UPSCALER = Architecture(name="an upscaler")
_CLIP_L, _T5 = "text_encoders.clip_l.", "text_encoders.t5xxl."

#: In the order in which they are looked for.
_BY_MARK = (
    Architecture(
        name="a LoRA",
        marks=(
            "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight",
            "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",
        ),
    ),
    Architecture(name="a textual inversion", marks=("emb_params", "clip_l")),
    Architecture(
        name="a ControlNet",
        marks=(
            *("control_model.time_embed.0.weight", "input_hint_block.0.weight"),
            "controlnet_cond_embedding.conv_in.weight",
            *("control_all_x_embedder.2-1.weight",),
            "control_layers.14.adaLN_modulation.0.weight",
        ),
    ),
    Architecture(
        name="Stable Diffusion 3",
        pipelines=("StableDiffusion3Pipeline",),
        encoders={
            "text_encoder": _CLIP_L,
            "text_encoder_2": "text_encoders.clip_g.",
            "text_encoder_3": _T5,
        },
        marks=("joint_blocks.0.context_block.adaLN_modulation.1.bias",),
    ),
    Architecture(
        name="FLUX.2",
        pipelines=("Flux2Pipeline", "Flux2KleinPipeline"),
        marks=("single_stream_modulation.lin.weight",),
    ),
    Architecture(
        name="Chroma",
        pipelines=("ChromaPipeline",),
        marks=("distilled_guidance_layer.in_proj.bias",),
    ),
    Architecture(
        name="FLUX.1",
        pipelines=("FluxPipeline",),
        encoders={"text_encoder": _CLIP_L, "text_encoder_2": _T5},
        marks=("double_blocks.0.img_attn.norm.key_norm.scale",),
    ),
    Architecture(
        name="AuraFlow",
        pipelines=("AuraFlowPipeline",),
        marks=("double_layers.0.attn.w2q.weight",),
    ),
    Architecture(
        name="Z-Image",
        pipelines=("ZImagePipeline",),
        marks=("layers.0.adaLN_modulation.0.weight",),
    ),
    Architecture(
        name="Lumina 2",
        pipelines=("Lumina2Pipeline",),
        marks=("cap_embedder.0.weight",),
    ),
    Architecture(
        name="Sana",
        pipelines=("SanaPipeline", "SanaPAGPipeline", "SanaSprintPipeline"),
        marks=("blocks.0.cross_attn.q_linear.weight",),
    ),
    Architecture(
        name="Qwen-Image 2.1",
        pipelines=("QwenImage21Pipeline",),
        marks=("txt_in.text_norm.weight",),
    ),
    Architecture(
        name="Krea 2",
        pipelines=("Krea2Pipeline",),
        marks=("txtfusion.projector.weight",),
    ),
    Architecture(
        name="Qwen-Image",
        pipelines=("QwenImagePipeline",),
        marks=("transformer_blocks.0.img_mod.1.weight",),
    ),
    Architecture(
        name="HiDream",
        pipelines=("HiDreamImagePipeline",),
        marks=("double_stream_blocks.0.block.adaLN_modulation.1.bias",),
    ),
    Architecture(
        name="Ernie",
        pipelines=("ErnieImagePipeline",),
        marks=("layers.0.adaLN_sa_ln.weight",),
    ),
    Architecture(
        name="Cosmos",
        marks=(
            "net.pos_embedder.dim_spatial_range",
            "net.extra_pos_embedder.pos_emb_h",
        ),
    ),
    Architecture(name="FLUX.3", marks=("early_stream_modulations.image.lin.weight",)),
    Architecture(
        name="MiniMax H3", marks=("token_refiner.blocks.0.attn.qkv_proj.weight",)
    ),
    Architecture(
        name="Stable Cascade",
        marks=("clip_txt_mapper.weight", "down_blocks.1.0.channelwise.0.weight"),
    ),
    Architecture(
        name="a model of videos",
        marks=(
            *("patchify_proj.weight", "blocks.0.attn.qkv_x.weight", "head.modulation"),
            "txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias",
            "av_ca_a2v_gate_adaln_single.emb.timestep_embedder.linear_1.weight",
            *("motion_encoder.dec.direction.weight",),
            "down_blocks.0.motion_modules.0.temporal_transformer.norm.weight",
        ),
    ),
)
#: All of them.
ARCHITECTURES = (
    *(SD1, SD2, SDXL, PLAYGROUND, REFINER, INPAINTING, PIX2PIX, UPSCALER),
    *_BY_MARK,
)
_LORA_ENDS = (
    ".lora_down.weight",
    ".lora_A.weight",
    ".lora_A.default.weight",
    ".lokr_w1",
)
_VAE_ONLY = ("decoder.conv_in.weight", "decoder.conv_in.conv.bias")


def recognise(header: Header) -> Architecture | None:
    """Return the architecture of a checkpoint; None if its tensors have other names."""
    if any(name.endswith(_LORA_ENDS) for name in header.tensors):
        return _BY_MARK[0]
    if _CONV_IN in header.tensors:
        return _by_channels(header) or _by_encoders(header)
    for each in _BY_MARK:
        names = [*each.marks, *(_WHOLE + mark for mark in each.marks)]
        if any(name in header.tensors for name in names):
            return each
    if any(name in header.tensors for name in _VAE_ONLY):
        return Architecture(name="a VAE")
    if header.has("model_ema."):
        return Architecture(name="averaged weights (EMA) alone")
    return None


def stated_width(header: Header) -> int | None:
    """Return how wide the texts are that a UNet takes; None where it does not say."""
    sides = (header.side(name, -1) for name in _CONTEXT)
    return next((side for side in sides if side is not None), None)


def _by_channels(header: Header) -> Architecture | None:
    """Return what a UNet is that takes more than the noise."""
    more = {7: UPSCALER, 8: PIX2PIX, 9: INPAINTING}
    return more.get(header.side(_CONV_IN, 1) or 0)


def _by_encoders(header: Header) -> Architecture | None:
    """Tell the UNets by the text encoders beside them, else by the texts they take."""
    if header.has(_SDXL_ENCODERS + "0.model."):
        return REFINER
    if "edm_mean" in header.tensors:
        return PLAYGROUND
    for each in (SD1, SD2, SDXL):
        if header.has(*each.encoders.values()):
            return each
    return {768: SD1, 1024: SD2, 1280: REFINER, 2048: SDXL}.get(
        stated_width(header) or 0
    )
