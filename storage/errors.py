"""Every error that nightsweep raises on purpose, under one base.

    NightsweepError
    ├── UsageError             the caller must change something (exit code 2)
    │   ├── SpecError          a sweep file with one or more problems
    │   ├── QueryError         a query that cannot be read; it shows the place
    │   └── WrongPlaceError    what the settings name exists but must not be used
    │       ├── WrongDatabaseError  damaged, another program's, of another schema
    │       └── WrongFolderError    an image folder of another database
    ├── ChangedSweepError      somebody else changed the sweep meanwhile (try again)
    ├── UnfitError             this worker cannot make jobs of this kind; others may
    │   ├── ModelError         a model cannot be found, read or trusted
    │   │   └── FingerprintError   the files are not the planned ones
    │   └── MetricError        a metric cannot be found or loaded, or is not one
    ├── JobError               this one job cannot be painted; it would fail again
    │   └── NonFiniteError     its latents or pixels are not numbers
    ├── ScoreError             a metric has no score for this one image
    ├── DeviceError            this process can no longer use the device
    ├── QueueError             Redis cannot be reached or started (try again)
    ├── DatabaseError          SQL cannot be reached (try again)
    └── ImageStoreError        an image file cannot be written or read (try again)

`retryable` says whether the same call may succeed later with nothing changed.
A message states the rule, then the value, then the way out.
"""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Most problems of a sweep file in one message; nobody reads more than a screen.
MOST_PROBLEMS = 50


class NightsweepError(Exception):
    """The base of all of nightsweep's own errors."""

    #: The exit code of a command that ends with this error.
    exit_code = 1
    #: Whether the same call may succeed later with nothing changed.
    retryable = False


class UsageError(NightsweepError):
    """The caller asked for something impossible; the message says what to change."""

    exit_code = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a sweep file.

    Attributes:
        where: File and line, "sweep.yaml line 12", or the option, "--axis steps".
        message: Rule, value and way out, as one sentence without a full stop.
    """

    where: str
    message: str

    def __str__(self) -> str:
        """Return the problem as one line."""
        return f"{self.where}: {self.message}"


class SpecError(UsageError):
    """A sweep file that cannot be run; all of its problems at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Join the problems, one per line, in the order of their lines.

        If there are very many, the message has only the first.
        """
        self.problems = tuple(problems)
        lines = [str(problem) for problem in self.problems[:MOST_PROBLEMS]]
        left = len(self.problems) - len(lines)
        if left:
            lines.append(f"and {left:,} more mistakes; mend these first")
        super().__init__("\n".join(lines))


class QueryError(UsageError):
    """A query that cannot be read; the last two lines of the message show where.

    Attributes:
        start: Where the mistake begins in the query.
        end: Where it ends.
    """

    def __init__(self, message: str, *, start: int, end: int) -> None:
        """Take the message and the place."""
        super().__init__(message)
        self.start = start
        self.end = end


class WrongPlaceError(UsageError):
    """Something that exists but must not be used; waiting does not help."""


class WrongDatabaseError(WrongPlaceError):
    """A database of another schema or program, or one that is damaged or closed."""


class WrongFolderError(WrongPlaceError):
    """An image folder of another database, or one whose owner is unknown."""


class ChangedSweepError(NightsweepError):
    """A sweep that somebody else submitted with changes since it was looked at."""

    retryable = True

    def __init__(self, name: str) -> None:
        """Take the sweep's name."""
        super().__init__(
            f"A sweep must not change while a command updates it, but {name} was "
            "submitted anew meanwhile; run the command again."
        )


class UnfitError(NightsweepError):
    """A kind of job that this worker cannot make, through no fault of the job."""


class ModelError(UnfitError):
    """A model that cannot be found, read or loaded."""


class FingerprintError(ModelError):
    """A model whose files are not the ones that the sweep was planned with."""


class MetricError(UnfitError):
    """A metric that cannot be found or loaded here, or that is not a metric."""


class JobError(NightsweepError):
    """A job that cannot be painted and would fail again."""


class NonFiniteError(JobError):
    """A job whose latents or pixels hold NaN or infinity."""


class ScoreError(NightsweepError):
    """An image that a metric cannot score, and could not the next time."""


class DeviceError(NightsweepError):
    """A device that this process cannot use, or can use no longer."""


class QueueError(NightsweepError):
    """Redis cannot be reached, started or written to."""

    retryable = True


class DatabaseError(NightsweepError):
    """The SQL database cannot be reached."""

    retryable = True


class ImageStoreError(NightsweepError):
    """An image file cannot be written or read."""

    retryable = True


def in_words(error: BaseException) -> str:
    """Return the class and the text of a foreign error: "ValueError: too long".

    For an error without text, as from an `assert`, the line that raised it stands in.
    """
    said, name = str(error).strip(), type(error).__name__
    if said:
        return f"{name}: {said}"
    if not (frames := traceback.extract_tb(error.__traceback__)):
        return name
    last = frames[-1]
    return f"{name} in {Path(last.filename).name} line {last.lineno}: {last.line}"
