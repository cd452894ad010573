"""Continuous batching: each row of the network's input is a job with its own scheduler.

A diffusers pipeline denoises a batch in lockstep: one scheduler, one list of timesteps,
one guidance. But it calls only a few methods of `pipeline.scheduler`, only iterates
over the timesteps, and only compares the guidance scale and multiplies by it. So here

- the scheduler is an object that holds one scheduler per row (a slot), and passes each
  its own part of the network's output;
- the timesteps are produced while the loop runs, one per row, as long as there are
  jobs;
- the guidance scale is a vector;
- at the end of a step, a row whose job is finished gets the next job.

The pipeline's own `__call__` runs unmodified, once, for any number of jobs. Nothing is
approximated: each row's arithmetic is its scheduler's own, and the network treats rows
independently. So an image equals, bit for bit, that of the same row of an ordinary
batch of equal width.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from storage.errors import JobError
from storage.job import Job
from workers.engine.clock import Moment
from workers.engine.mixed import MixedGuidance, MixedScheduler
from workers.engine.slot import Filling, Slot, Starter
from workers.engine.steering import Steering
from workers.vitals import phases


class Source(Protocol):
    """Supplies jobs while the batch runs, and takes back failed ones."""

    def take(self) -> Job | None:
        """Return the next job if one is ready; never wait."""

    def fail(self, job: Job, error: JobError) -> None:
        """Take back a job that cannot be painted."""

    def withdraw(self) -> list[Job]:
        """Return jobs in hand to stop painting; usually none."""

    def check(self) -> None:
        """Raise `StoppedError` if the work is to end."""


@dataclass(slots=True)
class Tally:
    """Counts of rows that were run, and of rows that served a job.

    Attributes:
        calls: Calls of the network.
        rows: Rows of all calls; the two halves of a guided batch count once.
        useful: Rows of these with a job.
    """

    calls: int = 0
    rows: int = 0
    useful: int = 0

    @property
    def occupancy(self) -> float:
        """Share of the rows that served a job."""
        return self.useful / self.rows if self.rows else 0.0


class Slots:
    """A running batch of one pipeline, refilled row by row.

    Attributes:
        width: Rows of the batch; constant.
    """

    def __init__(
        self,
        starter: Starter,
        jobs: Sequence[Job],
        source: Source,
        *,
        width: int,
        finish: Callable[[Slot, torch.Tensor], None],
        tally: Tally,
    ) -> None:
        """Prepare a batch for one run.

        Args:
            starter: Prepares jobs of the loaded pipeline.
            jobs: The first jobs, one or more, of one group.
            source: Supplies further jobs of that group.
            width: Rows of the batch.
            finish: Called after a job's last step with its slot and its latents:
                (1, ...), in the network's dtype, on the device, perhaps not finite.
            tally: Counts rows.
        """
        self.width = width
        self._starter = starter
        self._family = starter.family
        self._clock = starter.clock
        self._finish = finish
        self._tally = tally
        self._slots: list[Slot | None] = [None] * width
        self._source = source
        self._outside = deque(jobs)
        self._guidance = MixedGuidance(width, self._family.device)
        self._is_guided = self._family.is_guided(jobs[0])
        #: The moment when the network was last called.
        self._began: Moment
        self._given: dict[str, torch.Tensor] = {}
        self._steering = Steering()

    @property
    def jobs(self) -> list[Job]:
        """The jobs in hand: those in rows, then those about to enter one."""
        return [*(slot.job for slot in self._slots if slot), *self._outside]

    @torch.no_grad()
    def run(self) -> None:
        """Paint the first jobs, one per row, and all further jobs of the source.

        After an error, `self.jobs` holds the unfinished jobs, and the pipeline has its
        own scheduler again.

        Raises:
            StoppedError: The source was asked to end.
            UnsteerableError: The pipeline copies the tensors that rows are written to.
        """
        pipe = self._family.pipe
        mixed = MixedScheduler(
            pipe.scheduler.config,
            timesteps=self._timesteps,
            scale=self._scale,
            step=self._step,
        )
        with _scheduler_of(pipe, mixed):
            fillings = self._enter_all()
            if fillings:
                self._call(fillings)

    def _call(self, fillings: Mapping[int, Filling]) -> None:
        with self._steering.watching(self._family.denoiser):
            self._family.pipe(
                **self._inputs(fillings),
                num_inference_steps=1,  # ignored: each slot has its own
                output_type="latent",
                callback_on_step_end=self._step_end,
                callback_on_step_end_tensor_inputs=["latents", *self._in_loop()],
            )

    def _timesteps(self) -> Iterator[torch.Tensor]:
        """Yield the timesteps of all rows for one step, as long as any row has a job.

        They are (rows,), float32, on the device; rows are twice the width if guided.
        """
        while any(self._slots):
            self._source.check()
            now = [slot.times[slot.done] if slot else 0.0 for slot in self._slots]
            pinned = self._clock.on_gpu
            times = torch.tensor(now, dtype=torch.float32, pin_memory=pinned)
            times = times.to(self._family.device, non_blocking=True)
            self._began = self._clock.now()
            yield self._both_halves(times)

    def _scale(self, latents: torch.Tensor) -> torch.Tensor:
        """Scale the network's input; both halves of a guided batch are equal."""
        rows = self._rows(latents)
        for slot in self._living():
            at = slot.timesteps[slot.done]
            rows[slot.index] = slot.scheduler.scale_model_input(rows[slot.index], at)
        return self._both_halves(torch.cat(rows).to(latents.dtype))

    def _step(self, noise: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """Take one step in each row that has a job; leave the other rows unchanged.

        Args:
            noise: The network's output, after guidance: (width, ...).
            latents: The latents before the step: (width, ...).
        """
        self._steering.check_latents(latents)
        answered = self._clock.now()
        living = self._living()
        self._tally.calls += 1
        self._tally.rows += self.width
        self._tally.useful += len(living)
        rows = self._rows(latents)
        for slot in living:
            slot.shares.append((self._began, answered, len(living)))
            began = self._clock.now()
            answer = noise[slot.index : slot.index + 1]
            rows[slot.index] = self._step_one(slot, answer, rows[slot.index])
            slot.shares.append((began, self._clock.now(), 1))
        return torch.cat(rows)

    def _step_one(
        self, slot: Slot, noise: torch.Tensor, latents: torch.Tensor
    ) -> torch.Tensor:
        try:
            return slot.step(noise, latents)
        except JobError as exc:
            self._slots[slot.index] = None
            self._source.fail(slot.job, exc)
            return torch.zeros_like(latents)

    def _step_end(
        self, _pipe: Any, _step: int, _time: Any, tensors: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Finish jobs and let others in; called by diffusers after each step."""
        latents = tensors["latents"]
        self._steering.leave(latents)
        texts = {name: self._filled(name, tensors) for name in self._family.embeddings}
        self._steering.check_texts(texts, self._given)
        for slot in self._living():
            if slot.is_finished:
                row = slice(slot.index, slot.index + 1)
                self._finish(slot, latents[row].clone())
                # Only now: if decoding raises, the job must still be in hand.
                self._clear(slot, latents)
        if gone := self._source.withdraw():
            self._withdraw({job.key for job in gone}, latents)
        for index, filling in self._enter_all().items():
            self._fill(index, filling, tensors)
        phases.get_to(sum(slot.part for slot in self._living()))
        return tensors

    def _withdraw(self, keys: Collection[str], latents: torch.Tensor) -> None:
        """Drop jobs, in rows and about to enter one."""
        outside = [job for job in self._outside if job.key not in keys]
        self._outside = deque(outside)
        for slot in self._living():
            if slot.job.key in keys:
                self._clear(slot, latents)

    def _clear(self, slot: Slot, latents: torch.Tensor) -> None:
        self._slots[slot.index] = None
        latents[slot.index].zero_()

    def _enter_all(self) -> dict[int, Filling]:
        """Fill empty rows until either rows or jobs run out."""
        fillings = {}
        for index in [i for i, slot in enumerate(self._slots) if not slot]:
            filling = self._enter(index)
            if filling is None:
                break
            fillings[index] = filling
        return fillings

    def _enter(self, index: int) -> Filling | None:
        """Fill a row with the next job that can be started; fail the others."""
        while self._outside or self._take():
            job = self._outside[0]
            try:
                slot, filling = self._starter.start(job, index, width=self.width)
            except JobError as exc:
                self._outside.popleft()
                self._source.fail(job, exc)
                continue
            self._slots[index] = slot
            self._outside.popleft()
            self._guidance.set(index, job.guidance)
            return filling
        return None

    def _take(self) -> bool:
        job = self._source.take()
        if job:
            self._outside.append(job)
        return job is not None

    def _inputs(self, fillings: Mapping[int, Filling]) -> dict[str, Any]:
        """Return the pipeline's arguments for the first jobs."""
        first = next(iter(fillings.values()))
        # Empty rows get the inputs of the first job.
        rows = [fillings.get(index, first) for index in range(self.width)]
        given = {"latents": torch.cat([row.latents for row in rows])}
        for name in self._family.embeddings:
            given[name] = torch.cat([row.prompt[name] for row in rows])
            if self._is_guided:
                negatives = [row.negative[name] for row in rows]
                given[f"negative_{name}"] = torch.cat(negatives)
        self._given = given
        job = self.jobs[0]
        alike = job.guidance if job.model.embeds_guidance else 1.0
        return {
            **given,
            "guidance_scale": self._guidance if self._is_guided else alike,
            "height": job.height,
            "width": job.width,
        }

    def _fill(
        self, index: int, filling: Filling, tensors: Mapping[str, torch.Tensor]
    ) -> None:
        """Write a job's latents and texts to a row between two steps, in place."""
        tensors["latents"][index] = filling.latents[0]
        for name in self._family.embeddings:
            batch = self._filled(name, tensors)
            if self._is_guided:
                batch[index] = filling.negative[name][0]
            batch[index + self.width * self._is_guided] = filling.prompt[name][0]

    def _filled(self, name: str, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the tensor of all rows' embeddings that the pipeline's loop reads."""
        in_loop = self._family.embeddings[name]
        return tensors[in_loop] if in_loop else self._given[name]

    def _rows(self, batch: torch.Tensor) -> list[torch.Tensor]:
        return [batch[index : index + 1] for index in range(self.width)]

    def _living(self) -> list[Slot]:
        return [slot for slot in self._slots if slot]

    def _both_halves(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.cat([rows, rows]) if self._is_guided else rows

    def _in_loop(self) -> list[str]:
        return [name for name in self._family.embeddings.values() if name]


@contextmanager
def _scheduler_of(pipe: Any, scheduler: MixedScheduler) -> Iterator[None]:
    own = pipe.scheduler
    pipe.scheduler = scheduler
    try:
        yield
    finally:
        pipe.scheduler = own
