"""The stand-in painter in a worker that is killed while it saves an image.

The file `moments` in the state folder says at which moments, one a line, in order:
`before` or `after` the thumbnail is written, and so between the PNG and the row in any
case. Each picture has the colour of its attempt. After the last death, all jobs are
held.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from storage.files import disk
from storage.job import Job
from storage.settings import read_settings
from tests import stand_in
from workers.painting import Painting, Work

#: By the number of deaths that are still to come.
COLOURS = ("blue", "lime", "red")


class MortalPainter:
    """Paints as the stand-in does, in the colour of the attempt."""

    def __init__(self, **options: Any) -> None:
        self._painter = stand_in.make_painter("cpu", **options)

    def paint(self, work: Work) -> None:
        """Paint."""
        self._painter.paint(_ColouredWork(work))  # type: ignore[arg-type]


class _ColouredWork:
    def __init__(self, work: Work) -> None:
        self._work = work

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)

    def keep(self, job: Job, fetch: Callable[[], Painting]) -> None:
        colour = COLOURS[len(_moments())]
        image = Image.new("RGB", (job.width, job.height), colour)
        self._work.keep(job, lambda: replace(fetch(), image=image))


def _file() -> Path:
    return read_settings().home / "moments"


def _moments() -> list[str]:
    return _file().read_text().split()


def _die_if(moment: str) -> None:
    due, *later = [*_moments(), ""]
    if due != moment:
        return
    if not any(later):
        stand_in.hold()
    _file().write_text("\n".join(later))
    os.kill(os.getpid(), signal.SIGKILL)


def make_painter(_device: str, **options: Any) -> MortalPainter:
    """Make the painter, as `workers.process.main` asks for it."""
    write = disk.write_thumbnail

    def write_or_die(*args: Any, **more: Any) -> bool:
        _die_if("before")
        is_written = write(*args, **more)
        _die_if("after")
        return is_written

    disk.write_thumbnail = write_or_die
    return MortalPainter(**options)
