"""What a model is on disk: its name, its folder, and the files that are loaded.

A model is a folder in diffusers format: built in, local, or in the Hub's cache. Weights
are read from safetensors only, or from msgpack where Flax has saved them, and code in
the folder is never run.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from storage.errors import ModelError
from storage.models import hub
from storage.models.checkpoint_names import folder_name, is_checkpoint, parse
from storage.models.components import INDEX, loaded_files
from storage.models.located import (
    Located,
    fetched,
    in_folder,
    read_json,
    readable,
    refuse_stray_shards,
)
from storage.models.moved import SUCCESSORS, explain_moved
from storage.models.single_files import read_checkpoint
from storage.texts import is_text, shown_bytes

#: Models that come with nightsweep, and where they are.
BUILTIN_FOLDERS: Mapping[str, Path] = {
    "builtin:shapes": Path(__file__).parent / "builtin" / "shapes",
}

_PATH_STARTS = ("/", "./", "../", "~")
_HUB_ID = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}"
)
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}")
_VARIANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def resolve_name(name: str, base_dir: Path) -> str:
    """Convert a model's name to the form that a job carries.

    Args:
        name: `builtin:shapes`; a folder that starts with `/`, `./`, `../` or `~`; a
            Hub id `org/name`; or a single file, as `checkpoint_names` has it.
        base_dir: Folder that a relative path starts from.

    Returns:
        The built-in name, the absolute folder without symbolic links, the Hub id, or
        the name of the file with an absolute path.

    Raises:
        ModelError: The name is none of these, or names a folder that cannot be
            resolved or is not text.
    """
    if is_builtin(name) or is_hub_id(name):
        return name
    if is_checkpoint(name):
        asked = parse(name).resolved(
            file=lambda file: _resolve_file(file, base_dir),
            model=lambda model: resolve_name(model, base_dir),
        )
        return str(asked)
    if not name.startswith(_PATH_STARTS) and name not in (".", ".."):
        msg = (
            f"a model is {', '.join(BUILTIN_FOLDERS)}, a folder that starts with / or"
            " ./ or ~, a file that ends in .safetensors or .gguf, or a Hub id such as"
            f" org/name, got {name!r}; change `model`"
        )
        raise ModelError(msg)
    return _resolve_path(name, base_dir)


def _resolve_file(name: str, base_dir: Path) -> str:
    # A symbolic link is kept: what it leads to may have another ending.
    file = Path(name)
    return str(Path(_resolve_path(str(file.parent), base_dir)) / file.name)


def _resolve_path(name: str, base_dir: Path) -> str:
    try:
        folder = str((base_dir / Path(name).expanduser()).resolve())
    except (OSError, RuntimeError, ValueError) as error:
        msg = f"the folder {name!r} cannot be resolved: {error}; change `model`"
        raise ModelError(msg) from error
    if not is_text(folder):
        msg = (
            f"the path of a model must be UTF-8 text, got {shown_bytes(folder)}; rename"
            " the folder with that name"
        )
        raise ModelError(msg)
    return folder


def is_builtin(name: str) -> bool:
    """Return whether `name` is a model that comes with nightsweep."""
    return name in BUILTIN_FOLDERS


def is_hub_id(name: str) -> bool:
    """Return whether `name` is `org/name`, and can never be read as a path."""
    is_id = bool(_HUB_ID.fullmatch(name)) and ".." not in name and "--" not in name
    return is_id and not is_checkpoint(name)


def locate(
    name: str,
    *,
    revision: str | None = None,
    variant: str | None = None,
    download: bool,
) -> Located:
    """Find a model, and fetch what is missing from the Hub.

    Without a connection, a Hub model is taken from the cache. So is one that was
    deleted from the Hub.

    Args:
        name: As `resolve_name` returns it.
        revision: Branch, tag or commit; Hub models only.
        variant: File variant such as `fp16`.
        download: Whether weights are fetched too. False fetches the small files that
            a plan reads, and takes the SHA-256 of the weights from the Hub.

    Raises:
        ModelError: The model cannot be found or read, or is not in safetensors.
    """
    _check_version(name, revision, variant)
    with readable(name):
        if is_checkpoint(name):
            return _locate_checkpoint(
                name,
                lambda config, held: _locate(
                    config, revision, None, download=download, held=held
                ),
            )
        return _locate(name, revision, variant, download=download)


def locate_here(name: str, *, revision: str | None, variant: str | None) -> Located:
    """Find a model on this machine, without asking the Hub.

    Args:
        name: As `resolve_name` returns it.
        revision: Branch, tag or commit; Hub models only.
        variant: File variant such as `fp16`.

    Raises:
        ModelError: The model is not here, or not complete.
    """
    _check_version(name, revision, variant)
    with readable(name):
        if is_checkpoint(name):
            return _locate_checkpoint(
                name, lambda config, held: _locate_here(config, revision, held=held)
            )
        return _locate_here(name, revision, variant=variant)


def check_revision(name: str, revision: str | None) -> None:
    """Refuse a revision that the Hub cannot have.

    Raises:
        ModelError: The model is not from the Hub, or the revision is not a name.
    """
    if revision is not None and not is_hub_id(folder_name(name)):
        msg = f"only Hub models have a revision, got {revision!r} for {name}; drop it"
        raise ModelError(msg)
    if revision is not None and (not _REVISION.fullmatch(revision) or ".." in revision):
        msg = f"a revision is a branch, tag or commit, got {revision!r}"
        raise ModelError(msg)


def _check_version(name: str, revision: str | None, variant: str | None) -> None:
    check_revision(name, revision)
    if variant is not None and is_checkpoint(name):
        msg = f"a single file has no variant, got {variant!r} for {name}; drop it"
        raise ModelError(msg)
    if variant is not None and not _VARIANT.fullmatch(variant):
        msg = f"a variant is a word such as fp16, got {variant!r}"
        raise ModelError(msg)


def _locate_checkpoint(
    name: str, find: Callable[[str, frozenset[str]], Located]
) -> Located:
    """Read a single file, and `find` what it needs besides: by config and held."""
    checkpoint = read_checkpoint(name)
    return checkpoint.on(find(checkpoint.config, checkpoint.held))


def _locate(
    name: str,
    revision: str | None,
    variant: str | None,
    *,
    download: bool,
    held: frozenset[str] = frozenset(),
) -> Located:
    if name in SUCCESSORS:
        return _locate_moved(name, revision, variant, held=held)
    if is_hub_id(name):
        found = _locate_on_hub(name, revision, variant, download=download, held=held)
    else:
        folder = BUILTIN_FOLDERS.get(name, Path(name))
        found = _locate_folder(name, folder, variant, held=held)
    refuse_stray_shards(found)
    return found


def _locate_here(
    name: str,
    revision: str | None,
    *,
    variant: str | None = None,
    held: frozenset[str] = frozenset(),
) -> Located:
    if not is_hub_id(name):
        return _locate(name, revision, variant, download=False, held=held)
    file = hub.fetch(name, INDEX, revision, offline=True)
    return _locate_in_cache(name, file.parent, variant, held=held)


def _locate_folder(
    name: str, folder: Path, variant: str | None, *, held: frozenset[str]
) -> Located:
    if not (folder / INDEX).is_file():
        msg = (
            f"a model is a folder with a {INDEX}, as `save_pretrained` of diffusers"
            f" writes it, or a file that ends in .safetensors, got {folder}; check the"
            " path"
        )
        raise ModelError(msg)
    index = read_json(folder / INDEX)
    files = _choose_in(name, _list_folder(folder, index), index, variant, held=held)
    return in_folder(name, folder, index, files)


def _locate_on_hub(
    name: str,
    revision: str | None,
    variant: str | None,
    *,
    download: bool,
    held: frozenset[str],
) -> Located:
    listing = hub.list_files(name, revision)
    # Fetched by revision, so that the cache records which commit it stands for.
    file = hub.fetch(name, INDEX, revision, offline=listing is None)
    if listing is None:
        return _locate_in_cache(name, file.parent, variant, held=held)
    file = hub.fetch(name, INDEX, listing.commit, offline=False)
    index = read_json(file)
    files = _choose_in(name, listing.sizes, index, variant, held=held)
    return fetched(
        name, listing, file.parent, index=index, files=files, weights=download
    )


def _locate_moved(
    name: str, revision: str | None, variant: str | None, *, held: frozenset[str]
) -> Located:
    try:
        return _locate_here(name, revision, variant=variant, held=held)
    except ModelError as error:
        raise ModelError(explain_moved(name)) from error


def _locate_in_cache(
    name: str, snapshot: Path, variant: str | None, *, held: frozenset[str]
) -> Located:
    index = read_json(snapshot / INDEX)
    try:
        files = loaded_files(
            _list_folder(snapshot, index), index, variant=variant, held=held
        )
    except ModelError as error:
        msg = (
            f"{name} is only partly in the cache {snapshot}, and the Hub cannot be"
            f" reached: {error}; connect to complete it"
        )
        raise ModelError(msg) from error
    return in_folder(name, snapshot, index, files, commit=snapshot.name)


def _choose_in(
    name: str,
    paths: Iterable[str],
    index: Mapping[str, Any],
    variant: str | None,
    *,
    held: frozenset[str],
) -> tuple[str, ...]:
    try:
        return loaded_files(paths, index, variant=variant, held=held)
    except ModelError as error:
        msg = f"{name} cannot be used: {error}"
        raise ModelError(msg) from error


def _list_folder(folder: Path, index: Mapping[str, Any]) -> list[str]:
    """List the files of the folder's components, and no others."""
    return [
        f"{name}/{file.relative_to(folder / name).as_posix()}"
        for name in index
        if name.isidentifier() and (folder / name).is_dir()
        for file in _walk(folder / name)
    ]


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and its subfolders, except for hidden folders."""
    for file in folder.iterdir():
        if file.is_file():
            yield file
        elif file.is_dir() and not (file.is_symlink() or file.name.startswith(".")):
            yield from _walk(file)
