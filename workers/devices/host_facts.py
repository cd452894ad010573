"""What a result records of this machine: its processor and packages."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def version_of(package: str) -> str:
    """Return the version of an installed package, or an empty text."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def processor_name() -> str:
    """Return the name of the processor: `CPU AMD EPYC 7763`."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return "CPU " + line.partition(":")[2].strip()
    return "CPU " + (platform.processor() or platform.machine())
