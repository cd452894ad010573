"""A line of a log file: written by workers and runs, and read by `nightsweep logs`.

Time, level, worker, sweep, key and message, with a blank between them. Names and keys
have no blanks; what a line is not about is `-`. With NIGHTSWEEP_LOG=json, a line is a
JSON object of the same, without what it is not about. A file may have both.
"""

import io
import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TextIO

#: Stands for a worker, a sweep or a key that a line is not about.
NOTHING = "-"
#: The level of what a command says, by how it begins.
_LEVELS = {"Error": "ERROR", "Warning": "WARNING", "Waiting": "WARNING"}
_LINE = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([A-Z]+) (\S+) (\S+) (\S+) (.*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One record.

    Attributes:
        time: ISO 8601 in UTC, to the millisecond; texts of it are in order of time.
        level: Of the module logging: `INFO`, `WARNING` and so on.
        worker: Who wrote it: `gpu0`, `supervisor`, `run-NAME`.
        sweep: The sweep that wanted the job first; `-` if it is about no job.
        key: The job's key, or `-`.
        message: The rest. It may have more lines, such as those of a traceback.
    """

    time: str
    level: str
    worker: str
    sweep: str = NOTHING
    key: str = NOTHING
    message: str

    def __str__(self) -> str:
        """Return the line, without its end."""
        about = f"{self.worker} {self.sweep} {self.key}"
        return f"{self.time} {self.level} {about} {self.message}"

    def as_json(self) -> str:
        """Return the line as a JSON object, without its end."""
        given = {name: text for name, text in asdict(self).items() if text != NOTHING}
        return json.dumps(given, ensure_ascii=False)


def as_time(at: datetime) -> str:
    """Return a moment as lines have it."""
    text = at.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def parse_line(line: str) -> LogLine | None:
    """Read a line; None if it goes on with the one before, or is of another program."""
    if line.startswith("{"):
        return _parse_json(line)
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    time, level, worker, sweep, key, message = found.groups()
    return LogLine(
        time=time, level=level, worker=worker, sweep=sweep, key=key, message=message
    )


def _parse_json(line: str) -> LogLine | None:
    try:
        return LogLine(**json.loads(line))
    except (ValueError, TypeError):  # of another program
        return None


class StampedLines(io.TextIOBase):
    """A text stream whose lines get a time, for programs that write to a log file."""

    def __init__(
        self, stream: TextIO, *, worker: str, sweep: str, as_json: bool = False
    ) -> None:
        """Write to `stream`, for a worker and a sweep, as text or as JSON objects."""
        self._stream = stream
        self._worker = worker
        self._sweep = sweep
        self._as_json = as_json
        self._rest = ""

    def writable(self) -> bool:
        """Return that it can be written to."""
        return True

    def write(self, text: str) -> int:
        """Write the lines that are whole."""
        *whole, self._rest = (self._rest + text).split("\n")
        for line in filter(str.strip, whole):
            stamped = LogLine(
                time=as_time(datetime.now(UTC)),
                level=_LEVELS.get(line.partition(": ")[0], "INFO"),
                worker=self._worker,
                sweep=self._sweep,
                message=line,
            )
            shown = stamped.as_json() if self._as_json else str(stamped)
            self._stream.write(f"{shown}\n")
        self._stream.flush()
        return len(text)

    def flush(self) -> None:
        """Do nothing: whole lines are written at once."""
