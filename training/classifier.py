"""A small network that names the shape in a picture, to test the model with.

It learns from drawn pictures only, never from generated ones, and shares nothing with
the demo model.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone knows
from torch import Tensor, nn

from training.data import draw, to_tensor
from training.loop import Plan, generator_of, seeded_weights, train
from training.world import COLOUR_NAMES, SHAPES, Scene, Thing

PLAN = Plan(
    name="classifier", steps=1500, learning_rate=2e-3, ema_decay=0.99, save_every=500
)
BATCH = 96
PICTURES = 12_000


def build_classifier(seed: int) -> nn.Module:
    """Make an untrained network: (batch, 3, 64, 64), -1 to 1, to (batch, 8) logits."""
    with seeded_weights(seed):
        layers: list[nn.Module] = []
        for before, after in ((3, 32), (32, 64), (64, 96), (96, 128)):
            layers += [
                nn.Conv2d(before, after, 3, stride=2, padding=1),
                nn.GroupNorm(8, after),
                nn.SiLU(),
                nn.Conv2d(after, after, 3, padding=1),
                nn.GroupNorm(8, after),
                nn.SiLU(),
            ]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, len(SHAPES))]
        return nn.Sequential(*layers)


def train_classifier(*, folder: Path, seed: int, device: torch.device) -> nn.Module:
    """Train the network on drawn pictures, some of them blurred, all with noise."""
    model = build_classifier(seed).to(device)
    if (folder / "classifier.pt").exists():
        images, shapes = np.zeros((1, 64, 64, 3), np.uint8), torch.zeros(1).long()
    else:
        images, shapes = draw_single_shapes(PICTURES, seed=seed)

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        picks = torch.randint(len(images), (BATCH,), generator=generator)
        pixels = _roughen(to_tensor(images[picks.numpy()]), generator)
        with torch.autocast(device.type, torch.bfloat16):
            scores = model(pixels.to(device))
        return F.cross_entropy(scores.float(), shapes[picks].to(device))

    train(model, loss_of_step, PLAN, folder=folder, seed=seed)
    return model.eval()


def draw_single_shapes(count: int, *, seed: int) -> tuple[np.ndarray, Tensor]:
    """Draw single shapes of all colours, sizes and places.

    The pairs that are held out from the model are included: the classifier must not
    favour pairs that the model has seen.

    Returns:
        Pictures (count, 64, 64, 3), uint8, and shape numbers (count,), int64.
    """
    images, shapes = [], []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        shape = int(rng.integers(len(SHAPES)))
        colour, background = rng.choice(COLOUR_NAMES, 2, replace=False)
        radius = rng.uniform(10.5, 25.5)
        x, y = 32 + rng.uniform(-1, 1, 2) * min(17.0, 31.0 - radius)
        thing = Thing(
            colour=str(colour),
            shape=SHAPES[shape],
            x=x,
            y=y,
            radius=radius,
            rotation=rng.uniform(-0.25, 0.25),
        )
        images.append(draw(Scene(things=(thing,), background=str(background)), rng))
        shapes.append(shape)
    return np.stack(images), torch.tensor(shapes)


def _roughen(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Blur half of the batch, and add noise of varying strength to all."""
    half = len(pixels) // 2
    small = F.avg_pool2d(pixels[:half], 2)
    soft = F.interpolate(small, scale_factor=2, mode="bilinear")
    blur = torch.rand(half, 1, 1, 1, generator=generator)
    mixed = torch.cat([pixels[:half].lerp(soft, blur), pixels[half:]])
    noise = torch.randn(mixed.shape, generator=generator)
    strength = 0.15 * torch.rand(len(mixed), 1, 1, 1, generator=generator)
    return mixed + strength * noise


@torch.no_grad()
def name_shapes(model: nn.Module, pixels: Tensor) -> list[str]:
    """Return the name of the shape in each picture: (count, 3, 64, 64), -1 to 1."""
    return [SHAPES[number] for number in model(pixels).argmax(1).tolist()]


def classifier_accuracy(model: nn.Module, *, count: int = 1000) -> float:
    """Return the share of new drawings, blurred and noisy, that are named right."""
    images, shapes = draw_single_shapes(count, seed=99)
    pixels = _roughen(to_tensor(images), generator_of(99, 0))
    named = name_shapes(model.cpu(), pixels)
    right = [SHAPES[n] == name for n, name in zip(shapes.tolist(), named, strict=True)]
    return float(np.mean(right))
