"""One batch, many schedulers: every row of the network's input is a job of its own.

A diffusers pipeline denoises a batch in lockstep: one scheduler, one list of timesteps,
one guidance. But all that it asks of `pipeline.scheduler` is a few methods, all that
it does with the timesteps is to iterate over them, and all that it does with the
guidance scale is to compare and to multiply. So here

- the scheduler is an object that holds one scheduler per row (a slot), and hands each
  its own part of the network's answer;
- the timesteps are produced while the loop runs, one per row, for as long as there
  are jobs;
- the guidance scale is a vector;
- at the end of a step, a row whose job is finished gets the next job.

The pipeline's own `__call__` runs unmodified, once, for as many jobs as come. Nothing
is approximated: a row's arithmetic is its scheduler's own, and the network treats rows
apart, so an image is bit for bit that of the same row of an ordinary batch of equal
width.
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
    """Where jobs come from while the batch runs, and where failed ones go."""

    def take(self) -> Job | None:
        """Return the next job if one is ready; never wait."""

    def fail(self, job: Job, error: JobError) -> None:
        """Take back a job that cannot be painted."""

    def withdraw(self) -> list[Job]:
        """Return jobs in hand that are to be painted no further; mostly none."""

    def check(self) -> None:
        """Raise `StoppedError` if the work is to end."""


@dataclass(slots=True)
class Tally:
    """Rows that were run, and rows that served a job."""

    calls: int = 0
    rows: int = 0
    useful: int = 0

    @property
    def occupancy(self) -> float:
        """Share of the rows that served a job."""
        return self.useful / self.rows if self.rows else 0.0


class Slots:
    """A running batch of one pipeline, filled anew row by row.

    Attributes:
        width: Rows, the same for as long as any job lives.
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
            starter: Readies jobs of the loaded pipeline.
            jobs: The first, one or more of one group.
            source: Gives others of that group meanwhile.
            width: Rows.
            finish: Called after a job's last step with its slot and its latents
                (1, ...), on the device, which may not be finite.
            tally: Where rows are counted.
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
        #: When the network was called last.
        self._began: Moment
        self._given: dict[str, torch.Tensor] = {}
        self._steering = Steering()

    @property
    def jobs(self) -> list[Job]:
        """The jobs in hand: those in the rows, and those about to enter one."""
        return [*(slot.job for slot in self._slots if slot), *self._outside]

    @torch.no_grad()
    def run(self) -> None:
        """Paint the first jobs, one per row, and all that the source gives meanwhile.

        After an error `self.jobs` are those that were begun in vain, and the pipeline
        is as it was before.

        Raises:
            StoppedError: The source was asked to end.
            UnsteerableError: The pipeline copies what rows are filled with.
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
                num_inference_steps=1,  # each slot has its own
                output_type="latent",
                callback_on_step_end=self._step_end,
                callback_on_step_end_tensor_inputs=["latents", *self._in_loop()],
            )

    def _timesteps(self) -> Iterator[torch.Tensor]:
        """Yield the timestep of each row, as long as any has a job.

        Each is (rows,), float32, on the device; rows are twice the width if guided.
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
        """Scale the network's input; both halves of a guided one are the same."""
        rows = self._rows(latents)
        for slot in self._living():
            at = slot.timesteps[slot.done]
            rows[slot.index] = slot.scheduler.scale_model_input(rows[slot.index], at)
        return self._both_halves(torch.cat(rows).to(latents.dtype))

    def _step(self, noise: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """Take one step in every row that has a job; the others stay as they are."""
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
        """Hand finished jobs out and let others in, as diffusers' callback."""
        latents = tensors["latents"]
        self._steering.leave(latents)
        texts = {name: self._filled(name, tensors) for name in self._family.embeddings}
        self._steering.check_texts(texts, self._given)
        for slot in self._living():
            if slot.is_finished:
                row = slice(slot.index, slot.index + 1)
                self._finish(slot, latents[row].clone())
                # Not before: if it cannot be decoded, it was begun in vain.
                self._clear(slot, latents)
        if gone := self._source.withdraw():
            self._withdraw({job.key for job in gone}, latents)
        for index, filling in self._enter_all().items():
            self._fill(index, filling, tensors)
        phases.get_to(sum(slot.part for slot in self._living()))
        return tensors

    def _withdraw(self, keys: Collection[str], latents: torch.Tensor) -> None:
        """Let go of jobs wherever they are."""
        outside = [job for job in self._outside if job.key not in keys]
        self._outside = deque(outside)
        for slot in self._living():
            if slot.job.key in keys:
                self._clear(slot, latents)

    def _clear(self, slot: Slot, latents: torch.Tensor) -> None:
        self._slots[slot.index] = None
        latents[slot.index].zero_()

    def _enter_all(self) -> dict[int, Filling]:
        """Let jobs into the empty rows, as many as there are of either."""
        fillings = {}
        for index in [i for i, slot in enumerate(self._slots) if not slot]:
            filling = self._enter(index)
            if filling is None:
                break
            fillings[index] = filling
        return fillings

    def _enter(self, index: int) -> Filling | None:
        """Let the first job into a row that can be started."""
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
        # An empty row runs along with what the first one has.
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
        """Fill a row between two steps, in place."""
        tensors["latents"][index] = filling.latents[0]
        for name in self._family.embeddings:
            batch = self._filled(name, tensors)
            if self._is_guided:
                batch[index] = filling.negative[name][0]
            batch[index + self.width * self._is_guided] = filling.prompt[name][0]

    def _filled(self, name: str, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the tensor in which the loop has the embeddings of all rows."""
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
