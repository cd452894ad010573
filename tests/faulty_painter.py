"""The stand-in painter on a device that fails or hangs.

The prompt of a job may cause a fault: `hang`, the job never ends, while heartbeats go
on; `load`, its model never finishes loading; `curse`, the device fails. A file in the
state folder causes others, as long as it is there: `sick`, the device fails at each
job; `picky`, one worker's device is too small for the model; `short`, a worker that
loads a model for the prompt `large` is killed; `frozen`, no picture gets to the disk.
"""

import os
import signal
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from PIL.Image import Image

from storage.errors import DeviceError, UnfitError
from storage.job import Job
from storage.settings import read_settings
from tests import stand_in
from workers.execution.result_writer import Fetch
from workers.painting import Painting, Work
from workers.vitals import phases

HOURS_S = 7200.0


class FaultyPainter:
    """Paints as the stand-in does, unless a fault is due."""

    def __init__(self, **options: Any) -> None:
        self._painter = stand_in.make_painter("cpu", **options)

    def paint(self, work: Work) -> None:
        """Fail, hang or paint."""
        self._painter.paint(_FaultyWork(work))  # type: ignore[arg-type]


class _Frozen(Image):
    def save(self, *_args: Any, **_options: Any) -> None:
        time.sleep(HOURS_S)


class _FaultyWork:
    def __init__(self, work: Work) -> None:
        self._work = work

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)

    def gather(self, count: int) -> list[Job]:
        jobs = self._work.gather(count)
        _misbehave(jobs)
        return jobs

    def keep(self, job: Job, fetch: Fetch) -> None:
        def slowly() -> Painting:
            painting = fetch()
            return (
                replace(painting, image=_Frozen()) if is_there("frozen") else painting
            )

        self._work.keep(job, slowly)

    def take(self) -> Job | None:
        job = self._work.take()
        _misbehave([job] if job else [])
        return job


def is_there(name: str) -> bool:
    """Return whether the state folder has a file of this name."""
    return (read_settings().home / name).exists()


def is_first(name: str) -> bool:
    """Return whether this process was the first to call this with `name`."""
    file = (read_settings().home / name).with_suffix(".first")
    with suppress(FileExistsError), file.open("x") as opened:
        opened.write(str(os.getpid()))
    return file.read_text() == str(os.getpid())


def _misbehave(jobs: list[Job]) -> None:
    if jobs and is_there("picky") and is_first("picky"):
        msg = "the model must fit into memory, but does not"
        raise UnfitError(msg)
    if any(job.prompt == "curse" for job in jobs) or (jobs and is_there("sick")):
        msg = "the GPU must answer, but says: lost"
        raise DeviceError(msg)
    if any(job.prompt == "large" for job in jobs):
        with phases.during(phases.LOADING):
            if is_there("short"):
                os.kill(os.getpid(), signal.SIGKILL)
    if any(job.prompt == "hang" for job in jobs):
        time.sleep(HOURS_S)
    if any(job.prompt == "load" for job in jobs):
        with phases.during(phases.LOADING):
            time.sleep(HOURS_S)


def make_painter(_device: str, **options: Any) -> FaultyPainter:
    """Make the painter, as `workers.process.main` asks for it."""
    return FaultyPainter(**options)
