"""What a metric is, and what it is given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from storage.metrics.kinds import KINDS

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One image to be scored.

    Attributes:
        image: (height, width, 3), uint8, RGB.
        prompt: What was asked for.
        parameters: The image's row of the view `images`; `key` among them.
        reference: As `image`: the same job at the reference setting. None where the
            metric needs none.
    """

    image: "np.ndarray"
    prompt: str
    parameters: Mapping[str, Any]
    reference: "np.ndarray | None" = None

    @property
    def key(self) -> str:
        """The image's key, for messages."""
        return str(self.parameters.get("key", "?"))


class Metric(Protocol):
    """Scores batches of images.

    Attributes:
        name: Identifies its scores: `clip`.
        version: Changes whenever its values do.
        higher_is_better: The direction.
        needs_reference: Whether each sample must have a reference.
        batch_size: Most samples of a call of `score`.
    """

    name: str
    version: str
    higher_is_better: bool
    needs_reference: bool
    batch_size: int

    def score(self, samples: Sequence[Sample]) -> Sequence[float]:
        """Return a finite number for each sample, in their order.

        Any error is taken as one of a single sample, which is found by halving the
        batch.
        """


class BuiltinMetric:
    """The attributes of a built-in metric, from its row in `storage.metrics.kinds`."""

    name: str
    version: str
    higher_is_better: bool
    needs_reference: bool

    def __init_subclass__(cls, *, name: str) -> None:
        """Take the attributes of the metric of this name."""
        kind = KINDS[name]
        cls.name = kind.name
        cls.version = kind.version
        cls.higher_is_better = kind.higher_is_better
        cls.needs_reference = kind.needs_reference
