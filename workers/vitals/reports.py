"""What a worker tells its supervisor: through a pipe, since all else may be down.

The worker looks a few times a second, and writes a line if something changed. The
supervisor reads at its own pace, and judges by the monotonic clock, which both share.
"""

import json
import logging
import os
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass

from workers.vitals import phases
from workers.vitals.phases import Activity
from workers.vitals.recent import Recent

log = logging.getLogger(__name__)

#: Seconds between two looks of a worker at itself.
REPORT_POLL_S = 0.5
#: The same after a report that failed.
REPORT_RETRY_S = 5.0
#: Most characters of `preparing` in a report.
MOST_TOLD = 200
#: More than a line; a pipe takes or refuses so many bytes as a whole.
MOST_REPORT_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a worker process was doing when it last said so.

    Attributes:
        images: Images made since it began.
        under_way: The phase of each thread that does something, and when the thread
            last made progress; by the monotonic clock.
        preparing: What it does before it paints: `loading builtin:shapes`.
        made: Images of the turns that have ended.
        failed: Jobs that failed in those turns.
        worked_s: Seconds that those turns took.
    """

    images: int = 0
    under_way: tuple[tuple[str, float], ...] = ()
    preparing: str = ""
    made: int = 0
    failed: int = 0
    worked_s: float = 0.0


class Reporter:
    """The worker's end: a thread that writes what changed."""

    def __init__(self, pipe: int, recent: Recent) -> None:
        """Take the pipe's file descriptor, and what counts the images."""
        os.set_blocking(pipe, False)
        self._pipe = pipe
        self._recent = recent
        self._told = b""
        self._telling = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)

    def start(self) -> None:
        """Begin to report; it ends with the process, or the supervisor."""
        self._thread.start()

    def tell_at_once(self) -> None:
        """Report now: if this process dies in a moment, what it had begun matters."""
        with suppress(OSError):
            self._tell_news()

    def _run(self) -> None:
        while True:
            try:
                self._tell_news()
            except BrokenPipeError:
                return
            except Exception:
                log.exception("A report failed.", extra={"action": "report_failed"})
                time.sleep(REPORT_RETRY_S)
            time.sleep(REPORT_POLL_S)

    def _tell_news(self) -> None:
        with self._telling:
            line = self._line()
            if line != self._told and self._write(line):
                self._told = line

    def _line(self) -> bytes:
        activities, recent = phases.under_way(), self._recent
        report = Report(
            images=recent.images,
            under_way=tuple((one.phase, round(one.since, 1)) for one in activities),
            preparing=_preparing(activities),
            made=recent.made,
            failed=recent.failed,
            worked_s=round(recent.worked_s, 3),
        )
        return json.dumps(asdict(report)).encode() + b"\n"

    def _write(self, line: bytes) -> bool:
        try:
            os.write(self._pipe, line)
        except BlockingIOError:  # the supervisor is busy; it gets the next line
            return False
        return True


class Listener:
    """The supervisor's end.

    Attributes:
        report: The last report; None before the first.
    """

    def __init__(self, pipe: int) -> None:
        """Take the pipe's file descriptor."""
        os.set_blocking(pipe, False)
        self.report: Report | None = None
        self._pipe = pipe
        self._rest = b""

    def listen(self) -> None:
        """Read what has come; never wait."""
        with suppress(BlockingIOError):
            while content := os.read(self._pipe, MOST_REPORT_BYTES):
                *lines, self._rest = (self._rest + content).split(b"\n")
                if lines:
                    self.report = _parse(lines[-1])

    def close(self) -> None:
        """Stop listening."""
        os.close(self._pipe)


def _preparing(activities: list[Activity]) -> str:
    doing = phases.most_telling(activities)
    is_told = doing.phase in (phases.DOWNLOADING, phases.LOADING, phases.COMPILING)
    # A line must fit into a pipe at once.
    return f"{doing.phase} {doing.detail}"[:MOST_TOLD].rstrip() if is_told else ""


def _parse(line: bytes) -> Report:
    said = json.loads(line)
    threads = tuple((phase, since) for phase, since in said.pop("under_way"))
    return Report(**said, under_way=threads)
