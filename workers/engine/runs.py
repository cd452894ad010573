"""A run: one job's own call of its pipeline, which stops at each call of a network."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import greenlet
import torch

from storage.job import Job
from workers.engine.clock import Clock, Moment
from workers.engine.network_calls import Call, UnshareableError, read_call, whole_call

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Run:
    """A job that is painted.

    The pipeline's call runs in a greenlet: a function that can be left in the middle of
    a call, and entered again there. All of them run in the painting thread.

    Attributes:
        job: The job.
        clock: Takes moments of the device's time.
        is_alone: Whether its calls are never merged with those of other jobs.
        width: Rows of the lane of its first call; 0 before that.
        row: Its row in that lane, from 0.
        call: The call of a network that waits for an answer; None if there is none.
        evaluations: Calls of a network so far.
        steps: Steps that its scheduler will take; 0 while it is not known.
        taken: Steps that it has taken.
        warm_up: Whether a network or the decoder was compiled for one of its calls.
        asked_at: The count of all calls when the run began to wait.
        encoding: Moments before its call, and at the first call of a network.
        shares: Spans of time, each with the number of jobs that it served.
        decoding: Moments before and after its latents were decoded.
        finite: Whether all pixels were finite before they were clamped: a bool tensor
            without dimensions, on the device; None if nothing was decoded.
        pixels: (1, 3, height, width), 0 to 1, on the device; None until it has ended.
    """

    job: Job
    clock: Clock
    is_alone: bool
    width: int = 0
    row: int = 0
    call: Call | None = None
    evaluations: int = 0
    steps: int = 0
    taken: int = 0
    warm_up: bool = False
    asked_at: int = 0
    encoding: tuple[Moment, Moment] = (0.0, 0.0)
    shares: list[tuple[Moment, Moment, int]] = field(default_factory=list)
    decoding: tuple[Moment, Moment] | None = None
    finite: torch.Tensor | None = None
    pixels: torch.Tensor | None = None
    _greenlet: Any = None

    @property
    def pending(self) -> Call:
        """The call of a run that waits for an answer."""
        return cast(Call, self.call)

    @property
    def result(self) -> torch.Tensor:
        """The pixels of a run that has ended."""
        return cast(torch.Tensor, self.pixels)

    @property
    def is_here(self) -> bool:
        """Whether the caller is the run itself, and no thread of its pipeline."""
        return greenlet.getcurrent() is self._greenlet

    @property
    def part(self) -> float:
        """The share of its steps that are taken, 0 to 1."""
        return self.taken / self.steps if self.steps else 0.0

    def begin(self, paint: Callable[[], torch.Tensor]) -> None:
        """Run up to the first call of a network, or to the end.

        Args:
            paint: Returns the pixels; it calls `ask` for each call of a network.

        Raises:
            Exception: Whatever `paint` raises.
        """
        self._greenlet = greenlet.greenlet(paint)
        began = self.clock.now()
        self._switch()
        self.encoding = (began, self.clock.now())

    def resume(self, answer: Any) -> None:
        """Run on with a network's answer up to the next call, or to the end.

        Raises:
            Exception: Whatever the pipeline raises.
        """
        self.call = None
        began = self.clock.now()
        self._switch(answer)
        ended = self.clock.now() if self.decoding is None else self.decoding[0]
        self.shares.append((began, ended, 1))

    def _switch(self, *answer: Any) -> None:
        result = self._greenlet.switch(*answer)
        if self._greenlet.dead:
            self.pixels = result

    def ask(
        self, network: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Wait for a network's answer; called within the run.

        Args:
            network: The pipeline's attribute that holds it.
            args: Positional arguments of the call.
            kwargs: Arguments by name.

        Raises:
            UnshareableError: No call of another job can join this one.
        """
        if not self.is_here:
            msg = "it calls its network in a thread of its own"
            raise UnshareableError(msg)
        size = (self.job.width, self.job.height)
        read = whole_call if self.is_alone else read_call
        self.call = read(network, args, kwargs, size=size)
        self.evaluations += 1
        return self._greenlet.parent.switch()

    def take_row(self, width: int, row: int) -> None:
        """Note the width of a lane, and the row in it, if it is the first one."""
        if not self.width:
            self.width, self.row = width, row

    def end(self) -> None:
        """End the pipeline's call if it has not ended."""
        self.call = None
        if self._greenlet and not self._greenlet.dead:
            try:
                self._greenlet.throw()
            except Exception:
                # What ended the batch matters, not what the pipeline says of it.
                log.exception(
                    "A pipeline failed while it was ended.",
                    extra={"action": "run_not_ended"},
                )
        self._greenlet = None
