"""What stops a sweep, in words."""

from collections.abc import Iterator
from datetime import UTC, datetime

from producer.display.amounts import duration, images
from storage.jobs.budgets import Budget

_HOUR_S = 3600


def describe_budget(budget: Budget, now: datetime | None = None) -> str:
    """Say what stops a sweep, and what was used of it.

    For example: `on Sat 28 Nov 07:30 CET (in 9 h 12 min), or after 12 GPU-hours (1.25
    used)`.

    Args:
        budget: With one limit at least.
        now: The time, by default this machine's.
    """
    return ", or ".join(_parts(budget, now or datetime.now(UTC)))


def describe_spent(budget: Budget) -> str:
    """Say what was used, `400 images made in 11.98 GPU-hours, `; empty for nothing."""
    if not budget.made:
        return ""
    hours = budget.used_s / _HOUR_S
    return f"{images(budget.made)} made in {hours:,.2f} GPU-hours, "


def _parts(budget: Budget, now: datetime) -> Iterator[str]:
    limits = budget.limits
    if limits.until is not None:
        yield _describe_time(datetime.fromtimestamp(limits.until, UTC), now)
    if limits.gpu_s is not None:
        hours = f"after {limits.gpu_s / _HOUR_S:,.4g} GPU-hours"
        used = f" ({budget.used_s / _HOUR_S:,.2f} used)" if budget.made else ""
        yield f"{hours}{used}"
    if limits.images is not None:
        made = f" ({budget.made:,} made)" if budget.made else ""
        yield f"after {images(limits.images)}{made}"


def _describe_time(until: datetime, now: datetime) -> str:
    here = until.astimezone()  # the zone's name depends on the date
    left_s = (until - now).total_seconds()
    left = f"in {duration(left_s)}" if left_s > 0 else f"{duration(-left_s)} ago"
    return f"on {here:%a} {here.day} {here:%b %H:%M %Z} ({left})"
