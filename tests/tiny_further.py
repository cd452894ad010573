"""Small models with random weights, of newer pipelines and of rarer ones."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import transformers

from tests.tiny_families import make_hunyuan_image
from tests.tiny_packed import flux2_vae, qwen_vae
from tests.tiny_pipelines import TEXT, Parts, make_sd, make_sdxl
from tests.tiny_texts import (
    make_gemma,
    make_qwen3,
    make_qwen3_vl,
    make_qwen_vl,
    write_qwen_tokenizer,
)


def make_sd2(folder: Path) -> Path:
    """Save a Stable Diffusion 2: it predicts the velocity."""
    make_sd(folder)
    file = folder / "scheduler" / "scheduler_config.json"
    config = {**json.loads(file.read_text()), "prediction_type": "v_prediction"}
    file.write_text(json.dumps(config))
    return folder


def make_guided_hunyuan_image(folder: Path) -> Path:
    """Save a HunyuanImage with guiders, which remember the answers of earlier steps."""
    make_hunyuan_image(folder)
    for name in ("guider", "ocr_guider"):
        diffusers.AdaptiveProjectedMixGuidance(
            adaptive_projected_guidance_start_step=0
        ).save_pretrained(folder / name)
    return rename(
        folder,
        "HunyuanImagePipeline",
        guider=["diffusers", "AdaptiveProjectedMixGuidance"],
        ocr_guider=["diffusers", "AdaptiveProjectedMixGuidance"],
    )


def rename(folder: Path, pipeline: str, **parts: Any) -> Path:
    """Have a folder load as a pipeline of another class, or with further parts."""
    file = folder / "model_index.json"
    index = {**json.loads(file.read_text()), "_class_name": pipeline, **parts}
    file.write_text(json.dumps(index))
    return folder


def make_ovis(folder: Path) -> Path:
    parts = Parts(folder)
    return parts.save(
        diffusers.OvisImagePipeline(
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
            vae=parts.vae(
                scaling_factor=1.5035,
                shift_factor=0.0609,
                use_quant_conv=False,
                use_post_quant_conv=False,
            ),
            text_encoder=make_qwen3(parts, layers=2).model,
            tokenizer=write_qwen_tokenizer(folder),
            transformer=parts.randomize(
                diffusers.OvisImageTransformer2DModel(
                    patch_size=1,
                    in_channels=16,
                    out_channels=16,
                    num_layers=1,
                    num_single_layers=1,
                    attention_head_dim=16,
                    num_attention_heads=2,
                    joint_attention_dim=TEXT,
                    axes_dims_rope=(4, 4, 8),
                )
            ),
        )
    )


def make_prx(folder: Path) -> Path:
    parts = Parts(folder)
    tokenizer = write_qwen_tokenizer(folder)
    tokenizer.model_max_length = 32
    return parts.save(
        diffusers.PRXPipeline(
            transformer=parts.randomize(
                diffusers.PRXTransformer2DModel(
                    patch_size=1,
                    in_channels=4,
                    context_in_dim=TEXT,
                    hidden_size=16,
                    mlp_ratio=2.0,
                    num_heads=2,
                    depth=1,
                    axes_dim=[4, 4],
                )
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
            text_encoder=make_gemma(parts),
            tokenizer=tokenizer,
            vae=parts.vae(scaling_factor=1.0, shift_factor=0.1),
            default_sample_size=256,
        )
    )


def make_cogview4(folder: Path) -> Path:
    parts = Parts(folder)
    config = transformers.GlmConfig(
        vocab_size=len(parts.t5_tokenizer),
        hidden_size=2 * TEXT,
        intermediate_size=TEXT,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        pad_token_id=0,
    )
    return parts.save(
        diffusers.CogView4Pipeline(
            tokenizer=parts.t5_tokenizer,
            text_encoder=parts.randomize(transformers.GlmModel(config)),
            vae=parts.vae(scaling_factor=0.3611),
            transformer=parts.randomize(
                diffusers.CogView4Transformer2DModel(
                    patch_size=2,
                    in_channels=4,
                    num_layers=2,
                    attention_head_dim=4,
                    num_attention_heads=4,
                    out_channels=4,
                    text_embed_dim=2 * TEXT,
                    time_embed_dim=8,
                    condition_dim=4,
                )
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
                base_shift=0.25,
                max_shift=0.75,
                base_image_seq_len=256,
                use_dynamic_shifting=True,
                time_shift_type="linear",
            ),
        )
    )


def make_ernie(folder: Path) -> Path:
    parts = Parts(folder)
    return parts.save(
        diffusers.ErnieImagePipeline(
            transformer=parts.randomize(
                diffusers.ErnieImageTransformer2DModel(
                    hidden_size=32,
                    num_attention_heads=2,
                    num_layers=1,
                    ffn_hidden_size=32,
                    in_channels=16,
                    out_channels=16,
                    text_in_dim=TEXT,
                    rope_axes_dim=(4, 6, 6),
                )
            ),
            vae=flux2_vae(parts),
            text_encoder=make_qwen3(parts, layers=2).model,
            tokenizer=write_qwen_tokenizer(folder),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        )
    )


def make_longcat(folder: Path) -> Path:
    parts = Parts(folder)
    tokenizer = write_qwen_tokenizer(folder)
    return parts.save(
        diffusers.LongCatImagePipeline(
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
            vae=parts.vae(
                latent_channels=16,
                scaling_factor=0.3611,
                shift_factor=0.1159,
                use_quant_conv=False,
                use_post_quant_conv=False,
            ),
            text_encoder=make_qwen_vl(parts),
            tokenizer=tokenizer,
            text_processor=tokenizer,
            transformer=parts.randomize(
                diffusers.LongCatImageTransformer2DModel(
                    patch_size=1,
                    in_channels=64,
                    num_layers=1,
                    num_single_layers=1,
                    attention_head_dim=16,
                    num_attention_heads=2,
                    joint_attention_dim=TEXT,
                    pooled_projection_dim=TEXT,
                    axes_dims_rope=(4, 4, 8),
                )
            ),
        )
    )


def make_kandinsky5(folder: Path) -> Path:
    parts = Parts(folder)
    return parts.save(
        diffusers.Kandinsky5T2IPipeline(
            transformer=parts.randomize(
                diffusers.Kandinsky5Transformer3DModel(
                    in_visual_dim=4,
                    in_text_dim=TEXT,
                    in_text_dim2=TEXT,
                    time_dim=16,
                    out_visual_dim=4,
                    patch_size=(1, 2, 2),
                    model_dim=16,
                    ff_dim=32,
                    num_text_blocks=1,
                    num_visual_blocks=1,
                    axes_dims=(1, 1, 2),
                    visual_cond=False,
                    attention_type="regular",
                )
            ),
            vae=parts.vae(scaling_factor=0.3611, shift_factor=0.1159),
            text_encoder=make_qwen_vl(parts),
            tokenizer=write_qwen_tokenizer(folder / "other"),
            text_encoder_2=parts.clip(transformers.CLIPTextModel),
            tokenizer_2=parts.tokenizer,
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
        )
    )


def make_hidream(folder: Path) -> Path:
    parts = Parts(folder)
    config = transformers.LlamaConfig(
        vocab_size=300,
        hidden_size=TEXT,
        intermediate_size=TEXT,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    return parts.save(
        diffusers.HiDreamImagePipeline(
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
            vae=parts.vae(scaling_factor=0.3611, shift_factor=0.1159),
            text_encoder=parts.clip(
                transformers.CLIPTextModelWithProjection, max_position_embeddings=128
            ),
            tokenizer=parts.tokenizer,
            text_encoder_2=parts.clip(
                transformers.CLIPTextModelWithProjection, max_position_embeddings=128
            ),
            tokenizer_2=parts.tokenizer,
            text_encoder_3=parts.t5(),
            tokenizer_3=parts.t5_tokenizer,
            text_encoder_4=parts.randomize(transformers.LlamaForCausalLM(config)),
            tokenizer_4=write_qwen_tokenizer(folder / "other"),
            transformer=parts.randomize(
                diffusers.HiDreamImageTransformer2DModel(
                    patch_size=2,
                    in_channels=4,
                    out_channels=4,
                    num_layers=2,
                    num_single_layers=1,
                    attention_head_dim=8,
                    num_attention_heads=4,
                    caption_channels=[2 * TEXT, TEXT],
                    text_emb_dim=2 * TEXT,
                    num_routed_experts=4,
                    num_activated_experts=2,
                    axes_dims_rope=(4, 2, 2),
                    max_resolution=(32, 32),
                    llama_layers=(0, 1, 2),
                )
            ),
        )
    )


def make_nucleus(folder: Path) -> Path:
    parts = Parts(folder)
    return parts.save(
        diffusers.NucleusMoEImagePipeline(
            transformer=parts.randomize(
                diffusers.NucleusMoEImageTransformer2DModel(
                    patch_size=2,
                    in_channels=16,
                    out_channels=4,
                    num_layers=2,
                    attention_head_dim=16,
                    num_attention_heads=4,
                    joint_attention_dim=TEXT,
                    axes_dims_rope=(8, 4, 4),
                    dense_moe_strategy="none",
                    num_experts=4,
                    moe_intermediate_dim=16,
                    capacity_factors=2.0,
                )
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
            vae=qwen_vae(parts),
            text_encoder=make_qwen3_vl(parts, layers=8),
            processor=write_qwen_tokenizer(folder),
        )
    )


def make_lumina(folder: Path) -> Path:
    parts = Parts(folder)
    return parts.save(
        diffusers.LuminaPipeline(
            transformer=parts.randomize(
                diffusers.LuminaNextDiT2DModel(
                    sample_size=8,
                    patch_size=2,
                    in_channels=4,
                    hidden_size=24,
                    num_layers=1,
                    num_attention_heads=3,
                    num_kv_heads=1,
                    multiple_of=16,
                    cross_attention_dim=TEXT,
                )
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
            vae=parts.vae(scaling_factor=0.13025),
            text_encoder=make_gemma(parts),
            tokenizer=write_qwen_tokenizer(folder),
        )
    )


#: By the pipeline's class; a word after it tells models of one class apart.
FURTHER: Mapping[str, Callable[[Path], Path]] = {
    "StableDiffusionPipeline v-prediction": make_sd2,
    "HunyuanImagePipeline guided": make_guided_hunyuan_image,
    "OvisImagePipeline": make_ovis,
    "PRXPipeline": make_prx,
    "CogView4Pipeline": make_cogview4,
    "ErnieImagePipeline": make_ernie,
    "LongCatImagePipeline": make_longcat,
    "Kandinsky5T2IPipeline": make_kandinsky5,
    "HiDreamImagePipeline": make_hidream,
    "LuminaPipeline": make_lumina,
    "NucleusMoEImagePipeline": make_nucleus,
    "StableDiffusionPAGPipeline": lambda folder: rename(
        make_sd(folder), "StableDiffusionPAGPipeline"
    ),
    "StableDiffusionXLPAGPipeline": lambda folder: rename(
        make_sdxl(folder), "StableDiffusionXLPAGPipeline"
    ),
}
