"""The part of a Celery worker that holds its connection to Redis."""

import time
from contextlib import ExitStack
from typing import Any

from celery import bootsteps
from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown
from redis.exceptions import ResponseError

from storage.broker.queue import unreachable
from workers.vitals import outages, phases

#: Seconds between two attempts to reach Redis.
RECONNECT_S = 1.0
#: Seconds that a request for a message must stand before Redis counts as back.
STANDS_S = 2.0


class PatientConsumer(Consumer):
    """Celery's consumer, but it reconnects soon, and logs once what it waits for.

    Celery's own tries to reach Redis ever more rarely, down to every half minute, and
    logs each attempt as an error. The outage ends when Redis delivers a message, or
    when a request for one has stood for a while: see `workers.process.tasks` and
    `EndOfOutage`.
    """

    def ensure_connected(self, conn: Any) -> Any:
        """Wait until Redis answers; raise if the worker is asked to end meanwhile."""
        with ExitStack() as waiting:

            def wait(exc: Exception, _interval: float) -> None:
                waiting.close()
                error = _begin(self.app, exc)
                waiting.enter_context(phases.during(phases.WAITING, str(error)))

            conn.ensure_connection(
                wait,
                interval_start=RECONNECT_S,
                interval_step=0,
                interval_max=RECONNECT_S,
                callback=maybe_shutdown,
            )
        self.first_connection_attempt = False
        return conn

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Wait where Redis refuses, and say so."""
        self._pause(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Likewise; Celery closes the broken connection."""
        self._pause(exc)
        super().on_connection_error_after_connected(exc)

    def _pause(self, exc: Exception) -> None:
        if isinstance(exc, ResponseError):
            # Redis answers, but refuses: reconnecting at once would change nothing.
            # A lost connection is logged only when reconnecting fails.
            error = _begin(self.app, exc)
            with phases.during(phases.WAITING, str(error)):
                time.sleep(RECONNECT_S)


class EndOfOutage(bootsteps.StartStopStep):
    """Note that Redis is back, once it has not refused a request for a while.

    An error would have ended the connection, and the timer with it.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        """Take Celery's consumer; the step starts with each connection."""
        super().__init__(consumer, **options)
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Wait for a while."""
        self._timer = consumer.timer.call_after(STANDS_S, outages.end, (outages.REDIS,))

    def stop(self, _consumer: Any) -> None:
        """Wait no more: the connection ends."""
        if self._timer:
            self._timer.cancel()


def _begin(app: Any, exc: Exception) -> Exception:
    error = unreachable(app, exc)
    outages.begin(outages.REDIS, error)
    return error
