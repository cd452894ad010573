"""The process that makes images again for `nightsweep reproduce`.

A program of `workers.engine.programs`. It stores nothing: its answers are the device,
and for each image its pixels or why it cannot be made.
"""

import base64
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from storage.catalogue.pipeline_families import NO_GUIDANCE
from storage.errors import JobError, ModelError, NightsweepError, UnfitError
from storage.job import Job, Model
from storage.settings import read_settings
from workers.devices.compiler_cache import keep_compilations
from workers.engine.environment import describe_environment
from workers.engine.programs import Send, choose_device, read_job, read_model
from workers.engine.torch_painter import OWN_THREADS, TorchPainter
from workers.painting import Painting


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PainterSetup:
    """What a painter is made with, besides its device.

    Attributes:
        threads: Torch threads on a CPU for all jobs but strict ones.
        compiled: Whether batches run a compiled network.
    """

    threads: int = 1
    compiled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An image to make again.

    Attributes:
        index: Its place in the wish.
        job: What to make.
        width: Rows of its batch.
        slot: Its row.
        setup: What its painter is made with.
    """

    index: int
    job: Job
    width: int = 1
    slot: int = 0
    setup: PainterSetup = PainterSetup()


def reproduce(wish: Mapping[str, Any], send: Send) -> None:
    """Make the images of a wish again.

    Args:
        wish: `images`: for each its `job` and, unless that is strict, `width`, `slot`,
            `threads` and `compiled`; `places`: models at all of their places, by
            fingerprint; `device`: `cpu`, `cuda:0` and so on, None for the first GPU,
            or the CPU where there is none.
        send: Takes the answers, in any order.

    Raises:
        NightsweepError: The device cannot be used.
    """
    keep_compilations(read_settings().home)
    device = choose_device(wish["device"])
    if device != "cpu":
        torch.cuda.set_device(device)
    send({"gpu": describe_environment(device, OWN_THREADS).gpu})
    wanted = [_read(index, each) for index, each in enumerate(wish["images"])]
    places = _Places(wish["places"])
    digests = read_settings().home / "digests.json"
    painters = _Painters(device, digests=digests, places=places)
    lost: dict[str, ModelError] = {}
    for rows in batches_of(wanted):
        work = Rows(rows, send)
        first = next(each for each in rows if each)
        model = first.job.model.fingerprint
        if model in lost:
            work.fail_rest(lost[model])
            continue
        try:
            painters.get(first).paint(work)
        except UnfitError as exc:
            work.fail_rest(exc)
            if isinstance(exc, ModelError):
                lost[model] = exc


def batches_of(wanted: Sequence[Wanted]) -> Iterator[list[Wanted | None]]:
    """Yield batches in which each image has its own row; None for the other rows.

    Those of one painter and one model follow each other, so that each is made once.
    """
    waiting: dict[Any, dict[int, list[Wanted]]] = {}
    for each in sorted(wanted, key=_order):
        is_guided = each.job.guidance > NO_GUIDANCE  # their rows are in other calls
        kind = (each.setup, each.job.group, is_guided, each.width)
        waiting.setdefault(kind, {}).setdefault(each.slot, []).append(each)
    for (*_, width), slots in waiting.items():
        for rows in zip_longest(*(slots.get(row, ()) for row in range(width))):
            yield list(rows)


def _order(wanted: Wanted) -> tuple[Any, ...]:
    job = wanted.job
    return (wanted.setup, job.model.fingerprint, job.dtype, wanted.index)


class Rows:
    """The jobs of one batch in the order of its rows; a `Work`."""

    def __init__(self, rows: Sequence[Wanted | None], send: Send) -> None:
        """Fill rows that nobody wants with a copy of the shortest job.

        Args:
            rows: At least one of them is wanted.
            send: Takes the pictures, and the errors.
        """
        wanted = [each for each in rows if each]
        filler = min((each.job for each in wanted), key=lambda job: job.steps)
        self._left = [each.job if each else replace(filler) for each in rows]
        #: By the identity of the job, since rows may hold equal jobs.
        self._wanted = {id(each.job): each for each in wanted}
        self._send = send

    def expect(self, width: int) -> None:
        """Do nothing: all jobs are ready."""

    def gather(self, count: int) -> list[Job]:
        """Return the jobs of the next rows."""
        given, self._left = self._left[:count], self._left[count:]
        return given

    def take(self) -> Job | None:
        """Return no job: a row is not filled again."""
        return None

    def keep(self, job: Job, fetch: Callable[[], Painting]) -> None:
        """Send the picture, if it is wanted."""
        wanted = self._wanted.get(id(job))
        if wanted is None:
            return
        try:
            painting = fetch()
        except JobError as exc:
            self.fail(job, exc)
            return
        del self._wanted[id(job)]
        self._send({"image": wanted.index, **_answer(painting)})

    def fail(self, job: Job, error: NightsweepError) -> None:
        """Send why a job cannot be painted, if it is wanted."""
        wanted = self._wanted.pop(id(job), None)
        if wanted:
            self._send({"image": wanted.index, "failure": str(error)})

    def fail_rest(self, error: NightsweepError) -> None:
        """Send why no job that is left can be painted."""
        for wanted in list(self._wanted.values()):
            self.fail(wanted.job, error)

    def put_back(self, jobs: list[Job]) -> None:
        """Take back the first rows."""
        self._left = [*jobs, *self._left]

    def withdraw(self) -> list[Job]:
        """Return no jobs: all are wanted."""
        return []

    def check(self) -> None:
        """Never stop."""


class _Painters:
    """A painter for each setup, one at a time: the next takes its memory."""

    def __init__(self, device: str, *, digests: Path, places: "_Places") -> None:
        self._device = device
        self._digests = digests
        self._places = places
        self._width = _Width()
        self._setup: PainterSetup | None = None
        self._painter: TorchPainter | None = None

    def get(self, wanted: Wanted) -> TorchPainter:
        """Return the painter for an image and the others of its batch."""
        self._width.rows = wanted.width
        if self._painter is None or self._setup != wanted.setup:
            self._painter = None  # its models leave memory first
            self._setup = wanted.setup
            self._painter = TorchPainter(
                self._device,
                threads=wanted.setup.threads,
                digests=self._digests,
                widths=self._width,
                places=self._places,
                compile_networks=wanted.setup.compiled,
            )
        return self._painter


class _Width:
    """The width of the next batch; a `Widths` that notes nothing."""

    rows = 1

    def get(self, job: Job, gpu: str) -> int | None:
        """Return the width, whatever the job and the device."""
        del job, gpu
        return self.rows

    def set(self, job: Job, gpu: str, *, width: int, reason: str) -> None:
        """Note nothing: this is no worker."""


class _Places:
    """The places that the wish names; a `Places`."""

    def __init__(self, places: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        self._places = places

    def of(self, model: Model) -> Sequence[Model]:
        return [read_model(each) for each in self._places.get(model.fingerprint, ())]


def _read(index: int, image: Mapping[str, Any]) -> Wanted:
    job = read_job(image["job"])
    if job.parameter("strict"):
        return Wanted(index=index, job=job)
    setup = PainterSetup(threads=image["threads"], compiled=image["compiled"])
    return Wanted(
        index=index,
        job=job,
        width=image["width"],
        slot=image["slot"],
        setup=setup,
    )


def _answer(painting: Painting) -> dict[str, Any]:
    out = io.BytesIO()
    painting.image.save(out, "PNG", compress_level=1)
    return {
        "png": base64.b64encode(out.getvalue()).decode("ascii"),
        "engine": painting.engine,
        "batch_width": painting.batch_width,
        "slot": painting.slot,
        "decode_dtype": painting.decode_dtype,
        **asdict(painting.environment),
    }
