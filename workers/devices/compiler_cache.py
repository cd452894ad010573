"""Where torch keeps what it compiles."""

import os
from pathlib import Path


def keep_compilations(home: Path) -> None:
    """Have later processes find what this one compiles: in the state folder.

    Torch's default is a folder for all programs of a user below `/tmp`.

    Args:
        home: The state folder.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(home / "compiled"))
