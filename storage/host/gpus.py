"""Whether this machine has a GPU, told from its files."""

import os
from pathlib import Path


def has_nvidia() -> bool:
    """Return whether this machine shows an NVIDIA GPU not hidden on purpose."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    places = (("/dev", "nvidia[0-9]*"), ("/proc/driver/nvidia/gpus", "*"))
    return any(any(Path(folder).glob(names)) for folder, names in places)
