"""The GPUs of this machine, as torch sees them, asked without importing torch."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Seconds that importing torch and looking for GPUs may take.
PROBE_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU that torch can use.

    Attributes:
        name: Name of the product.
        uuid: Its unique id; empty where torch reports none.
    """

    name: str
    uuid: str = ""


def has_nvidia() -> bool:
    """Return whether this machine shows an NVIDIA GPU not hidden on purpose."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    places = (("/dev", "nvidia[0-9]*"), ("/proc/driver/nvidia/gpus", "*"))
    return any(any(Path(folder).glob(names)) for folder, names in places)


def ask_torch() -> tuple[list[Gpu], str]:
    """Ask torch, in a process of its own, for the visible GPUs.

    Returns:
        The GPUs, and the reason if there are none.
    """
    found = _run_probe()
    names: list[str] = found.get("names", [])
    uuids: list[str] = found.get("uuids", [""] * len(names))
    pairs = zip(names, uuids, strict=True)
    gpus = [Gpu(name=name, uuid=uuid) for name, uuid in pairs]
    return gpus, found.get("reason", "torch finds no GPU")


def _run_probe() -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", "workers.devices.placements"]
    # GPUs are counted as nvidia-smi counts them, here and in the workers.
    env = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", **os.environ}
    try:
        answer = subprocess.run(  # noqa: S603 - our own module
            command,
            env=env,
            capture_output=True,
            text=True,
            timeout=PROBE_S,
            check=False,
        )
        found: dict[str, Any] = json.loads(answer.stdout)
    except subprocess.TimeoutExpired:
        return {"reason": f"torch gave no answer in {PROBE_S} s"}
    except ValueError:
        lines = answer.stderr.strip().splitlines()
        return {"reason": lines[-1] if lines else "torch gave no answer"}
    return found
