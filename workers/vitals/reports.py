"""What a worker tells its supervisor: through a pipe, since all else may be away.

The worker writes a line a few times a second where something changed; the supervisor
reads when it looks, and judges by the clock that both share.
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
#: The same after one that failed.
REPORT_RETRY_S = 5.0
#: Characters of what is prepared that are told.
MOST_TOLD = 200
#: More than a line; a pipe takes or refuses that at once.
MOST_REPORT_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a worker process was doing when it last said so.

    Attributes:
        images: What it made since it began.
        under_way: For each of its threads that does something the phase, and when it
            got on last; of the monotonic clock.
        preparing: What comes before the painting: `loading builtin:shapes`.
        made: Images of the turns that have ended.
        failed: Jobs that failed in these.
        worked_s: Seconds that these took.
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
        """Take the pipe's file descriptor, and who counts the images."""
        os.set_blocking(pipe, False)
        self._pipe = pipe
        self._recent = recent
        self._told = b""
        self._telling = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)

    def start(self) -> None:
        """Begin to tell; it ends with the process, or the supervisor."""
        self._thread.start()

    def tell_at_once(self) -> None:
        """Tell now: if this process dies in a moment, it matters what it had begun."""
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
        except BlockingIOError:  # the supervisor is busy; it hears the next one
            return False
        return True


class Listener:
    """The supervisor's end.

    Attributes:
        report: The last one; None before the first.
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
        """Hear no more."""
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
