"""Background tasks: slow calls, in a thread beside a loop that never waits."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class BackgroundTasks:
    """A thread that makes one call after the other.

    It is a daemon: an executor's thread would hold up the end of the process for as
    long as SQL or Redis does not answer.
    """

    def __init__(self, name: str) -> None:
        """Start the thread under this name."""
        self._queue: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        self._last: Future[Any] | None = None
        threading.Thread(target=self._run, name=name, daemon=True).start()

    @property
    def is_busy(self) -> bool:
        """Whether anything is left to do."""
        return self._last is not None and not self._last.done()

    def send(self, act: Callable[[], Answer]) -> "Future[Answer]":
        """Have `act` called, after all that was sent before."""
        future: Future[Answer] = Future()
        self._last = future
        self._queue.put((act, future))
        return future

    def _run(self) -> None:
        while True:
            act, future = self._queue.get()
            try:
                future.set_result(act())
            except Exception as exc:  # noqa: BLE001 - whoever asks for the result raises it
                future.set_exception(exc)
