"""nightsweep: diffusion sweeps overnight. The names that people import.

>>> import nightsweep
>>> sweep = nightsweep.submit("examples/first-sweep.yaml")
>>> rows = nightsweep.Store().find(sweep="first-sweep", steps="10..20")
"""

import importlib
import io
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from producer.notebook import submit
    from storage.errors import NightsweepError
    from storage.store import Store

__all__ = ["NightsweepError", "Store", "main", "submit"]

_LAZY = {
    "NightsweepError": "storage.errors",
    "Store": "storage.store",
    "submit": "producer.notebook",
}
_PACKAGES = ("storage", "analysis", "gallery", "producer", "workers")


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name == "__version__":
        return metadata.version("nightsweep")
    if name not in _LAZY:
        msg = f"module 'nightsweep' has no attribute {name!r}"
        raise AttributeError(msg)
    _check_packages()
    return getattr(importlib.import_module(_LAZY[name]), name)


def main() -> None:
    """Run the command line."""
    _check_packages()
    from producer.cli import cli

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What another locale has no letters for is not the end of a command.
            stream.reconfigure(errors="backslashreplace")
    try:
        cli(prog_name="nightsweep")
    finally:
        _write_rest()


def _write_rest() -> None:
    """Write what is left of the output, or drop it where nobody reads on.

    Otherwise Python would try it when it ends, and fail beneath `| head`.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_packages() -> None:
    """Refuse packages of the same names that are not ours.

    `storage` or `workers` may well be a folder beside somebody's notebook, and Python
    would import that one.

    Raises:
        ImportError: One of them stands in the way.
    """
    here = Path(__file__).resolve().parent
    for name in _PACKAGES:
        module = sys.modules.get(name) or importlib.import_module(name)
        found = Path(module.__path__[0]).resolve()
        if found.parent != here:
            msg = (
                f"nightsweep needs its own package {name!r}, but Python finds "
                f"{found}; start from another folder, or rename that one."
            )
            raise ImportError(msg)


if __name__ == "__main__":
    main()
