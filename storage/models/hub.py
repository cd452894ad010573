"""The Hugging Face Hub, behind three calls: list a repository, fetch a file, explain.

Every error of `huggingface_hub` and of the HTTP client under it becomes a `ModelError`
here. The library is imported only when it is used, since that costs 0.3 s.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from storage.errors import ModelError

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
    """

    commit: str
    sizes: Mapping[str, int]
    sha256: Mapping[str, str]


def listing_of(commit: str, siblings: Iterable[Sibling]) -> Listing:
    """Turn the API's list of files into a `Listing`."""
    files = list(siblings)
    return Listing(
        commit=commit,
        sizes={file.rfilename: file.size or 0 for file in files},
        sha256={file.rfilename: file.lfs.sha256 for file in files if file.lfs},
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

    foreign = _foreign_errors()
    try:
        info = HfApi().model_info(
            name, revision=revision, timeout=TIMEOUT_S, files_metadata=True
        )
    except foreign as error:
        if not _is_unreachable(error):
            raise ModelError(_explain(error, name, revision)) from error
        logger.info(
            "The Hub cannot be reached; using the cache",
            extra={"action": "hub_unreachable", "model": name},
        )
        return None
    return listing_of(str(info.sha), info.siblings or [])


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

    with _translated(name, revision):
        return Path(
            hf_hub_download(name, file, revision=revision, local_files_only=offline)
        )


@contextmanager
def _translated(name: str, revision: str | None) -> Iterator[None]:
    foreign = _foreign_errors()
    try:
        yield
    except foreign as error:
        raise ModelError(_explain(error, name, revision)) from error


def _foreign_errors() -> tuple[type[Exception], ...]:
    # The HTTP client depends on the version of huggingface_hub; every version exports
    # the base class of its errors under this name.
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HTTPError,
    )

    return (OSError, HTTPError)


def _status(error: Exception) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _is_unreachable(error: Exception) -> bool:
    """Return whether the Hub did not answer, or said to try again later."""
    status = _status(error)
    return status is None or status == 429 or status >= 500


def _explain(error: Exception, name: str, revision: str | None) -> str:
    from huggingface_hub import errors

    # The order matters: `GatedRepoError` is also a `RepositoryNotFoundError`, and
    # `LocalEntryNotFoundError` an `EntryNotFoundError`.
    for kind, explain in (
        (errors.GatedRepoError, _explain_gated),
        (errors.RevisionNotFoundError, _explain_revision),
        (errors.RepositoryNotFoundError, _explain_repository),
        (errors.LocalEntryNotFoundError, _explain_cache),
        (errors.EntryNotFoundError, _explain_entry),
    ):
        if isinstance(error, kind):
            return explain(name, revision)
    return _explain_other(error, name)


def _explain_gated(name: str, _revision: str | None) -> str:
    return (
        f"{name} is gated on the Hub; accept its terms at https://huggingface.co/{name}"
        " and run `hf auth login`"
    )


def _explain_revision(name: str, revision: str | None) -> str:
    return (
        f"{name} has no revision {revision!r} on the Hub; branches, tags and commits"
        f" are at https://huggingface.co/{name}/tree/main"
    )


def _explain_repository(name: str, _revision: str | None) -> str:
    return (
        f"{name} is not on the Hub, or is private; check the spelling, run"
        f" `hf auth login` for a private model, or write ./{name} for a folder"
    )


def _explain_entry(name: str, _revision: str | None) -> str:
    return (
        f"{name} is not a diffusers pipeline: a model_index.json must be at its root;"
        " choose a repository in diffusers format"
    )


def _explain_cache(name: str, revision: str | None) -> str:
    from huggingface_hub import constants

    version = f" --revision {revision}" if revision else ""
    return (
        f"{name} is not in the cache {constants.HF_HUB_CACHE}, and the Hub cannot be"
        f" reached; connect, or copy the cache of a machine where"
        f" `hf download {name}{version}` has run, or write ./{name} for a folder"
    )


def _explain_other(error: Exception, name: str) -> str:
    status = _status(error)
    if status in (401, 403):
        return (
            f"the Hub refuses access to {name} (HTTP {status}); run `hf auth login`"
            " with a token that may read it"
        )
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return (
        f"{name} cannot be fetched from the Hub: {reason[0]}; check the network and"
        " the space where HF_HOME points, then try again"
    )
