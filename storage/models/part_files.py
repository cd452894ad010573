"""One file of weights besides the model, such as a LoRA: where it is, and which it is.

Its fingerprint is a hash over the whole file, metadata included: diffusers reads there
by how much a LoRA counts (`lora_adapter_metadata`), so metadata may change a picture.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from storage.errors import FingerprintError, ModelError
from storage.job import Model
from storage.models import hub
from storage.models.checkpoint_names import CONVERT
from storage.models.downloads import fetch_weights
from storage.models.fingerprint import Digests
from storage.models.model_files import is_hub_id

SUFFIX = ".safetensors"
#: What diffusers calls a file that it saves, if nobody names another one.
_USUAL = ("pytorch_lora_weights.safetensors", "learned_embeds.safetensors")
_LENGTH = 32
#: The family of the model records that stand for such files.
LORA, EMBEDDING = "lora", "embedding"
_FAMILIES = (LORA, EMBEDDING)


def describe_part(place: Model, digests: Digests) -> tuple[Model, Path]:
    """Return the record of a file, and where it is; one of the Hub is fetched.

    Args:
        place: `name` is an absolute path, or a Hub id whose `variant` is the file
            within the repository; None for its only one. Its fingerprint is ignored.
        digests: Where SHA-256 of files are remembered.

    Raises:
        ModelError: It cannot be found or read, or is not in safetensors.
    """
    if is_hub_id(place.name):
        place = _find_on_hub(place)
    file = find_file(place)
    return replace(place, fingerprint=fingerprint_part(file, digests)), file


def is_part(place: Model) -> bool:
    """Return whether a place is of such a file, and not of a model."""
    return place.family in _FAMILIES


def find_part_file(place: Model, digests: Digests, *, download: bool = True) -> Path:
    """Return a file at its place, checked to be the one that was planned.

    Args:
        place: Where to look.
        digests: Where SHA-256 of files are remembered.
        download: Fetch one of the Hub if it is missing.

    Raises:
        ModelError: It is not there.
        FingerprintError: Another one is there.
    """
    file = find_file(place, download=download)
    found = fingerprint_part(file, digests)
    if found != place.fingerprint:
        msg = (
            f"{file} must be the file that was planned, fingerprint"
            f" {place.fingerprint}, but has {found}; restore it, or submit the sweep"
            " again to use the new one"
        )
        raise FingerprintError(msg)
    return file


def find_file(place: Model, *, download: bool = True) -> Path:
    """Return a file at its place; one of the Hub is fetched if it is missing.

    Args:
        place: Where to look.
        download: Fetch one of the Hub; else only look in the cache.

    Raises:
        ModelError: It is not there, or is not in safetensors.
    """
    if is_hub_id(place.name):
        return _fetch(place, download=download)
    file = Path(place.name)
    if not file.is_file():
        msg = f"weights besides the model must be a file, got {file}; check the path"
        raise ModelError(msg)
    if file.suffix != SUFFIX:
        msg = (
            f"weights besides the model must be in {SUFFIX}, got {file.name}, which may"
            f" hold code; {CONVERT}"
        )
        raise ModelError(msg)
    return file


def _fetch(place: Model, *, download: bool) -> Path:
    """Return a file of the Hub, fetched as the weights of models are."""
    version, file = place.commit or place.revision, str(place.variant)
    if not download:
        return hub.fetch(place.name, file, version, offline=True)
    with suppress(ModelError):
        return hub.fetch(place.name, file, version, offline=True)
    listing = hub.list_files(place.name, version)
    if listing and file in listing.sizes:
        fetch_weights(place.name, listing, [file])
    return hub.fetch(place.name, file, version, offline=False)


def _find_on_hub(place: Model) -> Model:
    listing = hub.list_files(place.name, place.revision)
    if listing is None:
        return replace(place, variant=place.variant or _USUAL[0])
    file = _choose(place, [name for name in listing.sizes if name.endswith(SUFFIX)])
    return replace(place, variant=file, commit=listing.commit)


def _choose(place: Model, files: Collection[str]) -> str:
    if place.variant in files:
        return str(place.variant)
    usual = [name for name in _USUAL if name in files]
    fitting = usual or list(files)
    if place.variant is None and len(fitting) == 1:
        return fitting[0]
    named = ", ".join(sorted(files)) or "none"
    msg = (
        f"{place.name} must have the file {place.variant or 'that is meant'} in"
        f" {SUFFIX}, got {named}; name one as `weight`"
    )
    raise ModelError(msg)


def fingerprint_part(file: Path, digests: Digests) -> str:
    """Return the fingerprint of a file.

    Raises:
        ModelError: It cannot be read.
    """
    found = digests.of(file)[:_LENGTH]
    digests.save()
    return found
