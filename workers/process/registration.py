"""A worker's row in the registry: the worker writes it now and then, and on changes."""

import logging
import threading
import time
from contextlib import suppress
from dataclasses import replace

from storage.errors import NightsweepError
from storage.fleet import registry
from storage.fleet.progress import SEPARATOR
from storage.fleet.registry import Entry
from storage.sql.database import Database, utc_now
from workers.vitals import phases
from workers.vitals.condition import describe_batch, describe_device
from workers.vitals.phases import Activity
from workers.vitals.recent import Recent
from workers.vitals.tally import OF_PROCESS

log = logging.getLogger(__name__)

#: Seconds between two checks whether anything changed.
REGISTER_POLL_S = 1.0
#: Seconds between two questions to a device; nvidia-smi takes a moment.
DEVICE_S = 30.0
#: Phases in which the device works on images.
_AT_WORK = (phases.COMPILING, phases.PAINTING, phases.SCORING, phases.STORING)
#: Seconds after which the steps of a slower image are written.
STEPS_S = 3.0


class Registration:
    """A thread that writes the row; what it cannot write is left out."""

    def __init__(
        self,
        database: Database,
        entry: Entry,
        recent: Recent,
        *,
        every_s: float,
        device: str,
    ) -> None:
        """Write nothing yet.

        Args:
            database: Where the registry is.
            entry: This worker.
            recent: What counts the images.
            every_s: Seconds between two signs of life where nothing changes.
            device: What it paints on: `cpu`, or a GPU.
        """
        self._database = database
        self._entry = entry
        self._recent = recent
        self._every_s = every_s
        self._condition = _Condition(device)
        self._written, self._next_sign, self._written_at = entry, 0.0, 0.0
        self._thread = threading.Thread(target=self._run, name="register", daemon=True)

    def start(self) -> None:
        """Begin to write; it ends with the process."""
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                self._write_news()
            except Exception:
                log.exception("Update failed.", extra={"action": "registration_failed"})
                time.sleep(self._every_s)
            time.sleep(REGISTER_POLL_S)

    def _write_news(self) -> None:
        activities = phases.under_way()
        now, moment = self._look(activities), time.monotonic()
        if self._is_news(now, moment) or moment >= self._next_sign:
            with suppress(NightsweepError):
                registry.note(self._database, self._condition.added(now, activities))
                self._written, self._written_at = now, moment
                self._next_sign = time.monotonic() + self._every_s

    def _is_news(self, now: Entry, moment: float) -> bool:
        old = self._written
        if (now.phase, now.detail) != (old.phase, old.detail):
            return True
        # Finished images show progress by themselves; steps need no write then.
        has_steps = now.in_hand != old.in_hand and now.images == old.images
        return has_steps and moment - self._written_at >= STEPS_S

    def _look(self, activities: list[Activity]) -> Entry:
        doing = phases.most_telling(activities)
        if doing.phase != self._entry.phase:
            self._entry = replace(self._entry, phase=doing.phase, phase_at=utc_now())
        return replace(
            self._entry,
            detail=doing.detail,
            images=self._recent.images,
            images_per_s=self._recent.rate(),
            in_hand=round(sum(one.part for one in activities), 3),
            rows_run=OF_PROCESS.rows,
            rows_used=OF_PROCESS.useful,
        )


class _Condition:
    """Adds to a row how wide the batch is, and how the device is."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._described, self._next = "", 0.0

    def added(self, entry: Entry, activities: list[Activity]) -> Entry:
        if entry.phase not in _AT_WORK or not entry.detail:
            return entry
        if time.monotonic() >= self._next:
            self._described = describe_device(self._device)
            self._next = time.monotonic() + DEVICE_S
        parts = (entry.detail, describe_batch(activities), self._described)
        return replace(entry, detail=SEPARATOR.join(filter(None, parts)))
