"""Small models with random weights, of pipelines that pack latents to tokens."""

from pathlib import Path
from typing import Any

import diffusers

from tests.tiny_pipelines import SMALL_FLUX, TEXT, Parts
from tests.tiny_texts import (
    make_qwen3,
    make_qwen3_vl,
    make_qwen_vl,
    write_qwen_tokenizer,
)


def make_flux2(folder: Path) -> Path:
    parts = Parts(folder)
    return parts.save(
        diffusers.Flux2Pipeline(
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
                use_dynamic_shifting=True
            ),
            vae=flux2_vae(parts),
            text_encoder=make_qwen3(parts, layers=31),
            tokenizer=write_qwen_tokenizer(folder),
            transformer=_flux2_transformer(parts, guidance_embeds=True),
        )
    )


def make_klein(folder: Path, *, is_distilled: bool) -> Path:
    parts = Parts(folder)
    return parts.save(
        diffusers.Flux2KleinPipeline(
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
                use_dynamic_shifting=True
            ),
            vae=flux2_vae(parts),
            text_encoder=make_qwen3(parts, layers=28),
            tokenizer=write_qwen_tokenizer(folder),
            transformer=_flux2_transformer(parts, guidance_embeds=False),
            is_distilled=is_distilled,
        )
    )


def make_qwen(folder: Path) -> Path:
    parts = Parts(folder)
    return parts.save(
        diffusers.QwenImagePipeline(
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
            vae=qwen_vae(parts),
            text_encoder=make_qwen_vl(parts),
            tokenizer=write_qwen_tokenizer(folder),
            transformer=parts.randomize(
                diffusers.QwenImageTransformer2DModel(
                    patch_size=2,
                    in_channels=16,
                    out_channels=4,
                    num_layers=1,
                    attention_head_dim=16,
                    num_attention_heads=2,
                    joint_attention_dim=TEXT,
                    guidance_embeds=False,
                    axes_dims_rope=(8, 4, 4),
                )
            ),
        )
    )


def make_z_image(folder: Path) -> Path:
    parts = Parts(folder)
    return parts.save(
        diffusers.ZImagePipeline(
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=parts.vae(scaling_factor=0.3611, shift_factor=0.1159),
            text_encoder=make_qwen3(parts, layers=3),
            tokenizer=write_qwen_tokenizer(folder),
            transformer=parts.randomize(
                diffusers.ZImageTransformer2DModel(
                    in_channels=4,
                    dim=32,
                    n_layers=1,
                    n_refiner_layers=1,
                    n_heads=2,
                    n_kv_heads=2,
                    cap_feat_dim=TEXT,
                    axes_dims=[8, 4, 4],
                    axes_lens=[256, 32, 32],
                )
            ),
        )
    )


def make_krea2(folder: Path, *, is_distilled: bool) -> Path:
    parts = Parts(folder)
    return parts.save(
        diffusers.Krea2Pipeline(
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
                use_dynamic_shifting=True
            ),
            vae=qwen_vae(parts),
            text_encoder=make_qwen3_vl(parts),
            tokenizer=write_qwen_tokenizer(folder),
            transformer=parts.randomize(
                diffusers.Krea2Transformer2DModel(
                    in_channels=16,
                    num_layers=1,
                    attention_head_dim=16,
                    num_attention_heads=2,
                    num_key_value_heads=1,
                    intermediate_size=32,
                    timestep_embed_dim=16,
                    text_hidden_dim=TEXT,
                    num_text_layers=2,
                    text_num_attention_heads=1,
                    text_num_key_value_heads=1,
                    text_intermediate_size=32,
                    num_layerwise_text_blocks=1,
                    num_refiner_text_blocks=1,
                    axes_dims_rope=(4, 6, 6),
                )
            ),
            text_encoder_select_layers=(1, 2),
            is_distilled=is_distilled,
        )
    )


def make_chroma(folder: Path, **transformer: Any) -> Path:
    parts = Parts(folder)
    config = {**SMALL_FLUX, **transformer}
    return parts.save(
        diffusers.ChromaPipeline(
            vae=parts.vae(scaling_factor=0.3611, shift_factor=0.1159),
            text_encoder=parts.t5(),
            tokenizer=parts.t5_tokenizer,
            transformer=parts.randomize(
                diffusers.ChromaTransformer2DModel(
                    approximator_hidden_dim=32,
                    approximator_layers=1,
                    approximator_num_channels=16,
                    **config,
                )
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        )
    )


def flux2_vae(parts: Parts) -> Any:
    return parts.randomize(
        diffusers.AutoencoderKLFlux2(
            block_out_channels=(8, 8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=4,
            sample_size=64,
        )
    )


def _flux2_transformer(parts: Parts, *, guidance_embeds: bool) -> Any:
    hidden = 3 * TEXT
    return parts.randomize(
        diffusers.Flux2Transformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=hidden,
            timestep_guidance_channels=32,
            axes_dims_rope=(4, 4, 4, 4),
            guidance_embeds=guidance_embeds,
        )
    )


def qwen_vae(parts: Parts) -> Any:
    return parts.randomize(
        diffusers.AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=4,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        )
    )
