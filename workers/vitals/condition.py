"""How a worker's batch and device are, in a few words for people.

A GPU is asked through nvidia-smi, which comes with the driver: a process of its own
cannot take the worker down with it.
"""

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress

import psutil

from storage.fleet.progress import SEPARATOR
from workers.vitals.phases import Activity

#: Seconds that nvidia-smi may take.
SMI_S = 10.0
#: What it is asked; memory is in MiB.
_FIELDS = "memory.used,memory.total,temperature.gpu"
_MIB = 2**20


def describe_batch(activities: Sequence[Activity]) -> str:
    """Return how wide a batch is and how far its images are: `16 rows, 48 %`.

    It is empty if no thread says so.
    """
    rows = sum(one.rows for one in activities)
    if not rows:
        return ""
    share = sum(one.part for one in activities) / rows
    return f"{rows} {'row' if rows == 1 else 'rows'}, {100 * share:.0f} %"


def describe_device(device: str) -> str:
    """Return the memory and the heat of a device; empty if they cannot be known.

    Args:
        device: `cpu`, or a GPU.

    Returns:
        `61.2 of 151 GB · 71 °C` of a GPU; `1.2 GB · load 2.1` of a CPU, the memory
            being that of this process.
    """
    return SEPARATOR.join(_of_cpu() if device == "cpu" else _of_gpu())


def _of_cpu() -> list[str]:
    memory = psutil.Process().memory_info().rss
    return [f"{memory / 1e9:.1f} GB", f"load {os.getloadavg()[0]:.1f}"]


def _of_gpu() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    command = ["nvidia-smi", f"--id={visible}", f"--query-gpu={_FIELDS}"]
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        said = subprocess.run(  # noqa: S603 - the driver's own program
            [*command, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            check=True,
            timeout=SMI_S,
            stdin=subprocess.DEVNULL,
        ).stdout
        used, total, temperature = said.partition("\n")[0].split(", ")
        memory = f"{float(used) * _MIB / 1e9:.1f} of {float(total) * _MIB / 1e9:.0f} GB"
        return [memory, f"{int(temperature)} °C"]
    return []
