"""Small models with random weights, of pipelines that the slots do not drive."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import transformers

from tests.tiny_packed import (
    make_chroma,
    make_flux2,
    make_klein,
    make_krea2,
    make_qwen,
    make_z_image,
)
from tests.tiny_pipelines import SIDE, TEXT, TRAINED, Parts
from tests.tiny_texts import make_gemma, make_qwen_vl, write_qwen_tokenizer
from tests.unit.tiny_folders import write


def make_lcm(folder: Path) -> Path:
    parts = Parts(folder)
    return parts.save(
        diffusers.LatentConsistencyModelPipeline(
            vae=parts.vae(scaling_factor=0.18215),
            text_encoder=parts.clip(transformers.CLIPTextModel),
            tokenizer=parts.tokenizer,
            unet=parts.unet(cross_attention_dim=TEXT, time_cond_proj_dim=32),
            scheduler=diffusers.LCMScheduler(**TRAINED, original_inference_steps=50),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    )


def make_sana(folder: Path) -> Path:
    parts = Parts(folder)
    return parts.save(
        diffusers.SanaPipeline(
            tokenizer=write_qwen_tokenizer(folder),
            text_encoder=make_gemma(parts),
            vae=_dc_vae(parts),
            transformer=_sana_transformer(parts),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
        )
    )


def make_pixart(folder: Path, pipeline: Any) -> Path:
    parts = Parts(folder)
    return parts.save(
        pipeline(
            tokenizer=parts.t5_tokenizer,
            text_encoder=parts.t5(),
            vae=parts.vae(scaling_factor=0.13025),
            transformer=parts.randomize(
                diffusers.PixArtTransformer2DModel(
                    sample_size=32,
                    num_layers=1,
                    patch_size=2,
                    attention_head_dim=8,
                    num_attention_heads=3,
                    caption_channels=2 * TEXT,
                    in_channels=4,
                    cross_attention_dim=24,
                    out_channels=8,
                    norm_type="ada_norm_single",
                )
            ),
            scheduler=diffusers.DPMSolverMultistepScheduler(),
        )
    )


def make_lumina2(folder: Path, **transformer: Any) -> Path:
    parts = Parts(folder)
    config = {
        "hidden_size": 24,
        "num_attention_heads": 3,
        "num_kv_heads": 1,
        "axes_dim_rope": (4, 2, 2),
        **transformer,
    }
    return parts.save(
        diffusers.Lumina2Pipeline(
            transformer=parts.randomize(
                diffusers.Lumina2Transformer2DModel(
                    sample_size=SIDE,
                    in_channels=4,
                    num_layers=1,
                    num_refiner_layers=1,
                    multiple_of=16,
                    cap_feat_dim=TEXT,
                    axes_lens=(300, 64, 64),
                    **config,
                )
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
            vae=parts.vae(scaling_factor=0.3611, shift_factor=0.1159),
            text_encoder=make_gemma(parts),
            tokenizer=write_qwen_tokenizer(folder),
        )
    )


def make_aura_flow(folder: Path) -> Path:
    parts = Parts(folder)
    return parts.save(
        diffusers.AuraFlowPipeline(
            tokenizer=parts.t5_tokenizer,
            text_encoder=parts.t5(),
            vae=parts.vae(scaling_factor=0.13025),
            transformer=parts.randomize(
                diffusers.AuraFlowTransformer2DModel(
                    sample_size=SIDE,
                    patch_size=2,
                    in_channels=4,
                    num_mmdit_layers=1,
                    num_single_dit_layers=1,
                    attention_head_dim=8,
                    num_attention_heads=4,
                    joint_attention_dim=2 * TEXT,
                    caption_projection_dim=32,
                    out_channels=4,
                    pos_embed_max_size=256,
                )
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        )
    )


def make_hunyuan_dit(folder: Path) -> Path:
    parts = Parts(folder)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    words += [f"##{letter}" for letter in letters]
    write(folder, "tokenizer/vocab.txt", "\n".join(words) + "\n")
    config = {"model_max_length": 77, "tokenizer_class": "BertTokenizer"}
    write(folder, "tokenizer/tokenizer_config.json", config)
    bert = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )
    return parts.save(
        diffusers.HunyuanDiTPipeline(
            vae=parts.vae(scaling_factor=0.13025),
            text_encoder=parts.randomize(transformers.BertModel(bert)),
            tokenizer=transformers.BertTokenizer.from_pretrained(folder / "tokenizer"),
            text_encoder_2=parts.t5(),
            tokenizer_2=parts.t5_tokenizer,
            transformer=parts.randomize(
                diffusers.HunyuanDiT2DModel(
                    sample_size=SIDE,
                    num_layers=2,
                    patch_size=2,
                    attention_head_dim=8,
                    num_attention_heads=3,
                    in_channels=4,
                    cross_attention_dim=32,
                    cross_attention_dim_t5=2 * TEXT,
                    pooled_projection_dim=16,
                    hidden_size=24,
                    activation_fn="gelu-approximate",
                )
            ),
            scheduler=diffusers.DDPMScheduler(**TRAINED),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    )


def make_hunyuan_image(folder: Path) -> Path:
    parts = Parts(folder)
    return parts.save(
        diffusers.HunyuanImagePipeline(
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=4.0),
            vae=parts.randomize(
                diffusers.AutoencoderKLHunyuanImage(
                    in_channels=3,
                    out_channels=3,
                    latent_channels=4,
                    block_out_channels=(32, 32, 32),
                    layers_per_block=1,
                    spatial_compression_ratio=4,
                    sample_size=64,
                    scaling_factor=0.75,
                )
            ),
            text_encoder=make_qwen_vl(parts),
            tokenizer=write_qwen_tokenizer(folder),
            text_encoder_2=parts.t5(),
            tokenizer_2=transformers.ByT5Tokenizer(),
            transformer=parts.randomize(
                diffusers.HunyuanImageTransformer2DModel(
                    in_channels=4,
                    out_channels=4,
                    num_attention_heads=2,
                    attention_head_dim=16,
                    num_layers=1,
                    num_single_layers=1,
                    num_refiner_layers=1,
                    patch_size=(1, 1),
                    text_embed_dim=TEXT,
                    text_embed_2_dim=2 * TEXT,
                    rope_axes_dim=(8, 8),
                    guidance_embeds=True,
                )
            ),
        )
    )


def make_kandinsky3(folder: Path) -> Path:
    parts = Parts(folder)
    return parts.save(
        diffusers.Kandinsky3Pipeline(
            tokenizer=parts.t5_tokenizer,
            text_encoder=parts.t5(),
            unet=parts.randomize(
                diffusers.Kandinsky3UNet(
                    in_channels=4,
                    time_embedding_dim=4,
                    groups=2,
                    attention_head_dim=4,
                    layers_per_block=3,
                    block_out_channels=(32, 64),
                    cross_attention_dim=4,
                    encoder_hid_dim=2 * TEXT,
                )
            ),
            scheduler=diffusers.DDPMScheduler(**TRAINED),
            movq=parts.randomize(
                diffusers.VQModel(
                    block_out_channels=(32, 32, 32, 32),
                    down_block_types=("DownEncoderBlock2D",) * 4,
                    up_block_types=("UpDecoderBlock2D",) * 4,
                    latent_channels=4,
                    layers_per_block=1,
                    norm_num_groups=8,
                    num_vq_embeddings=12,
                    vq_embed_dim=4,
                    norm_type="spatial",
                )
            ),
        )
    )


def _dc_vae(parts: Parts) -> Any:
    return parts.randomize(
        diffusers.AutoencoderDC(
            in_channels=3,
            latent_channels=4,
            attention_head_dim=2,
            encoder_block_types=("ResBlock",) * 6,
            decoder_block_types=("ResBlock",) * 6,
            encoder_block_out_channels=(8,) * 6,
            decoder_block_out_channels=(8,) * 6,
            encoder_layers_per_block=(1,) * 6,
            decoder_layers_per_block=(1,) * 6,
            encoder_qkv_multiscales=((),) * 6,
            decoder_qkv_multiscales=((),) * 6,
            downsample_block_type="conv",
            upsample_block_type="interpolate",
            decoder_norm_types="rms_norm",
            decoder_act_fns="silu",
            scaling_factor=0.41407,
        )
    )


def _sana_transformer(parts: Parts) -> Any:
    return parts.randomize(
        diffusers.SanaTransformer2DModel(
            sample_size=32,
            patch_size=1,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_attention_heads=2,
            attention_head_dim=4,
            num_cross_attention_heads=2,
            cross_attention_head_dim=4,
            cross_attention_dim=8,
            caption_channels=TEXT,
        )
    )


#: By the pipeline's class; a word after it tells models of one class apart.
MAKERS: Mapping[str, Callable[[Path], Path]] = {
    "LatentConsistencyModelPipeline": make_lcm,
    "Flux2Pipeline": make_flux2,
    "Flux2KleinPipeline": partial(make_klein, is_distilled=False),
    "Flux2KleinPipeline distilled": lambda folder: make_klein(
        folder, is_distilled=True
    ),
    "QwenImagePipeline": make_qwen,
    "ZImagePipeline": make_z_image,
    "Krea2Pipeline": partial(make_krea2, is_distilled=False),
    "Krea2Pipeline distilled": partial(make_krea2, is_distilled=True),
    "ChromaPipeline": make_chroma,
    "SanaPipeline": make_sana,
    "PixArtAlphaPipeline": partial(make_pixart, pipeline=diffusers.PixArtAlphaPipeline),
    "PixArtSigmaPipeline": partial(make_pixart, pipeline=diffusers.PixArtSigmaPipeline),
    "Lumina2Pipeline": make_lumina2,
    "AuraFlowPipeline": make_aura_flow,
    "HunyuanDiTPipeline": make_hunyuan_dit,
    "HunyuanImagePipeline": make_hunyuan_image,
    "Kandinsky3Pipeline": make_kandinsky3,
}
