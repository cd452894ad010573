"""The UNet, which predicts the noise in 8 x 8 latents, given a caption."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone knows
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from training.clip import TEXT_WIDTH
from training.loop import Plan, Team, generator_of, seeded_weights, train
from training.vae import LATENT_CHANNELS

logger = logging.getLogger(__name__)

#: Steps of each process of a team, with `BATCH` pictures a step.
PLAN = Plan(name="unet", steps=3600, learning_rate=1.2e-3, ema_decay=0.998)
BATCH = 64
#: Share of captions that are replaced by the empty one, for classifier-free guidance
#: (Ho and Salimans 2022).
EMPTY_SHARE = 0.1
#: Hang et al. 2023, "Efficient Diffusion Training via Min-SNR Weighting".
MIN_SNR_GAMMA = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """The training data of the UNet.

    Attributes:
        latents: (pictures, 8, 8, 8), float32, scaled to a standard deviation of 1.
        states: (captions + 1, 20, 128), float16; the last is the empty text.
        caption_of: (pictures,), int64, the row of `states` of each picture.
    """

    latents: Tensor
    states: Tensor
    caption_of: Tensor

    def save(self, path: Path) -> None:
        """Write it atomically."""
        part = path.with_suffix(".part")
        torch.save((self.latents, self.states, self.caption_of), part)
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Lesson":
        """Read what `save` wrote."""
        latents, states, caption_of = torch.load(path, weights_only=True)
        return cls(latents=latents, states=states, caption_of=caption_of)


def number_captions(captions: Sequence[str]) -> tuple[list[str], Tensor]:
    """Return the distinct captions and an empty one, and each picture's index."""
    rows = {caption: row for row, caption in enumerate(dict.fromkeys(captions))}
    numbers = torch.tensor([rows[caption] for caption in captions])
    return [*rows, ""], numbers


def build_unet(seed: int) -> UNet2DConditionModel:
    """Make an untrained UNet.

    Group normalisation has 32 groups, the only number that the Flax version of this
    class knows; so all channel counts are multiples of 32.
    """
    with seeded_weights(seed):
        unet = UNet2DConditionModel(
            sample_size=8,
            in_channels=LATENT_CHANNELS,
            out_channels=LATENT_CHANNELS,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            block_out_channels=(64, 128),
            layers_per_block=1,
            cross_attention_dim=TEXT_WIDTH,
            # Despite its name, the number of heads.
            attention_head_dim=(2, 4),
            norm_num_groups=32,
        )
    # Plain attention: the fused one is slow backwards in bfloat16 on a CPU.
    unet.set_attn_processor(AttnProcessor())
    # Not channels_last: on a CPU, group normalisation of such small groups loses more
    # time in that layout than convolutions gain.
    return unet


def build_noise() -> DDPMScheduler:
    """Make the noise schedule of Stable Diffusion 1.5."""
    return DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        clip_sample=False,
    )


def train_unet(
    lesson: Lesson,
    check: Lesson,
    *,
    folder: Path,
    seed: int,
    device: torch.device,
    team: Team | None = None,
) -> UNet2DConditionModel:
    """Train the UNet, alone or as one process of a team.

    Args:
        lesson: The training data.
        check: Data that is not trained on, for the loss that is logged.
        folder: Folder of the checkpoints.
        seed: Decides every random choice.
        device: The device to train on.
        team: The other processes, if any.

    Returns:
        The UNet with its averaged weights, in the first process of the team.
    """
    team = team or Team()
    unet = build_unet(seed).to(device)
    noise = build_noise()
    weights = _weights(noise).to(device)

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        if step % 500 == 499 and team.rank == 0:
            logger.info("unet: loss on unseen pictures %.4f", check_loss(unet, check))
        picks = torch.randint(len(lesson.latents), (BATCH,), generator=generator)
        rows = lesson.caption_of[picks]
        empty = torch.rand(BATCH, generator=generator) < EMPTY_SHARE
        rows = rows.masked_fill(empty, len(lesson.states) - 1)
        squares, times = _squares(unet, noise, lesson, picks, rows, generator)
        return (weights[times] * squares).mean()

    train(unet, loss_of_step, PLAN, folder=folder, seed=seed, team=team)
    return unet.eval()


@torch.no_grad()
def check_loss(unet: UNet2DConditionModel, check: Lesson) -> float:
    """Return the mean squared error of the predicted noise on a fixed draw."""
    noise, errors = build_noise(), []
    for start in range(0, len(check.latents), 100):
        picks = torch.arange(start, min(start + 100, len(check.latents)))
        generator = generator_of(0, start)
        rows = check.caption_of[picks]
        errors.append(_squares(unet, noise, check, picks, rows, generator)[0])
    return float(torch.cat(errors).mean())


def _weights(noise: DDPMScheduler) -> Tensor:
    """Return the min-SNR weight of each of the 1000 times, for noise prediction."""
    signal: Tensor = noise.alphas_cumprod
    ratio = signal / (1 - signal)
    return ratio.clamp(max=MIN_SNR_GAMMA) / ratio


def _squares(
    unet: UNet2DConditionModel,
    noise: DDPMScheduler,
    lesson: Lesson,
    picks: Tensor,
    rows: Tensor,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Add noise to some pictures and predict it; return each one's error and time."""
    device = unet.device
    clean = lesson.latents[picks]
    added = torch.randn(clean.shape, generator=generator)
    times = torch.randint(1000, (len(picks),), generator=generator)
    noisy = noise.add_noise(clean, added, times).to(device)
    states = lesson.states[rows].to(device).float()
    times = times.to(device)
    with torch.autocast(device.type, torch.bfloat16):
        guess = unet(noisy, times, encoder_hidden_states=states).sample
    error: Tensor = F.mse_loss(guess.float(), added.to(device), reduction="none")
    return error.mean((1, 2, 3)), times
