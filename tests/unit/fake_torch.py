"""A module in place of torch, for the program that asks it for GPUs."""

import os
from pathlib import Path

import pytest

from tests.processes import ROOT

#: What stands in for torch in the process that looks for GPUs.
TORCH = """
__version__ = "2.13.0"
class version:
    cuda = {built_for!r}
class cuda:
    is_available = staticmethod(lambda: {names!r} != [])
    device_count = staticmethod(lambda: len({names!r}))
    class get_device_properties:
        def __init__(self, index):
            self.name = {names!r}[index]
            self.uuid = f"1f2e-{{index}}"
    @staticmethod
    def init():
        raise RuntimeError("The NVIDIA driver on your system is too old")
"""


def install_torch(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    names: list[str],
    built_for: str | None,
) -> None:
    """Have processes import a torch that finds these GPUs."""
    text = TORCH.format(names=names, built_for=built_for)
    (folder / "torch.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{ROOT}")
