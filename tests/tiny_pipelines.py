"""Pipelines of diffusers' own classes with small random weights, saved in seconds."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from tests.unit.tiny_folders import write_tokenizer

#: Width of each of the two text encoders.
TEXT = 16


def make_sdxl(folder: Path) -> Path:
    """Save a Stable Diffusion XL pipeline for images of 64 by 64 pixels."""
    write_tokenizer(folder / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    seed = torch.Generator().manual_seed(8)
    text = _text_config(tokenizer)
    unet = _randomize(_unet(), seed)
    _scale_output(unet, seed)
    pipe = StableDiffusionXLPipeline(
        vae=_randomize(_vae(), seed),
        text_encoder=_randomize(CLIPTextModel(text), seed),
        text_encoder_2=_randomize(CLIPTextModelWithProjection(text), seed),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
        ),
        add_watermarker=False,
    )
    pipe.save_pretrained(folder)
    return folder


def _text_config(tokenizer: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT,
        intermediate_size=2 * TEXT,
        projection_dim=TEXT,
        num_hidden_layers=3,
        num_attention_heads=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _unet() -> Any:
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 1),
        # Six numbers of a size, and the pooled embedding.
        projection_class_embeddings_input_dim=6 * 8 + TEXT,
        cross_attention_dim=2 * TEXT,
        norm_num_groups=8,
    )


def _vae() -> Any:
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=0.13025,
    )


def _randomize(network: Any, seed: torch.Generator) -> Any:
    """Set the weights from `seed`, since the constructors take the global one."""
    for name, weight in network.named_parameters():
        if weight.ndim > 1:
            torch.nn.init.xavier_normal_(weight, generator=seed)
        elif name.endswith("bias"):
            torch.nn.init.zeros_(weight)
    return network.eval()


@torch.no_grad()
def _scale_output(unet: Any, seed: torch.Generator) -> None:
    """Make the predicted noise as large as real noise; else all images look alike."""
    noise = unet(
        torch.randn(2, 4, 8, 8, generator=seed),
        500,
        encoder_hidden_states=torch.randn(2, 77, 2 * TEXT, generator=seed),
        added_cond_kwargs={
            "text_embeds": torch.randn(2, TEXT, generator=seed),
            "time_ids": torch.full((2, 6), 64.0),
        },
    ).sample
    unet.conv_out.weight.div_(noise.std())
