"""The Hugging Face Hub, behind few calls: list a repository, fetch a file.

The library is imported only when it is used, since that costs 0.3 s.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from storage.errors import ModelError
from storage.models.hub_errors import (
    explain,
    foreign_errors,
    is_unreachable,
    translated,
)

logger = logging.getLogger(__name__)

#: Seconds to wait for the Hub's answer before the cache is used instead.
TIMEOUT_S = 10.0


class Lfs(Protocol):
    """What the Hub states about a file in large-file storage."""

    @property
    def sha256(self) -> str:
        """64 hex digits over the content."""


class Sibling(Protocol):
    """One file of a repository, as `huggingface_hub.hf_api.RepoSibling` shows it."""

    @property
    def rfilename(self) -> str:
        """Path within the repository, with `/`."""

    @property
    def size(self) -> int | None:
        """Size in bytes."""

    @property
    def lfs(self) -> Lfs | None:
        """None for a small file, which Git itself stores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files of one commit of a repository.

    Attributes:
        commit: 40 hex digits.
        sizes: Path to bytes, for every file.
        sha256: Path to SHA-256 in hex, for the files in large-file storage.
        licence: Its name, as the model's page states it; None if none is stated.
    """

    commit: str
    sizes: Mapping[str, int]
    sha256: Mapping[str, str]
    licence: str | None = None


def listing_of(
    commit: str, siblings: Iterable[Sibling], *, licence: str | None = None
) -> Listing:
    """Turn the API's list of files into a `Listing`."""
    files = list(siblings)
    return Listing(
        commit=commit,
        sizes={file.rfilename: file.size or 0 for file in files},
        sha256={file.rfilename: file.lfs.sha256 for file in files if file.lfs},
        licence=licence,
    )


def list_files(name: str, revision: str | None) -> Listing | None:
    """Ask the Hub for the files of a revision.

    Args:
        name: `org/name`.
        revision: Branch, tag or commit; None for the main branch.

    Returns:
        None if the Hub cannot be reached or is switched off (`HF_HUB_OFFLINE`).

    Raises:
        ModelError: The Hub answers, but refuses.
    """
    from huggingface_hub import HfApi

    foreign = foreign_errors()
    try:
        info = HfApi().model_info(
            name, revision=revision, timeout=TIMEOUT_S, files_metadata=True
        )
    except foreign as error:
        if not is_unreachable(error):
            raise ModelError(explain(error, name, revision)) from error
        logger.info(
            "The Hub cannot be reached; using the cache",
            extra={"action": "hub_unreachable", "model": name},
        )
        return None
    card = info.card_data
    licence = (card.get("license_name") or card.get("license")) if card else None
    return listing_of(
        str(info.sha), info.siblings or [], licence=str(licence) if licence else None
    )


def fetch(name: str, file: str, revision: str | None, *, offline: bool) -> Path:
    """Return the path of a file in the Hub's cache; download it if it is missing.

    Args:
        name: `org/name`.
        file: Path within the repository.
        revision: Branch, tag or commit; None for the main branch.
        offline: Only look in the cache.

    Returns:
        `.../snapshots/<commit>/<file>`.

    Raises:
        ModelError: The file is not available.
    """
    from huggingface_hub import hf_hub_download

    _show_no_bars()
    with translated(name, revision):
        return Path(
            hf_hub_download(name, file, revision=revision, local_files_only=offline)
        )


def etag_of(name: str, file: str, commit: str) -> str | None:
    """Ask under which name the cache keeps a file; None if the Hub does not say.

    Raises:
        ModelError: The file is not available.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    with translated(name, commit):
        url = hf_hub_url(name, file, revision=commit)
        etag = get_hf_file_metadata(url, timeout=TIMEOUT_S).etag
    return str(etag) if etag else None


def append(name: str, file: str, commit: str, *, part: Path, size_bytes: int) -> None:
    """Fetch the bytes of a file that `part` lacks, and append them.

    Args:
        name: `org/name`.
        file: Path within the repository.
        commit: 40 hex digits.
        part: Holds the first bytes, or does not exist yet.
        size_bytes: Size of the whole file.

    Raises:
        ModelError: They did not all come; `part` keeps those that did.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        build_hf_headers,
    )

    _show_no_bars()
    with translated(name, commit), part.open("ab") as stream:
        if stream.tell() > size_bytes:
            stream.truncate(0)
        http_get(
            hf_hub_url(name, file, revision=commit),
            stream,
            resume_size=stream.tell(),
            headers=build_hf_headers(),
            expected_size=size_bytes,
        )


def cache_root() -> Path:
    """Return the folder of the Hub's cache, which need not exist."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def cache_folder(name: str) -> Path:
    """Return the folder of a model in the Hub's cache, which need not exist."""
    return cache_root() / f"models--{name.replace('/', '--')}"


def _show_no_bars() -> None:
    """Switch the library's progress bars off: commands show their own."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        disable_progress_bars,
    )

    disable_progress_bars()
