"""Small pipelines of diffusers' own classes with random weights, saved in seconds.

All paint images of 64 x 64 pixels. Their VAEs scale and shift latents as real ones do,
so that a wrong order of these shows.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from tests.unit.tiny_folders import write_tokenizer

#: Width of each text encoder; T5 is twice as wide.
TEXT = 16
SIDE = 8

#: The beta schedule of Stable Diffusion.
TRAINED = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}

#: The network of Flux, and of what was made from it.
SMALL_FLUX = {
    "patch_size": 1,
    "in_channels": 16,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 2 * TEXT,
    "axes_dims_rope": (4, 6, 6),
}


def make_sd(folder: Path, **unet: Any) -> Path:
    """Save a Stable Diffusion pipeline; `unet` changes the config of its network."""
    parts = Parts(folder)
    # The real config, `clip_sample` included, which the class does not know.
    scheduler = diffusers.PNDMScheduler(
        **TRAINED, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1
    )
    scheduler.register_to_config(clip_sample=False)
    return parts.save(
        diffusers.StableDiffusionPipeline(
            vae=parts.vae(scaling_factor=0.18215),
            text_encoder=parts.clip(transformers.CLIPTextModel),
            tokenizer=parts.tokenizer,
            unet=parts.unet(cross_attention_dim=TEXT, **unet),
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    )


def make_sdxl(folder: Path, **vae: Any) -> Path:
    """Save a Stable Diffusion XL pipeline; `vae` changes the config of its VAE."""
    parts = Parts(folder)
    return parts.save(
        diffusers.StableDiffusionXLPipeline(
            vae=parts.vae(scaling_factor=0.13025, **vae),
            text_encoder=parts.clip(transformers.CLIPTextModel),
            text_encoder_2=parts.clip(transformers.CLIPTextModelWithProjection),
            tokenizer=parts.tokenizer,
            tokenizer_2=parts.tokenizer,
            unet=parts.unet(
                cross_attention_dim=2 * TEXT,
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                transformer_layers_per_block=(1, 1),
                # Six numbers for sizes and crop, 8 wide each, and the pooled embedding.
                projection_class_embeddings_input_dim=6 * 8 + TEXT,
            ),
            scheduler=diffusers.EulerDiscreteScheduler(**TRAINED),
            add_watermarker=False,
        )
    )


def make_sd3(
    folder: Path, *, transformer: Mapping[str, Any] | None = None, **scheduler: Any
) -> Path:
    """Save a Stable Diffusion 3 pipeline; arguments change configs of its parts."""
    parts = Parts(folder)
    network = diffusers.SD3Transformer2DModel(
        sample_size=SIDE,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=2 * TEXT,
        caption_projection_dim=16,
        pooled_projection_dim=2 * TEXT,
        pos_embed_max_size=2 * SIDE,
        **(transformer or {}),
    )
    return parts.save(
        diffusers.StableDiffusion3Pipeline(
            vae=parts.vae(
                scaling_factor=1.5305,
                shift_factor=0.0609,
                use_quant_conv=False,
                use_post_quant_conv=False,
            ),
            text_encoder=parts.clip(transformers.CLIPTextModelWithProjection),
            text_encoder_2=parts.clip(transformers.CLIPTextModelWithProjection),
            text_encoder_3=parts.t5(),
            tokenizer=parts.tokenizer,
            tokenizer_2=parts.tokenizer,
            tokenizer_3=parts.t5_tokenizer,
            transformer=parts.finish(network, "proj_out", (4, SIDE, SIDE)),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
                **{"shift": 3.0, **scheduler}
            ),
        )
    )


def make_flux(folder: Path, *, embeds_guidance: bool, **transformer: Any) -> Path:
    """Save a Flux pipeline: like Flux-dev, or like Flux-schnell without guidance.

    `transformer` changes the config of its network.
    """
    parts = Parts(folder)
    config = {**SMALL_FLUX, **transformer}
    network = diffusers.FluxTransformer2DModel(
        pooled_projection_dim=TEXT, guidance_embeds=embeds_guidance, **config
    )
    return parts.save(
        diffusers.FluxPipeline(
            vae=parts.vae(
                scaling_factor=0.3611,
                shift_factor=0.1159,
                use_quant_conv=False,
                use_post_quant_conv=False,
            ),
            text_encoder=parts.clip(transformers.CLIPTextModel),
            text_encoder_2=parts.t5(),
            tokenizer=parts.tokenizer,
            tokenizer_2=parts.t5_tokenizer,
            transformer=parts.finish(network, "proj_out", (SIDE * SIDE // 4, 16)),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
                shift=3.0, use_dynamic_shifting=embeds_guidance
            ),
        )
    )


class Parts:
    """The parts of one pipeline, with weights from one random generator."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seed = torch.Generator().manual_seed(8)
        write_tokenizer(folder / "tokenizer")
        self.tokenizer = transformers.CLIPTokenizer.from_pretrained(
            folder / "tokenizer"
        )
        letters = [(letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
        marks = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
        self.t5_tokenizer = transformers.T5TokenizerFast(
            vocab=marks + letters, extra_ids=0, model_max_length=32
        )

    def save(self, pipe: Any) -> Path:
        pipe.save_pretrained(self._folder)
        return self._folder

    def clip(self, kind: Any, **changes: Any) -> Any:
        config = transformers.CLIPTextConfig(
            vocab_size=len(self.tokenizer),
            hidden_size=TEXT,
            intermediate_size=2 * TEXT,
            projection_dim=TEXT,
            num_hidden_layers=3,
            num_attention_heads=2,
            bos_token_id=self.tokenizer.bos_token_id,
            eos_token_id=self.tokenizer.eos_token_id,
            pad_token_id=self.tokenizer.pad_token_id,
            **changes,
        )
        return self.randomize(kind(config))

    def t5(self) -> Any:
        config = transformers.T5Config(
            vocab_size=len(self.t5_tokenizer),
            d_model=2 * TEXT,
            d_kv=8,
            d_ff=2 * TEXT,
            num_layers=1,
            num_heads=2,
        )
        return self.randomize(transformers.T5EncoderModel(config))

    def unet(self, **changes: Any) -> Any:
        unet = diffusers.UNet2DConditionModel(
            sample_size=SIDE,
            block_out_channels=(16, 32),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=(2, 4),
            use_linear_projection=True,
            norm_num_groups=8,
            **changes,
        )
        return self.finish(unet, "conv_out", (4, SIDE, SIDE))

    def vae(self, **changes: Any) -> Any:
        vae = diffusers.AutoencoderKL(
            block_out_channels=(8, 8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            norm_num_groups=4,
            sample_size=64,
            **{"latent_channels": 4, **changes},
        )
        return self.randomize(vae)

    @torch.no_grad()
    def finish(self, network: Any, last: str, shape: tuple[int, ...]) -> Any:
        """Set the weights, and scale outputs to the size of noise.

        Otherwise all images would look alike.
        """
        self.randomize(network)
        answer = network(**self._question(network, shape), return_dict=False)[0]
        getattr(network, last).weight.div_(answer.std())
        return network

    def _question(self, network: Any, shape: tuple[int, ...]) -> dict[str, Any]:
        config = network.config
        wide = config.get("cross_attention_dim") or config.get("joint_attention_dim")
        noise = torch.randn(2, *shape, generator=self._seed)
        text = torch.randn(2, 77, wide, generator=self._seed)
        pooled = torch.randn(2, 2 * TEXT, generator=self._seed)
        asked = {"timestep": torch.full((2,), 500.0), "encoder_hidden_states": text}
        if len(shape) == 2:
            ids = {"img_ids": torch.zeros(shape[0], 3), "txt_ids": torch.zeros(77, 3)}
            guidance = torch.full((2,), 3.5) if config.guidance_embeds else None
            asked |= {**ids, "guidance": guidance, "timestep": torch.full((2,), 0.5)}
        if "pooled_projection_dim" in config:
            pooled = pooled[:, : config.pooled_projection_dim]
            return {"hidden_states": noise, "pooled_projections": pooled, **asked}
        if config.addition_embed_type:
            sizes = torch.full((2, 6), 64.0)
            given = {"text_embeds": pooled[:, :TEXT], "time_ids": sizes}
            asked["added_cond_kwargs"] = given
        return {"sample": noise, **asked}

    def randomize(self, network: Any) -> Any:
        """Set the weights from the seed; constructors use the global generator."""
        for name, weight in network.named_parameters():
            if weight.ndim > 1:
                torch.nn.init.xavier_normal_(weight, generator=self._seed)
            elif name.endswith("bias"):
                torch.nn.init.zeros_(weight)
        return network.eval()
