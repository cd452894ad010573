"""Networks in transformers format: a folder without an index, as a CLIP or a DINOv2.

A network is built in, a local folder, or a repository on the Hub. As with the models
that make images, weights are read from safetensors only, and code in the folder is
never run.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from storage.errors import ModelError
from storage.models import hub
from storage.models.components import files_at_root
from storage.models.located import (
    Located,
    fetched,
    in_folder,
    read_json,
    readable,
    refuse_stray_shards,
)
from storage.models.model_files import (
    BUILTIN_FOLDERS,
    check_revision,
    is_hub_id,
    resolve_name,
)

#: Networks that come with nightsweep, and where they are.
BUILTIN_NETWORKS: Mapping[str, Path] = {
    "builtin:clip": BUILTIN_FOLDERS["builtin:shapes"].parent / "clip",
}
CONFIG = "config.json"


def resolve_network(name: str, base_dir: Path) -> str:
    """Convert the name of a network to the form that does not depend on a folder.

    Args:
        name: `builtin:clip`; a folder that starts with `/`, `./`, `../` or `~`; or a
            Hub id, `org/name` or `org/name@revision`.
        base_dir: Folder that a relative path starts from.

    Raises:
        ModelError: The name is none of these.
    """
    repository, revision = _split(name)
    if name in BUILTIN_NETWORKS or revision:
        check_revision(repository, revision)
        return name
    return resolve_name(name, base_dir)


def locate_network(
    name: str, *, types: Sequence[str], weights: bool = True, download: bool
) -> Located:
    """Find a network, and fetch what is missing from the Hub.

    Without a connection, a network of the Hub is taken from the cache.

    Args:
        name: As `resolve_network` returns it.
        types: Values of `model_type` in its config that serve; none for any.
        weights: False for its tokenizer and processor only.
        download: Whether weights are fetched too. False takes their SHA-256 from the
            Hub.

    Raises:
        ModelError: It cannot be found or read, is of another type, or is not in
            safetensors.
    """
    repository, revision = _split(name)
    check_revision(repository, revision)
    with readable(name):
        if is_hub_id(repository):
            found = _on_hub(repository, revision, weights=weights, download=download)
        else:
            folder = BUILTIN_NETWORKS.get(name, Path(name))
            found = _in_folder(name, folder, weights=weights)
        refuse_stray_shards(found)
    if types:
        _require_type(found, types)
    return found


def _split(name: str) -> tuple[str, str | None]:
    """Split `org/name@revision`; a folder may have an @ in its name."""
    repository, mark, revision = name.partition("@")
    return (repository, revision) if mark and is_hub_id(repository) else (name, None)


def _on_hub(
    name: str, revision: str | None, *, weights: bool, download: bool
) -> Located:
    listing = hub.list_files(name, revision)
    files = _choose(name, listing.sizes, weights=weights) if listing else (CONFIG,)
    # Fetched by revision, so that the cache records which commit it stands for.
    folder = hub.fetch(name, files[0], revision, offline=listing is None).parent
    if listing is None:
        return _in_folder(name, folder, weights=weights, commit=folder.name)
    return fetched(name, listing, folder, index=_index(), files=files, weights=download)


def _in_folder(
    name: str, folder: Path, *, weights: bool, commit: str | None = None
) -> Located:
    paths = [file.name for file in folder.iterdir() if file.is_file()]
    files = _choose(name, paths, weights=weights)
    return in_folder(name, folder, _index(), files, commit=commit)


def _choose(name: str, paths: Iterable[str], *, weights: bool) -> tuple[str, ...]:
    try:
        return files_at_root(paths, name, weights=weights)
    except ModelError as error:
        msg = f"{name} cannot be used: {error}"
        raise ModelError(msg) from error


def _index() -> dict[str, str]:
    """Stand in for the index of a pipeline: all files at the root are loaded."""
    return {"_class_name": "transformers"}


def _require_type(found: Located, types: Sequence[str]) -> None:
    kind = read_json(found.folder / CONFIG).get("model_type")
    if kind not in types:
        msg = (
            f"the model must be of the type {' or '.join(types)}, but {found.name} is"
            f" of the type {kind}; name another model"
        )
        raise ModelError(msg)
