"""Celery's solo pool, mended: a second Ctrl-C ends the worker."""

from typing import Any, NoReturn

from celery.concurrency import solo
from celery.exceptions import WorkerTerminate


class TaskPool(solo.TaskPool):
    """Runs tasks in the main thread, where CUDA wants to be.

    The stock pool raises `NotImplementedError` inside the task when the worker is
    told to stop at once: the task fails, and the worker goes on.
    """

    def terminate_job(self, _pid: int, _signal: Any = None) -> NoReturn:
        """End the worker; its supervisor frees the jobs in hand."""
        raise WorkerTerminate(1)
