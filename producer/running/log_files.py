"""The log files of a state folder, read in the order of time, and on as they grow."""

import heapq
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from storage.host.log_lines import LogLine, parse_line

#: A log or a former part of it: `gpu0.log`, `gpu0.log.1`.
_FILE = re.compile(r"(.+)\.log(?:\.(\d+))?")
#: What a worker says on standard error is in its own log, too.
_OF_A_WORKER = re.compile(r"(ERROR|CRITICAL) \S+: .*")


def find_logs(folder: Path) -> list[str]:
    """Return whose logs there are, by name: workers, supervisors, background runs."""
    found = (_FILE.fullmatch(path.name) for path in folder.glob("*.log*"))
    return sorted({match[1] for match in found if match})


class Logs:
    """Logs of some workers, merged."""

    def __init__(self, folder: Path, names: Iterable[str] = ()) -> None:
        """Read nothing yet.

        Args:
            folder: Where the files are.
            names: Whose logs to read; those of all, and of new ones, if there are none.
        """
        self._folder = folder
        self._names = list(names)
        self._logs: dict[str, _Log] = {}

    def read(self) -> Iterator[LogLine]:
        """Yield what was not read yet, in the order of time."""
        for name in self._names or find_logs(self._folder):
            if name not in self._logs:
                self._logs[name] = _Log(self._folder, name)
        parts = [log.read() for log in self._logs.values()]
        return heapq.merge(*parts, key=lambda line: line.time)

    def close(self) -> None:
        """Close the files."""
        for log in self._logs.values():
            log.close()


class _Log:
    """One log, with the files that it was rotated to."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        #: By inode, since files are renamed.
        self._files: dict[int, BinaryIO] = {}
        self._last: LogLine | None = None

    def read(self) -> Iterator[LogLine]:
        for file in self._open():
            yield from self._read(file)

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _open(self) -> Iterator[BinaryIO]:
        """Yield the files, the oldest first; open those that are new."""
        before, self._files = self._files, {}
        for path in self._paths():
            with suppress(FileNotFoundError):  # renamed in this moment
                inode = path.stat().st_ino
                known = inode in before
                self._files[inode] = before.pop(inode) if known else path.open("rb")
        for gone in before.values():  # what was written to them last
            yield gone
            gone.close()
        yield from self._files.values()

    def _paths(self) -> list[Path]:
        numbered = {
            int(match[2] or 0): path
            for path in self._folder.glob(f"{self._name}.log*")
            if (match := _FILE.fullmatch(path.name)) and match[1] == self._name
        }
        return [numbered[number] for number in sorted(numbered, reverse=True)]

    def _read(self, file: BinaryIO) -> Iterator[LogLine]:
        """Yield the records of whole lines; a record goes on until the next begins."""
        record, skips = None, False
        for text in _whole_lines(file):
            line = parse_line(text)
            if line:
                if record:
                    yield record
                record, skips = line, False
                self._last = line
            elif _OF_A_WORKER.fullmatch(text):
                skips = True
            elif not skips and self._last:
                record = _continued(record, self._last, text)
        if record:
            yield record


def _continued(record: LogLine | None, last: LogLine, text: str) -> LogLine:
    if record is None:  # its beginning was read earlier
        return replace(last, message=text)
    return replace(record, message=f"{record.message}\n{text}")


def _whole_lines(file: BinaryIO) -> Iterator[str]:
    while (line := file.readline()).endswith(b"\n"):
        yield line[:-1].decode(errors="replace")
    file.seek(-len(line), 1)  # the rest is still being written
