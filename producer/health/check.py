"""The outcome of one check, and how an error becomes one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from storage.errors import NightsweepError

#: `warn`: it works, but worse than it could; `fail`: it stops or spoils work.
Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was checked, and what was found.

    Attributes:
        name: What was checked.
        verdict: The outcome.
        detail: What was found.
        advice: What to do; empty if nothing, or if `detail` says it.
    """

    name: str
    verdict: Verdict
    detail: str
    advice: str = ""


def fine(name: str, detail: str) -> Check:
    """Say that something is as it should be, or was not checked."""
    return Check(name=name, verdict="ok", detail=detail)


def warn(name: str, detail: str, *, advice: str = "") -> Check:
    """Say that something could be better."""
    return Check(name=name, verdict="warn", detail=detail, advice=advice)


def fail(name: str, detail: str, *, advice: str = "") -> Check:
    """Say that something stops or spoils work."""
    return Check(name=name, verdict="fail", detail=detail, advice=advice)


def guarded(name: str, checks: Iterable[Check]) -> Iterator[Check]:
    """Yield checks as they come; an error ends them and becomes a failed check."""
    try:
        yield from checks
    except NightsweepError as exc:
        yield fail(name, str(exc))
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        advice = "look at its owner, its mode and the disk"
        yield fail(name, f"{where}{exc.strerror or exc}", advice=advice)
