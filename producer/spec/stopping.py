"""What stops a sweep: `limits: {gpu_hours: 12, until: "07:30", stop_after_jobs: 1000}`.

A time of the day is the next such time in this machine's zone, when the sweep is
submitted. It becomes a moment then, so hosts in other zones stop at the same one.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from producer.spec.parameters import integer, number
from producer.spec.problems import shown
from storage.errors import UsageError
from storage.jobs.budgets import Limits

#: The most images that a limit may allow, and the most hours.
MOST_IMAGES = 1_000_000_000
MOST_GPU_HOURS = 100_000
_HOUR_S = 3600.0
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRules:
    """The limits of a sweep as they are written; None for no such limit.

    Attributes:
        gpu_hours: Hours of GPUs that its images may take.
        until: A time of the day, or a date and a time in ISO 8601.
        stop_after_jobs: Images that may be made.
    """

    gpu_hours: float | None = None
    until: str | None = None
    stop_after_jobs: int | None = None

    def limits(self, now: datetime | None = None) -> Limits:
        """Return them as they are stored, with the moment that `until` means.

        Args:
            now: The time in this machine's zone; None to look at its clock.

        Raises:
            UsageError: The moment is over.
        """
        hours, until = self.gpu_hours, self.until
        return Limits(
            gpu_s=None if hours is None else hours * _HOUR_S,
            until=None if until is None else find_moment(until, now).timestamp(),
            images=self.stop_after_jobs,
        )


def read_gpu_hours(text: str) -> float:
    """Read a number of hours.

    Raises:
        UsageError: It is none.
    """
    hours: float = number("gpu_hours", 0.001, MOST_GPU_HOURS)(text)
    return hours


def read_image_count(text: str) -> int:
    """Read a number of images; raise as `read_gpu_hours` does."""
    count: int = integer("stop_after_jobs", 1, MOST_IMAGES)(text)
    return count


def read_until(text: str) -> str:
    """Check a time of the day, or a date with a time, and return it.

    Raises:
        UsageError: It is neither.
    """
    if not _TIME.fullmatch(text) and _read_date(text) is None:
        msg = (
            "until must be a time such as 07:30, or a date and a time such as "
            f"2026-11-29T07:30 or 2026-11-29T07:30+01:00, got {shown(text)}; write it "
            "like that"
        )
        raise UsageError(msg)
    return text


def find_moment(text: str, now: datetime | None = None) -> datetime:
    """Return the moment that a text of `read_until` means; see `StopRules.limits`.

    A time that is skipped when clocks go forward is an hour earlier, and of a time that
    comes twice the first is meant.
    """
    here = datetime.now(UTC).astimezone() if now is None else now
    if written := _TIME.fullmatch(text):
        at = time(int(written[1]), int(written[2]))
        today = _local(datetime.combine(here.date(), at))
        tomorrow = here.date() + timedelta(days=1)
        return today if today > here else _local(datetime.combine(tomorrow, at))
    moment = _read_date(text)
    if moment is None or moment <= here:
        msg = (
            f"until must be in the future, got {shown(text)}; write a later time, or "
            "one of the day, such as 07:30."
        )
        raise UsageError(msg)
    return moment


def _read_date(text: str) -> datetime | None:
    if ":" not in text:
        return None  # a date alone is no time
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else _local(moment)


def _local(moment: datetime) -> datetime:
    """Take a moment without a zone for one of this machine's zone."""
    return moment.astimezone()
