"""The environment of an image: names and versions that a result records."""

import platform
import re
import socket
from pathlib import Path

import torch

from storage.host.environment import Environment
from workers.devices.host_facts import processor_name, version_of

#: Packages whose version can change a picture.
PACKAGES = ("torch", "diffusers", "transformers", "scipy", "torchsde", "nightsweep")


def describe_environment(device: str, threads: int) -> Environment:
    """Return this process's device, host and software versions.

    Args:
        device: `cpu`, `cuda:0` and so on.
        threads: Torch threads in use.
    """
    on_gpu = device.startswith("cuda")
    details = {name: version_of(name) for name in PACKAGES}
    details["python"] = platform.python_version()
    details["cuda"] = str(torch.version.cuda) if on_gpu else ""
    details["driver"] = _driver() if on_gpu else ""
    details["threads"] = str(threads)
    gpu = torch.cuda.get_device_name(device) if on_gpu else processor_name()
    return Environment(gpu=gpu, host=socket.gethostname(), details=details)


def _driver() -> str:
    info = Path("/proc/driver/nvidia/version")
    found = re.search(
        r"\b\d+\.\d+(\.\d+)?\b", info.read_text() if info.exists() else ""
    )
    return found[0] if found else ""
