"""How a log line is written, so that no text in it can pass for another line."""

import logging


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


def _visible(text: str) -> str:
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )
