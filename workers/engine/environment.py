"""The environment of an image: names and versions that a result records."""

import platform
import re
import socket
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from storage.host.environment import Environment

#: Packages whose version can change a picture.
PACKAGES = ("torch", "diffusers", "transformers", "scipy", "torchsde", "nightsweep")


def describe_environment(
    device: str, threads: int, *, compiled: bool = False
) -> Environment:
    """Return this process's device, host and software versions.

    Args:
        device: `cpu`, `cuda:0` and so on.
        threads: Torch threads in use.
        compiled: Whether batches run a compiled network.
    """
    on_gpu = device.startswith("cuda")
    details = {name: _version(name) for name in PACKAGES}
    details["python"] = platform.python_version()
    details["cuda"] = str(torch.version.cuda) if on_gpu else ""
    details["driver"] = _driver() if on_gpu else ""
    details["threads"] = str(threads)
    if compiled:
        details["compiled"] = "torch.compile"
    gpu = torch.cuda.get_device_name(device) if on_gpu else _processor()
    return Environment(gpu=gpu, host=socket.gethostname(), details=details)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _driver() -> str:
    info = Path("/proc/driver/nvidia/version")
    found = re.search(
        r"\b\d+\.\d+(\.\d+)?\b", info.read_text() if info.exists() else ""
    )
    return found[0] if found else ""


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return "CPU " + line.partition(":")[2].strip()
    return "CPU " + (platform.processor() or platform.machine())
