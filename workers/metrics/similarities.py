"""Metrics that compare the features of networks: with a text, or with a reference."""

from collections.abc import Sequence

from torch import Tensor

from storage.metrics.identity import Found
from workers.metrics.metric import BuiltinMetric, Sample
from workers.metrics.networks import ClipNetwork, ImageNetwork


class Clip(BuiltinMetric, name="clip"):
    """Cosine of a CLIP's features of image and prompt, -1 to 1."""

    def __init__(self, found: Found, device: str) -> None:
        """Load the CLIP."""
        self._clip = ClipNetwork(found, device)
        self.batch_size = self._clip.batch_size

    def score(self, samples: Sequence[Sample]) -> list[float]:
        """Return the plain cosines: not times 100, and not cut off at 0."""
        return _floats(self._cosines(samples))

    def _cosines(self, samples: Sequence[Sample]) -> Tensor:
        seen = self._clip.look([each.image for each in samples])
        read = self._clip.read([each.prompt for each in samples])
        return (seen * read).sum(-1)


class PickScore(Clip, name="pickscore"):
    """The same cosine times the CLIP's own scale (Kirstain et al. 2023)."""

    def score(self, samples: Sequence[Sample]) -> list[float]:
        """Return scores as on the page of PickScore, about 15 to 25."""
        return _floats(self._clip.scale * self._cosines(samples))


class ClipDistance(BuiltinMetric, name="clip_distance"):
    """1 - cosine of a CLIP's features of image and reference, 0 to 2."""

    def __init__(self, found: Found, device: str) -> None:
        """Load the CLIP."""
        self._network: ImageNetwork = ClipNetwork(found, device, reads_text=False)
        self.batch_size = self._network.batch_size

    def score(self, samples: Sequence[Sample]) -> list[float]:
        """Return 0 for equal images."""
        return _distances(self._network, samples)


class DinoDistance(BuiltinMetric, name="dino_distance"):
    """1 - cosine of DINOv2's class tokens of image and reference, 0 to 2."""

    def __init__(self, found: Found, device: str) -> None:
        """Load the DINOv2."""
        self._network = ImageNetwork(found, device)
        self.batch_size = self._network.batch_size

    def score(self, samples: Sequence[Sample]) -> list[float]:
        """Return 0 for equal images."""
        return _distances(self._network, samples)


def _distances(network: ImageNetwork, samples: Sequence[Sample]) -> list[float]:
    references = [each.reference for each in samples if each.reference is not None]
    seen = network.look([each.image for each in samples])
    # Rounding may make a cosine larger than 1.
    return _floats((1 - (seen * network.look(references)).sum(-1)).clamp(min=0))


def _floats(values: Tensor) -> list[float]:
    floats: list[float] = values.tolist()
    return floats
