"""The autoencoder: 64 x 64 pixels to 8 x 8 latents with 8 channels, and back."""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone knows
from diffusers import AutoencoderKL
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor

from training.data import PictureSet, to_tensor
from training.loop import Plan, seeded_weights, train

LATENT_CHANNELS = 8
PLAN = Plan(
    name="vae",
    steps=5000,
    learning_rate=1.5e-3,
    warm_up=50,
    weight_decay=1e-4,
    ema_decay=0.995,
    save_every=250,
)
#: Standard deviation of the noise that is added to latents before decoding, so that
#: the decoder tolerates small errors of the UNet; also the posterior's.
LATENT_NOISE = 0.1
#: Weight of the loss that pulls each latent channel towards a standard normal.
SPREAD_WEIGHT = 0.02
#: Until this share of the steps, two of three batches are small crops, mostly with an
#: edge in them: flat background teaches nothing. Later ones are whole pictures, since
#: group normalisation depends on the whole picture.
CROPS_UNTIL = 0.6
CROP_PX = 32
CROPS, WHOLES = 24, 8


def build_vae(seed: int) -> AutoencoderKL:
    """Make an untrained autoencoder.

    Its group normalisation has 8 groups. With 32, each of 32 channels would be
    normalised alone, and flat colours would be lost.
    """
    with seeded_weights(seed):
        vae = AutoencoderKL(
            in_channels=3,
            out_channels=3,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(32, 32, 64, 64),
            layers_per_block=1,
            latent_channels=LATENT_CHANNELS,
            norm_num_groups=8,
            sample_size=64,
            # Explicit, or `from_config` would restore its default.
            scaling_factor=1.0,
        )
    # Plain attention: the fused one is slow backwards in bfloat16 on a CPU.
    vae.set_attn_processor(AttnProcessor())
    return vae.to(memory_format=torch.channels_last)


def train_vae(
    pictures: PictureSet, *, folder: Path, seed: int, device: torch.device
) -> AutoencoderKL:
    """Train the autoencoder and set its `scaling_factor`."""
    vae = build_vae(seed).to(device)

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        crop = step % 3 < 2 and step < CROPS_UNTIL * PLAN.steps
        batch = (_crops if crop else _wholes)(pictures.images, generator)
        return _loss(vae, batch.to(device), generator)

    train(vae, loss_of_step, PLAN, folder=folder, seed=seed)
    vae.eval()
    sample = encode(vae, pictures.images[:2000])
    # The scheduler's noise has a standard deviation of 1; so must the latents.
    vae.register_to_config(scaling_factor=round(1 / float(sample.std()), 4))
    return vae


def _wholes(images: np.ndarray, generator: torch.Generator) -> Tensor:
    picks = torch.randint(len(images), (WHOLES,), generator=generator)
    return to_tensor(images[picks.numpy()])


def _crops(images: np.ndarray, generator: torch.Generator) -> Tensor:
    rng = np.random.default_rng(generator.initial_seed())
    crops = []
    for pick in rng.integers(len(images), size=CROPS):
        for _ in range(4):
            y, x = rng.integers(images.shape[1] - CROP_PX + 1, size=2)
            crop = images[pick, y : y + CROP_PX, x : x + CROP_PX]
            if np.ptp(crop[::4, ::4].astype(np.int16).sum(-1)) > 60:
                break
        crops.append(crop)
    return to_tensor(np.stack(crops))


def _loss(vae: AutoencoderKL, batch: Tensor, generator: torch.Generator) -> Tensor:
    with torch.autocast(batch.device.type, torch.bfloat16):
        posterior = vae.encode(batch).latent_dist
        latents = posterior.mean
        noise = torch.randn(latents.shape, generator=generator).to(latents.device)
        painted = vae.decode(latents + LATENT_NOISE * noise).sample
    off = (painted.float() - batch).abs()
    # Edges are few pixels but show the shape: they count up to four times.
    edge = F.max_pool2d(batch, 5, 1, 2) + F.max_pool2d(-batch, 5, 1, 2)
    weight = 1 + 3 * edge.amax(1, keepdim=True).clamp(0, 1)
    loss: Tensor = (weight * (off + off**2)).mean()
    loss += SPREAD_WEIGHT * _spread_loss(posterior)
    return loss


def _spread_loss(posterior: DiagonalGaussianDistribution) -> Tensor:
    """Return a loss of latents that are not distributed like a standard normal.

    It replaces the usual Kullback-Leibler divergence, which in so small a model empties
    half of the channels and stretches the others.
    """
    latents, log_variance = posterior.mean.float(), posterior.logvar.float()
    mean, square = latents.mean((0, 2, 3)), (latents**2).mean((0, 2, 3))
    far = F.relu(latents.abs() - 2.5) ** 2
    width = (log_variance - 2 * math.log(LATENT_NOISE)) ** 2
    loss: Tensor = (mean**2 + (square - 1) ** 2).mean() + far.mean()
    loss += 0.1 * width.mean()
    return loss


@torch.no_grad()
def encode(vae: AutoencoderKL, images: np.ndarray, *, batch: int = 50) -> Tensor:
    """Encode pictures to the mode of their latents, not scaled.

    Args:
        vae: A trained autoencoder.
        images: (count, 64, 64, 3), uint8.
        batch: Pictures in each call.

    Returns:
        (count, 8, 8, 8), float32, on the CPU.
    """
    device = vae.device
    rows = []
    for start in range(0, len(images), batch):
        pixels = to_tensor(images[start : start + batch]).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            rows.append(vae.encode(pixels).latent_dist.mode().float().cpu())
    return torch.cat(rows).contiguous()


@torch.no_grad()
def reconstruction_psnr(vae: AutoencoderKL, images: np.ndarray) -> float:
    """Return the PSNR of encoded and decoded pictures in decibels, in float32."""
    squares = []
    for start in range(0, len(images), 50):
        pixels = to_tensor(images[start : start + 50]).to(vae.device)
        painted = vae.decode(vae.encode(pixels).latent_dist.mode()).sample
        squares.append(((painted.clamp(-1, 1) - pixels) ** 2).mean((1, 2, 3)).cpu())
    return float(10 * torch.log10(4 / torch.cat(squares).mean()))
