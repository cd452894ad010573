"""What a supervisor tells people about its workers: models, turns, and totals."""

import logging
import time
from dataclasses import dataclass, field
from datetime import timedelta

from workers.supervision.child import Process
from workers.vitals.reports import Report

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Summary:
    """Counts what the workers made, and logs a line for each of their turns.

    Attributes:
        images: What all of them made so far.
        failed: Jobs that failed.
    """

    images: int = 0
    failed: int = 0
    _began: float = field(default_factory=time.monotonic)

    def look(self, name: str, process: Process) -> None:
        """Log what is new about a worker since the last look.

        Args:
            name: The worker's name.
            process: Its process, with its last report.
        """
        now, told = process.report, process.told
        self.images += now.images - told.images
        self.failed += now.failed - told.failed
        if now.preparing and now.preparing != process.announced:
            # Not at once: a model that is here is downloaded in no time.
            if now.preparing == told.preparing:
                log.info("%s: %s", name, now.preparing, extra={"action": "preparing"})
                process.announced = now.preparing
        elif not now.preparing:
            process.announced = ""
        if said := _describe_turn(now, told):
            log.info("%s: %s", name, said, extra={"action": "turn_ended"})
        process.told = now

    def close(self, why: str) -> None:
        """Log the end, and the totals.

        Args:
            why: The reason, as the end of a sentence.
        """
        elapsed = timedelta(seconds=round(time.monotonic() - self._began))
        log.info(
            "Ended, since %s: %s in %s.",
            why,
            _counted(self.images, self.failed),
            elapsed,
            extra={"action": "supervisor_ended"},
        )


def _describe_turn(now: Report, told: Report) -> str:
    made, failed = now.made - told.made, now.failed - told.failed
    seconds = now.worked_s - told.worked_s
    if seconds <= 0 or not (made or failed):
        return ""
    rate = f", {made / seconds:.2f} images/s" if made else ""
    return f"{_counted(made, failed)} in {seconds:.1f} s{rate}"


def _counted(images: int, failed: int) -> str:
    text = f"{images:,} image" if images == 1 else f"{images:,} images"
    return f"{text}, {failed:,} failed," if failed else text
