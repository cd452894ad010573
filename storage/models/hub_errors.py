"""What goes wrong with the Hub, in sentences: every foreign error is a `ModelError`.

The errors are those of `huggingface_hub`, of the HTTP client under it, and of the disk.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from storage.errors import ModelError


@contextmanager
def translated(name: str, revision: str | None) -> Iterator[None]:
    """Translate the errors of `huggingface_hub` and of the disk.

    Raises:
        ModelError: One was raised.
    """
    foreign = foreign_errors()
    try:
        yield
    except foreign as error:
        raise ModelError(explain(error, name, revision)) from error


def foreign_errors() -> tuple[type[Exception], ...]:
    """Return what the library raises if a call fails."""
    # The HTTP client depends on the version of huggingface_hub; every version exports
    # the base class of its errors under this name.
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HTTPError,
    )

    return (OSError, HTTPError)


def _status(error: Exception) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def is_unreachable(error: Exception) -> bool:
    """Return whether the Hub did not answer, or said to try again later."""
    status = _status(error)
    return status is None or status == 429 or status >= 500


def explain(error: Exception, name: str, revision: str | None) -> str:
    """Say in one sentence why a call failed, and what to do."""
    from huggingface_hub import errors

    # The order matters: `GatedRepoError` is also a `RepositoryNotFoundError`, and
    # `LocalEntryNotFoundError` an `EntryNotFoundError`.
    for kind, say in (
        (errors.GatedRepoError, _explain_gated),
        (errors.RevisionNotFoundError, _explain_revision),
        (errors.RepositoryNotFoundError, _explain_repository),
        (errors.LocalEntryNotFoundError, _explain_cache),
        (errors.EntryNotFoundError, _explain_entry),
    ):
        if isinstance(error, kind):
            return say(name, revision)
    return _explain_other(error, name)


def _explain_gated(name: str, _revision: str | None) -> str:
    return (
        f"{name} is gated on the Hub; agree to its licence at"
        f" https://huggingface.co/{name}, then run `hf auth login` with a token of that"
        " account that may read gated models, or set HF_TOKEN"
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
        f" reached; connect, or run `nightsweep fetch {name}{version}` where there is a"
        f" connection and this cache, or write ./{name} for a folder"
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
