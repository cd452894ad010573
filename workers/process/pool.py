"""Celery's solo pool, mended: a second Ctrl-C hands the running message back."""

from typing import Any, NoReturn

from celery.concurrency import solo
from celery.exceptions import WorkerTerminate


class TaskPool(solo.TaskPool):
    """Runs tasks in the main thread, where CUDA wants to be.

    The stock pool raises `NotImplementedError` inside the task when the worker is
    told to stop at once; that counts as a failed task, and its message is lost.
    """

    def terminate_job(self, _pid: int, _signal: Any = None) -> NoReturn:
        """End the worker; the message in hand goes back to the queue."""
        raise WorkerTerminate(1)
