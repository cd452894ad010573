"""The stand-in painter, on devices that fail: hung, or sick.

A job whose prompt is `hang` is never finished, while the beat goes on, and one whose
prompt is `load` is never begun, since its model takes for ever to load. With one whose
prompt is `curse` in hand the device fails. As long as
there is a file in the state folder that is called `sick`, the device fails at each job;
with `short`, the machine kills whoever loads a model for the prompt `large`; with
`frozen`, no picture gets to the disk.
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
    """Paints as the stand-in does, where it can."""

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
    """Tell whether there is such a file in the state folder."""
    return (read_settings().home / name).exists()


def is_first(name: str) -> bool:
    """Tell whether this process was the first to ask for a file of that name."""
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
