"""How a log line is written, so that no text in it can pass for another line."""

import logging
from datetime import UTC, datetime

from storage.host.log_lines import NOTHING, LogLine, as_time, parse_line

#: Loggers of ours; the names of others are part of the message.
OURS = ("workers", "storage")


class LineFormatter(logging.Formatter):
    r"""Writes one record as one line, and indents the lines of its traceback.

    Prompts, errors and model names come from elsewhere: a line break or a terminal
    control in them is shown as an escape, such as `\n`.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's
        """Return the line without its traceback."""
        return _visible(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """Return all that is written for a record."""
        lines = super().format(record).split("\n")
        return "\n    ".join(map(_visible, lines))


class FileFormatter(LineFormatter):
    """Writes a record as log files have it; see `storage.host.log_lines`.

    Records may have the attributes `sweep` and `key`.
    """

    def __init__(self, worker: str, *, as_json: bool = False) -> None:
        """Take the name of the worker whose file it is, and how lines are written."""
        super().__init__()
        self._worker = worker
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """Return all that is written for a record; as JSON, that is one line."""
        text = super().format(record)
        line = parse_line(text) if self._as_json else None
        return line.as_json() if line else text

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's
        """Return the line without its traceback."""
        is_ours = record.name.split(".")[0] in OURS
        source = "" if is_ours else f"{record.name}: "
        line = LogLine(
            time=as_time(datetime.fromtimestamp(record.created, UTC)),
            level=record.levelname,
            worker=self._worker,
            sweep=getattr(record, "sweep", "") or NOTHING,
            key=getattr(record, "key", "") or NOTHING,
            message=f"{source}{record.message}",
        )
        return _visible(str(line))


def _visible(text: str) -> str:
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )
