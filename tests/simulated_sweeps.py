"""Scores and distances of sweeps whose truth is known."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.panel import Panel
from tests.panels import make_panel

Floats = NDArray[np.float64]
SEEDS = 4
#: Standard deviations of what decides a score, beside the setting: how easy a prompt
#: is, what a prompt makes of a setting (and of the reference), what a seed makes of a
#: setting, and what only the image itself has.
PROMPT, OWN, OWN_OF_REFERENCE, SEED, IMAGE = 2.0, 1.0, 0.5, 0.3, 0.7
#: Share of right images at the reference, and how alike prompts are.
RIGHT, ALIKE = 0.9, 4.0


def draw_normal(generator: np.random.Generator, *shape: int) -> Floats:
    """Draw normal numbers."""
    return generator.standard_normal(shape)


def draw_long_tails(generator: np.random.Generator, *shape: int) -> Floats:
    """Draw from Student's distribution with 4 degrees of freedom, at variance 1."""
    return generator.standard_t(4, shape) / np.sqrt(2)


def draw_skewed(generator: np.random.Generator, *shape: int) -> Floats:
    """Draw exponential losses: mean 0, variance 1, skewness -2."""
    return 1 - generator.exponential(size=shape)


def draw_strongly_skewed(generator: np.random.Generator, *shape: int) -> Floats:
    """Draw lognormal losses: mean 0, variance 1, skewness -3.7."""
    losses = generator.lognormal(0.0, 0.8, shape)
    return (np.exp(0.32) - losses) / np.sqrt(np.exp(1.28) - np.exp(0.64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Sweeps with normal prompts and images, and settings of any shape.

    Attributes:
        draw: What prompts make of settings, and the noise of images.
        image: Draws what only the image has.
    """

    draw: Callable[..., Floats]
    image: Callable[..., Floats] = draw_normal

    def __call__(
        self, generator: np.random.Generator, gains: Sequence[float], n_prompts: int
    ) -> Panel:
        """Draw a sweep; the first setting is the reference, with a gain of zero."""
        n_settings = len(gains)
        prompt = PROMPT * draw_normal(generator, n_prompts, 1, 1)
        own = OWN * self.draw(generator, n_prompts, 1, n_settings)
        own[:, :, :1] = OWN_OF_REFERENCE * draw_normal(generator, n_prompts, 1, 1)
        # Inference is for the given seeds: what they add on average is part of a gain.
        seed = SEED * draw_normal(generator, 1, SEEDS, n_settings)
        seed -= seed.mean(axis=1, keepdims=True)
        seed[:, :, 0] = 0.0
        image = IMAGE * self.image(generator, n_prompts, SEEDS, n_settings)
        return make_panel(np.asarray(gains) + prompt + own + seed + image)


def draw_judged(
    generator: np.random.Generator, gains: Sequence[float], n_prompts: int
) -> Panel:
    """Draw a sweep whose images are right, 1, or wrong, 0.

    A gain is one in the share of right images. Prompts differ in theirs.
    """
    share = RIGHT + np.asarray(gains)
    by_prompt = generator.beta(
        ALIKE * share, ALIKE * (1 - share), (n_prompts, 1, len(gains))
    )
    drawn = generator.random((n_prompts, SEEDS, len(gains)))
    return make_panel((drawn < by_prompt).astype(float))


#: Standard deviation between seeds of a prompt at the reference.
RIGHT_DEVIATION = (RIGHT * (1 - RIGHT) * ALIKE / (1 + ALIKE)) ** 0.5

#: Sweeps by what their paired differences look like over prompts.
SWEEPS: dict[str, Callable[..., Panel]] = {
    "normal": Scores(draw=draw_normal),
    "long tails": Scores(draw=draw_long_tails, image=draw_long_tails),
    "skewed": Scores(draw=draw_skewed),
    "strongly skewed": Scores(draw=draw_strongly_skewed),
    "right or wrong": draw_judged,
}

#: Deviations of the logarithm of a distance between prompts. With what seeds add, the
#: skewness over prompts is about 0.9, 1.5 and 3.7. RMSE of the built-in model's images
#: at 10 and 20 steps of DDIM and DPM++ 2M, to those at 200, are uneven.
DISTANCES = {"even": 0.2, "uneven": 0.4, "very uneven": 0.8}
#: The same between seeds of a prompt.
BETWEEN_SEEDS = 0.4
UNIT = 3.0
#: The deviation of the logarithm between pairs of seeds of a prompt, on that model.
BETWEEN_PAIRS = 0.2


def draw_distances(
    generator: np.random.Generator,
    means: dict[int, float],
    *,
    prompts: int,
    spread: float,
) -> Panel:
    """Draw distances to a scheduler's own limit by numbers of steps.

    Args:
        generator: Of random numbers.
        means: Mean distance by steps, as a share of the distance of two seeds.
        prompts: How many.
        spread: Deviation of the logarithm between prompts.
    """
    shape = (prompts, SEEDS, len(means))
    prompt = _factors(generator, spread, prompts, 1, 1)
    seed = _factors(generator, BETWEEN_SEEDS, *shape)
    values = UNIT * np.array(list(means.values())) * prompt * seed
    return make_panel(values, list(means), metric="rmse", higher_is_better=False)


def draw_units(
    generator: np.random.Generator, panel: Panel, *, pairs: int
) -> dict[Hashable, float]:
    """Draw the median distance of some pairs of seeds for each prompt."""
    drawn = UNIT * _factors(generator, BETWEEN_PAIRS, len(panel.prompts), pairs)
    return dict(zip(panel.prompts, np.median(drawn, axis=1), strict=True))


def _factors(generator: np.random.Generator, spread: float, *shape: int) -> Floats:
    """Draw lognormal factors with a mean of one."""
    return generator.lognormal(-(spread**2) / 2, spread, shape)
