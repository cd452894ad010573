"""Answers to scrapes: from one reading at a time, within a limit of time."""

import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

from producer.display.messages import talk
from producer.monitoring.exposition import exposed
from producer.monitoring.figures import Figures, up
from producer.submission.opening import opened_to_read
from storage.errors import NightsweepError
from storage.settings import Settings

#: Seconds that a scrape waits for the database. Prometheus waits 10 by default.
LONGEST_S = 8.0
#: Seconds for which an answer is given again if the next one takes longer than that.
KEPT_S = 60.0


class Scrapes:
    """Reads the metrics for any number of scrapes; threads may share it.

    Scrapes that come during a reading share its outcome, so a slow database is not
    asked twice.
    """

    def __init__(
        self,
        settings: Settings,
        figures: Figures,
        *,
        longest_s: float = LONGEST_S,
        kept_s: float = KEPT_S,
    ) -> None:
        """Read nothing yet; see `answer` about the limits."""
        self._settings = settings
        self._figures = figures
        self._longest_s = longest_s
        self._kept_s = kept_s
        self._lock = threading.Lock()
        self._reading: Future[str] | None = None
        #: The last text, and when it was read.
        self._last: tuple[str, float] | None = None
        self._said = ""

    def answer(self) -> str:
        """Return what Prometheus reads.

        If reading takes longer than `longest_s`, as a count of ten million jobs may,
        that is the last answer, if it is at most `kept_s` old. Else, and if the
        database cannot be read, it is `nightsweep_up 0` alone, and the reason is told
        on standard error, once.
        """
        reading = self._begin()
        try:
            text = reading.result(self._longest_s)
        except FutureTimeoutError:
            if self._last and time.monotonic() - self._last[1] <= self._kept_s:
                return self._last[0]
            return self._down(f"Reading takes longer than {self._longest_s:g} s.")
        except NightsweepError as exc:
            return self._down(str(exc))
        self._said = ""
        return text

    def _begin(self) -> Future[str]:
        """Return the reading that is under way, or begin one."""
        with self._lock:
            if self._reading is None or self._reading.done():
                self._reading = Future()
                # A daemon: a database that never answers must not keep the command.
                threading.Thread(
                    target=self._read, args=(self._reading,), daemon=True
                ).start()
            return self._reading

    def _read(self, reading: Future[str]) -> None:
        try:
            with opened_to_read(self._settings) as database:
                text = exposed(self._figures.read(database))
            # Kept here, since every scrape may have given up by now.
            self._last = text, time.monotonic()
            reading.set_result(text)
        except Exception as exc:  # noqa: BLE001 - whoever waits for it raises it
            reading.set_exception(exc)

    def _down(self, reason: str) -> str:
        if reason != self._said:
            talk(f"Warning: nightsweep_up is 0: {reason}")
            self._said = reason
        return exposed([up(is_up=False)])
