"""Imports of what needs torch or JAX, which take seconds."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


def import_function(where: str) -> Any:
    """Import a function that needs torch or JAX.

    Args:
        where: Its module and its name: `workers.engine.calibration:calibrate`.
    """
    module, _, function = where.partition(":")
    with _collecting_no_garbage():
        return getattr(import_module(module), function)


@contextmanager
def _collecting_no_garbage() -> Iterator[None]:
    """Collect no garbage while torch is imported, and leave its objects out later.

    They stay to the end, and looking through them takes a second of six.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
