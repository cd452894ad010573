"""Files of text that a sweep names, read line by line: prompts, tables, wildcards."""

from collections.abc import Iterator
from pathlib import Path

from producer.spec.problems import shown
from storage.errors import UsageError

#: The most characters of a line, with all the choices in it.
MOST_IN_LINE = 100_000


def find_path(
    folder: Path, text: str, *, what: str = "a prompt file must be a file"
) -> Path:
    """Return the path that a sweep means; `~` is a home directory.

    Args:
        folder: What relative paths are relative to.
        text: As written.
        what: How the message begins.

    Raises:
        UsageError: Nobody has that home directory.
    """
    try:
        return folder / Path(text).expanduser()
    except RuntimeError as error:
        msg = (
            f"{what} that can be read, got {shown(text)} (nobody has that home "
            "directory); check the path"
        )
        raise UsageError(msg) from error


def read_lines(file: Path, *, what: str = "a prompt file") -> Iterator[str]:
    """Read a file line by line, each with its end; it may be larger than memory.

    Args:
        file: UTF-8 text, perhaps with a byte order mark. Line ends become
            those of Unix.
        what: How messages call it.

    Raises:
        UsageError: It cannot be read, or is no text.
    """
    try:
        with file.open(encoding="utf-8-sig") as opened:
            # One character more shows that a line is too long.
            while line := opened.readline(MOST_IN_LINE + 1):
                _check_line(line, file, what)
                yield line
    except UnicodeError as error:
        msg = f"{what} must be UTF-8 text, got {file}; save it as UTF-8"
        raise UsageError(msg) from error
    except OSError as error:
        msg = (
            f"{what} must be a file that can be read, got {file} ({error.strerror}); "
            "check the path"
        )
        raise UsageError(msg) from error


def _check_line(line: str, file: Path, what: str) -> None:
    if "\0" in line:
        msg = f"{what} must be text, got the character NUL in {file}; remove it"
        raise UsageError(msg)
    if len(line) > MOST_IN_LINE:
        msg = (
            f"a line of {what} must have at most {MOST_IN_LINE} "
            f"characters, got more in {file}; write one prompt a line"
        )
        raise UsageError(msg)
