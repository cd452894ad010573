"""Metrics of a user's own, as a package of theirs would have them."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from workers.metrics.metric import Sample


class Brightness:
    """The mean of all pixels, from 0 to 1.

    A file `held` in the state folder holds it up; a file `killer` there holds the keys
    of images that kill the worker.
    """

    name = "brightness"
    version = "1"
    higher_is_better = True
    needs_reference = False
    batch_size = 4

    def __init__(self, device: str) -> None:
        assert device
        self._home = Path(os.environ["NIGHTSWEEP_HOME"])

    def score(self, samples: Sequence[Sample]) -> list[float]:
        """Return the mean of each image."""
        with (self._home / "measured").open("a") as journal:
            journal.writelines(f"{one.key}\n" for one in samples)
        while (self._home / "held").exists():
            time.sleep(0.02)
        for one in samples:
            if one.prompt == "kill the metric":
                os.kill(os.getpid(), signal.SIGKILL)
            if one.prompt == "no metric likes it":
                msg = "this prompt is not for metrics"
                raise ValueError(msg)
        return [float(one.image.mean()) / 255 for one in samples]


class Newer(Brightness):
    """The same, of another version than was asked for."""

    version = "2"


class Darkness(Brightness):
    """How much darker than its reference an image is."""

    name = "darkness"
    higher_is_better = False
    needs_reference = True

    def score(self, samples: Sequence[Sample]) -> list[float]:
        """Return the difference of the means."""
        return [
            float(one.reference.mean() - one.image.mean()) / 255
            for one in samples
            if one.reference is not None
        ]
