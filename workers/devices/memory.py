"""How much memory a device has, and how much of it is free."""

import psutil
import torch


def free_bytes(device: str) -> int:
    """Return the bytes of a device that nobody uses.

    Memory that torch keeps on a GPU for later is given back first, since it would
    count as used.
    """
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def total_bytes(device: str) -> int:
    """Return the total bytes of a device; for a CPU, of the machine's memory."""
    if device.startswith("cuda"):
        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(psutil.virtual_memory().total)
