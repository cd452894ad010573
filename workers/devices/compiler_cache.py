"""Where torch and JAX keep what they compile."""

import os
from pathlib import Path


def keep_compilations(home: Path) -> None:
    """Have later processes find what this one compiles: in the state folder.

    Torch's default is a folder for all programs of a user below `/tmp`. JAX keeps
    nothing unless it is told where, before it is imported.

    Args:
        home: The state folder.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(home / "compiled"))
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(home / "compiled" / "jax"))
