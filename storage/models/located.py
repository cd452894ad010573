"""What was found of a model: where its files are, and which of them are loaded."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage.errors import ModelError
from storage.models import hub
from storage.models.components import is_weights, torch_class
from storage.models.downloads import fetch_weights, missing_bytes

SCHEDULER_CONFIG = "scheduler/scheduler_config.json"
#: Stands for a single-file checkpoint among the files of a model, whatever its name.
CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A model that was found.

    Attributes:
        name: `builtin:shapes`, an absolute folder, a Hub id, or a single file.
        folder: Where its files are; those of the configuration, for a single file.
        commit: Commit that the revision stood for; Hub models only.
        index: What model_index.json says.
        files: Paths that are loaded, relative to `folder`, sorted.
        size_bytes: Total size of `files`.
        sha256: Path to SHA-256 in hex, as the Hub states it, for those of `files` that
            were not fetched. Empty if all files are in the folder.
        missing: Path to bytes that must still be fetched, for those of `files` that
            are not whole in the folder.
        licence: Its name as the Hub states it; None if it is not known.
        checkpoint: The single file that has its weights, or some of them.
        held: The components that are in that file.
        scheduler_options: What that file is known to need of its own scheduler, where
            the scheduler's configuration says otherwise.
        remarks: Sentences about what of that file is not used.
    """

    name: str
    folder: Path
    commit: str | None = None
    index: Mapping[str, Any]
    files: tuple[str, ...]
    size_bytes: int
    sha256: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)
    licence: str | None = None
    checkpoint: Path | None = None
    held: frozenset[str] = frozenset()
    scheduler_options: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def path(self, file: str) -> Path:
        """Return where one of `files` is."""
        if self.checkpoint is not None and file == CHECKPOINT:
            return self.checkpoint
        return self.folder / file

    @property
    def holds_encoders(self) -> bool:
        """Whether the single file holds text encoders.

        diffusers loads these with the whole pipeline only.
        """
        return any(self.index[part][0] == "transformers" for part in self.held)

    @property
    def own_scheduler(self) -> dict[str, Any]:
        """The configuration of the model's own scheduler; its class is that of torch.

        Raises:
            ModelError: It cannot be read.
        """
        config = read_scheduler_config(self.folder / SCHEDULER_CONFIG)
        return {**config, **self.scheduler_options}


def fetched(
    name: str,
    listing: hub.Listing,
    folder: Path,
    *,
    index: Mapping[str, Any],
    files: tuple[str, ...],
    weights: bool,
) -> Located:
    """Fetch files of one commit, and return what was found.

    Args:
        name: `org/name`.
        listing: Of the commit.
        folder: Of the commit, in the Hub's cache.
        index: What says which files are loaded.
        files: Those files.
        weights: Whether weights are fetched too; else the Hub's SHA-256 stands for
            them where it states one.
    """
    stated = {} if weights else listing.sha256
    left = {path: stated[path] for path in files if is_weights(path) and path in stated}
    for path in files:
        if not is_weights(path):
            hub.fetch(name, path, listing.commit, offline=False)
    # Weights come last: a cache that has them has the rest too.
    fetch_weights(
        name, listing, (path for path in files if is_weights(path) and path not in left)
    )
    return Located(
        name=name,
        folder=folder,
        commit=listing.commit,
        index=index,
        files=files,
        size_bytes=sum(listing.sizes[path] for path in files),
        sha256=left,
        missing=missing_bytes(name, listing, left),
        licence=listing.licence,
    )


def in_folder(
    name: str,
    folder: Path,
    index: Mapping[str, Any],
    files: tuple[str, ...],
    *,
    commit: str | None = None,
) -> Located:
    """Return a model whose files are all in a folder."""
    return Located(
        name=name,
        folder=folder,
        commit=commit,
        index=index,
        files=files,
        size_bytes=sum((folder / file).stat().st_size for file in files),
    )


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ModelError: The file is missing, unreadable, or holds something else.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{file} must be readable JSON: {error}; restore the file"
        raise ModelError(msg) from error
    if not isinstance(value, dict):
        msg = f"{file} must hold a JSON object, got {type(value).__name__}"
        raise ModelError(msg)
    return value


def read_scheduler_config(file: Path) -> dict[str, Any]:
    """Read the configuration of a model's own scheduler; its class is that of torch.

    Raises:
        ModelError: As `read_json` does.
    """
    config = read_json(file)
    if isinstance(name := config.get("_class_name"), str):
        config["_class_name"] = torch_class(name)
    return config


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Translate the errors of files that cannot be read.

    Raises:
        ModelError: A file of the model `name` cannot be read.
    """
    try:
        yield
    except OSError as error:
        msg = f"{name} must be readable, got {error.strerror}: {error.filename}"
        raise ModelError(msg) from error


def refuse_stray_shards(found: Located) -> None:
    """Refuse an index of shards that names other files, which would be loaded.

    Raises:
        ModelError: It names one that is not among `found.files`.
    """
    for index in found.files:
        if ".safetensors." not in index:
            continue
        named = read_json(found.folder / index).get("weight_map")
        folder = index[: index.rfind("/") + 1]
        shards = named.values() if isinstance(named, dict) else [None]
        stray = [each for each in shards if f"{folder}{each}" not in found.files]
        if stray:
            msg = (
                f"{found.name} cannot be used: {index} must name its own shards, got"
                f" {stray[0]!r}; fetch the model again"
            )
            raise ModelError(msg)
