"""ControlNets: folders with a configuration and weights, here or on the Hub."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from storage.errors import ModelError
from storage.job import Model
from storage.models import hub
from storage.models.components import weights_at_root
from storage.models.fingerprint import Digests, fingerprint
from storage.models.located import (
    Located,
    fetched,
    in_folder,
    readable,
    refuse_stray_shards,
)
from storage.models.model_files import check_revision, is_hub_id, resolve_name

CONFIG = "config.json"
#: What the record of a ControlNet has as its family.
FAMILY = "controlnet"
_INDEX = {"_class_name": "diffusers"}
#: Endings of files that people have ControlNets in, besides folders.
_FILES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
_PATH_STARTS = ("/", "./", "../", "~")


def resolve_control_net(name: str, base_dir: Path) -> str:
    """Convert the name of a ControlNet to the form that a job carries.

    Args:
        name: A folder, or a Hub id `org/name`.
        base_dir: Folder that a relative path starts from.

    Raises:
        ModelError: It is a single file, or neither of these.
    """
    if name.endswith(_FILES):
        msg = (
            f"a ControlNet must be a folder or a Hub id, got the file {name}; convert"
            " it: `ControlNetModel.from_single_file(FILE).save_pretrained(FOLDER)`"
        )
        raise ModelError(msg)
    if not is_hub_id(name) and not name.startswith(_PATH_STARTS):
        msg = (
            "a ControlNet is a folder that starts with / or ./ or ~, or a Hub id such"
            f" as org/name, got {name!r}; change `controlnet`"
        )
        raise ModelError(msg)
    return resolve_name(name, base_dir)


def locate_control_net(place: Model, *, download: bool) -> Located:
    """Find a ControlNet, and fetch what is missing from the Hub.

    Without a connection, one of the Hub is taken from the cache.

    Args:
        place: Its name as `resolve_control_net` returns it, its revision and variant.
        download: Whether weights are fetched too. False takes their SHA-256 from the
            Hub.

    Raises:
        ModelError: It cannot be found or read, or is not in safetensors.
    """
    name, revision = place.name, place.commit or place.revision
    check_revision(name, place.revision)
    with readable(name):
        if is_hub_id(name):
            found = _on_hub(place, revision, download=download)
        else:
            found = _in_folder(place, Path(name))
        refuse_stray_shards(found)
    return found


def control_net_here(place: Model) -> Located:
    """Find a ControlNet on this machine, without asking the Hub.

    Raises:
        ModelError: It is not here, or not complete.
    """
    revision = place.commit or place.revision
    with readable(place.name):
        if not is_hub_id(place.name):
            return _in_folder(place, Path(place.name))
        folder = hub.fetch(place.name, CONFIG, revision, offline=True).parent
        return _in_folder(place, folder, commit=folder.name)


def describe_control_net(place: Model, digests: Digests) -> tuple[Model, Located]:
    """Return the record of a ControlNet, and its files; no weights are fetched.

    Args:
        place: As for `locate_control_net`; its fingerprint is ignored.
        digests: Where the SHA-256 of files are remembered.

    Raises:
        ModelError: It cannot be found or read, or is not in safetensors.
    """
    found = locate_control_net(place, download=False)
    mark = fingerprint(found, digests)
    return replace(place, fingerprint=mark, commit=found.commit), found


def _on_hub(place: Model, revision: str | None, *, download: bool) -> Located:
    name = place.name
    listing = hub.list_files(name, revision)
    files = _choose(place, listing.sizes) if listing else (CONFIG,)
    # Fetched by revision, so that the cache records which commit it stands for.
    folder = hub.fetch(name, CONFIG, revision, offline=listing is None).parent
    if listing is None:
        return _in_folder(place, folder, commit=folder.name)
    return fetched(name, listing, folder, index=_INDEX, files=files, weights=download)


def _in_folder(place: Model, folder: Path, *, commit: str | None = None) -> Located:
    if not folder.is_dir():
        msg = (
            "a ControlNet must be a folder as `save_pretrained` of diffusers writes it,"
            f" got {folder}, where there is none; check the path"
        )
        raise ModelError(msg)
    paths = [file.name for file in folder.iterdir() if file.is_file()]
    files = _choose(place, paths)
    return in_folder(place.name, folder, _INDEX, files, commit=commit)


def _choose(place: Model, paths: Iterable[str]) -> tuple[str, ...]:
    if CONFIG not in (paths := list(paths)):
        msg = (
            f"a ControlNet must have a {CONFIG} at the root of its folder, but"
            f" {place.name} has none; name the folder of the ControlNet itself"
        )
        raise ModelError(msg)
    try:
        return weights_at_root(paths, "the ControlNet", variant=place.variant)
    except ModelError as error:
        msg = f"{place.name} cannot be used: {error}"
        raise ModelError(msg) from error
