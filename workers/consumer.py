"""The part of a Celery worker that holds its connection to Redis."""

import warnings
from typing import Any

from celery.exceptions import CPendingDeprecationWarning
from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown

from storage.queue import unreachable
from workers import outages

#: Seconds between two attempts to reach Redis.
RETRY_S = 1.0


class PatientConsumer(Consumer):
    """Celery's consumer, but that it is soon back, and says once what it waits for.

    Celery's own tries to reach Redis ever more seldom, until it is every half minute,
    and logs each attempt as an error.
    """

    def ensure_connected(self, conn: Any) -> Any:
        """Wait until Redis answers; raise if the worker is asked to end meanwhile."""
        conn.ensure_connection(
            lambda exc, _interval: self._wait(exc),
            interval_start=RETRY_S,
            interval_step=0,
            interval_max=RETRY_S,
            callback=maybe_shutdown,
        )
        self.first_connection_attempt = False
        outages.end(self)
        return conn

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Wait, and say so."""
        self._wait(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Wait, and say so; Celery closes what is broken."""
        self._wait(exc)
        # About cancelling the turn in hand then: claims make that needless.
        with warnings.catch_warnings(
            action="ignore", category=CPendingDeprecationWarning
        ):
            super().on_connection_error_after_connected(exc)

    def _wait(self, exc: Exception) -> None:
        outages.begin(self, unreachable(self.app, exc))
