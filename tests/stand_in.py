"""A painter without torch, at the seam below the turn: fast, slow or faulty on demand.

The prompt says what it does: `die` kills the process, `fail` fails the job, `raise`
raises an unforeseen error, `unfit` is a model that cannot be loaded, `deaf` ignores
stops, `unfetchable` raises an unforeseen error after the last step. Any other job is
painted in the colour that its key begins with.

It has NIGHTSWEEP_STAND_IN_WIDTH slots, by default one. A step of all of them takes
NIGHTSWEEP_STAND_IN_STEP_S, by default 0.01 s. Jobs that a test holds, by `hold`, make
no progress until it lets go or they are withdrawn. To the file
NIGHTSWEEP_STAND_IN_JOURNAL, if it is set, it writes when it `began` a job, was `done`
with it, or gave it `back`.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from storage.errors import JobError, ModelError
from storage.host.environment import Environment
from storage.job import Job
from workers.painting import Compilations, Painting, Places, Widths, Work

STEP_S = 0.01
ENVIRONMENT = Environment(gpu="none", host="test")


def hold(*prompts: str) -> None:
    """Hold the jobs with one of these prompts, or all jobs if none is given.

    This holds for all painters of the test's state folder, also later ones.
    """
    _hold_file().write_text("\n".join(prompts))


def let_go() -> None:
    """Let all held jobs continue."""
    _hold_file().unlink()


def _hold_file() -> Path:
    return Path(os.environ["NIGHTSWEEP_HOME"]) / "hold"


@dataclass
class _Live:
    job: Job
    left: int


class StandIn:
    """Paints in one colour, at a limited rate.

    Attributes:
        painted: Keys of the jobs that were begun, in order.
        batches: For each step, the prompts of the jobs in the batch.
    """

    def __init__(
        self, *, width: int = 1, step_s: float = STEP_S, journal: str = os.devnull
    ) -> None:
        self._hold_file = _hold_file()
        self.width = width
        self.step_s = step_s
        self.painted: list[str] = []
        self.batches: list[list[str]] = []
        self._journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def __del__(self) -> None:
        os.close(self._journal)

    def paint(self, work: Work) -> None:
        """Do what the prompts say."""
        work.expect(self.width)
        live: list[_Live] = []
        with self._noting_what_goes_back(live):
            while jobs := work.gather(self.width):
                self._begin(work, jobs, live)
                while live:
                    self._step(work, live)

    @contextmanager
    def _noting_what_goes_back(self, live: list[_Live]) -> Iterator[None]:
        try:
            yield
        finally:
            for one in live:
                self._note("back", one.job)

    def _note(self, what: str, job: Job) -> None:
        line = f"{what} {job.key} {os.getpid()} {time.monotonic()}\n"
        os.write(self._journal, line.encode())

    def _begin(self, work: Work, jobs: list[Job], live: list[_Live]) -> None:
        begun = []
        for job in jobs:
            self.painted.append(job.key)
            if job.prompt == "fail":
                work.fail(job, JobError("this job must fail, and does"))
            else:
                self._note("began", job)
                begun.append(_Live(job, job.steps))
        live += begun
        for one in begun:
            _misbehave(one.job)

    def _step(self, work: Work, live: list[_Live]) -> None:
        self.batches.append([one.job.prompt for one in live])
        time.sleep(self.step_s)
        if all(one.job.prompt != "deaf" for one in live):
            work.check()
        gone = work.withdraw()
        for one in list(live):
            one.left -= not self._is_held(one.job)
            if one.job in gone or not one.left:
                live.remove(one)
                self._note("back" if one.job in gone else "done", one.job)
                if one.job not in gone:
                    work.keep(one.job, partial(_fetch, one.job))
        while len(live) < self.width:
            job = work.take()
            if job is None:
                return
            self._begin(work, [job], live)

    def _is_held(self, job: Job) -> bool:
        try:
            prompts = self._hold_file.read_text().splitlines()
        except FileNotFoundError:
            return False
        return not prompts or job.prompt in prompts


def _misbehave(job: Job) -> None:
    if job.prompt == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.prompt == "raise":
        msg = "division by zero"
        raise ZeroDivisionError(msg)
    if job.prompt == "unfit":
        msg = "the model must be there, but is not"
        raise ModelError(msg)


def _fetch(job: Job) -> Painting:
    if job.prompt == "unfetchable":
        msg = "division by zero"
        raise ZeroDivisionError(msg)
    return Painting(
        image=Image.new("RGB", (job.width, job.height), f"#{job.key[:6]}"),
        environment=ENVIRONMENT,
        evaluations=job.steps,
        denoise_s=STEP_S,
    )


def make_painter(
    _device: str,
    *,
    threads: int,
    digests: Path,
    widths: Widths,
    places: Places,
    compile_networks: bool | Compilations,
) -> StandIn:
    """Make the stand-in, as `workers.process.main` asks for it."""
    assert threads
    assert digests.name
    assert widths
    assert compile_networks is not True
    return StandIn(
        width=int(os.environ.get("NIGHTSWEEP_STAND_IN_WIDTH", "1")),
        step_s=float(os.environ.get("NIGHTSWEEP_STAND_IN_STEP_S", str(STEP_S))),
        journal=os.environ.get("NIGHTSWEEP_STAND_IN_JOURNAL", os.devnull),
    )
