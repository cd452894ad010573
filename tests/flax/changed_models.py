"""Folders of models that tests change."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from storage.models.located import Located
from storage.models.model_files import locate
from tests.flax.cases import FOLDER


def find(folder: Path | str = "builtin:shapes") -> Located:
    """Find a model whose files are all here."""
    return locate(str(folder), download=False)


def copy_to(folder: Path) -> Path:
    """Copy the demo model; return the new folder."""
    return Path(shutil.copytree(FOLDER, folder / "model"))


def change(file: Path, **values: Any) -> None:
    """Change values of a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def reweigh(file: Path, change: Any) -> None:
    """Replace the weights of a file, name to array, by what `change` returns."""
    weights: dict[str, np.ndarray[Any, Any]] = load_file(file)
    save_file(change(weights), file)
