"""Where and with what an image was made, as its result records it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where and with what an image was made.

    Attributes:
        gpu: Name of the GPU, or of the processor.
        host: Host name.
        details: Versions of torch, diffusers and so on, driver, thread count.
    """

    gpu: str
    host: str
    details: Mapping[str, Any] = field(default_factory=dict)
