"""The quotas of owners, in words."""

from collections.abc import Iterator
from datetime import UTC, datetime

from producer.options import program
from storage.jobs.quotas import Quota, describe, find_quota
from storage.sql.database import Database

_HOUR_S = 3600.0


def hours(seconds: float) -> str:
    """Return seconds of GPUs as hours: `12.25`."""
    return f"{seconds / _HOUR_S:,.2f}"


def describe_end(quota: Quota) -> str:
    """Say when a quota begins anew, `on Mon 30 Nov 00:00 UTC`; empty for never."""
    if quota.ends_at is None:
        return ""
    end = datetime.fromtimestamp(quota.ends_at, UTC)
    return f"on {end:%a} {end.day} {end:%b %H:%M} UTC"


def warn_of_quota(
    database: Database, owner: str | None, *, needed_s: float | None
) -> Iterator[str]:
    """Yield a warning if the quota of an owner may not do for some images.

    Args:
        database: Where the quota is.
        owner: The owner of the sweep, or who submits it.
        needed_s: GPU seconds that the images take, as far as is known; None if nothing
            is known. 0 if nothing is to be made.
    """
    quota = find_quota(database, owner)
    if quota is None or quota.left_s is None or needed_s == 0:
        return
    if needed_s is not None and needed_s <= quota.left_s:
        return
    needs = "how much the images need is not known"
    if needed_s is not None:
        needs = f"the images need about {hours(needed_s)}"
    if needed_s is None and not quota.is_reached:
        return
    end = describe_end(quota)
    anew = f" begins anew {end}, or" if end else ""
    yield (
        f"{owner} has {hours(quota.left_s)} GPU-hours left of {describe(quota)}, and "
        f"{needs}; at the quota the sweep waits until the quota{anew} is raised with "
        f"`{program()} quota {owner} --gpu-hours N`"
    )
