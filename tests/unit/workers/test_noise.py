"""Noise of `generator: numpy`: part of a job's identity, so it must never change."""

import numpy as np

from workers.noise import draw


def test_the_noise_of_a_seed_never_changes() -> None:
    noise = draw(8, (1, 4, 1, 1))
    assert noise.dtype == np.float32
    assert noise.ravel().tolist() == [
        *(-2.0311994552612305, 0.5064554810523987),
        *(-0.348970502614975, 2.2814862728118896),
    ]


def test_the_noise_of_a_wider_image_begins_alike() -> None:
    assert (draw(8, (1, 4, 2, 2)).ravel()[:4] == draw(8, (1, 4, 1, 1)).ravel()).all()


def test_the_largest_seed_has_noise_of_its_own() -> None:
    assert (draw(2**63 - 1, (1, 4, 1, 1)) != draw(8, (1, 4, 1, 1))).all()
