"""One row of the batch: a job, its scheduler, and its progress."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from storage.errors import JobError, in_words
from storage.job import Job
from workers.engine.clock import Clock, Moment
from workers.engine.families import StableDiffusion, Texts
from workers.engine.schedulers import Schedulers
from workers.engine.texts import TextCache

#: Errors of a scheduler's own code. Any other error may come from the machine or the
#: whole batch; the worker finds its cause by painting the jobs one by one.
_OWN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
    torch.linalg.LinAlgError,  # type: ignore[attr-defined]
)


@dataclass(slots=True, kw_only=True)
class Slot:
    """A job in its row of the batch.

    Attributes:
        job: The job that is painted.
        index: The row, from 0.
        width: Rows of the batch.
        scheduler: The job's own diffusers scheduler.
        timesteps: The scheduler's timesteps, each a tensor without dimensions on the
            CPU.
        times: The same as numbers.
        step_inputs: Further arguments of the scheduler's `step`.
        encoding: Moments before and after its texts were encoded.
        done: Calls of the network so far for this job.
        shares: Spans of time, each with the number of jobs that it served.
    """

    job: Job
    index: int
    width: int
    scheduler: Any
    timesteps: Sequence[torch.Tensor]
    times: Sequence[float]
    step_inputs: Mapping[str, Any]
    encoding: tuple[Moment, Moment]
    done: int = 0
    shares: list[tuple[Moment, Moment, int]] = field(default_factory=list)

    @property
    def is_finished(self) -> bool:
        """Whether no timestep is left."""
        return self.done == len(self.timesteps)

    @property
    def part(self) -> float:
        """The share of its timesteps that are done, 0 to 1."""
        return self.done / len(self.timesteps)

    def step(self, noise: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """Take one step, and return the new latents in the dtype of the old ones.

        Args:
            noise: The network's output for this row: (1, ...), on the device.
            latents: The latents before the step, of the same shape.

        Raises:
            JobError: The scheduler failed.
        """
        at = self.timesteps[self.done]
        with blaming(self.job):
            after = self.scheduler.step(
                noise, at, latents, **self.step_inputs, return_dict=False
            )[0]
        self.done += 1
        return after.to(latents.dtype)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """The tensors that are written to a row when a job enters it, on the device.

    Attributes:
        latents: Noise at the scale of the job's scheduler: (1, ...).
        prompt: Embeddings of its prompt.
        negative: Embeddings of its negative prompt; empty if the job is not guided.
    """

    latents: torch.Tensor
    prompt: Texts
    negative: Texts


@contextmanager
def blaming(job: Job) -> Iterator[None]:
    """Translate errors of a scheduler's own code, which fail the job.

    Raises:
        JobError: The scheduler raised.
    """
    try:
        yield
    except _OWN as exc:
        msg = (
            f"a job must run with {job.scheduler_class}, {dict(job.scheduler_options)} "
            f"and {job.steps} steps, but fails: {in_words(exc)}"
        )
        raise JobError(msg) from exc


class Starter:
    """Prepares jobs of one loaded pipeline for their first step."""

    def __init__(
        self, family: StableDiffusion, scheduler_config: Mapping[str, Any]
    ) -> None:
        """Set the pipeline, and the scheduler config that it was loaded with."""
        self.family = family
        self.clock = Clock(str(family.device))
        self._schedulers = Schedulers(
            scheduler_config, set_timesteps=family.set_timesteps
        )
        self._texts = TextCache(family)

    def forget_texts(self, jobs: Sequence[Job]) -> bool:
        """Drop all texts but those of `jobs`; return whether there were others."""
        return self._texts.forget_all_but(jobs)

    def start(self, job: Job, index: int, *, width: int) -> tuple[Slot, Filling]:
        """Return the slot of a job, and the tensors for its row.

        Args:
            job: The job to paint.
            index: Its row, from 0.
            width: Rows of the batch.

        Raises:
            JobError: The scheduler refuses its options or the number of steps.
            UnfitError: A package that the scheduler needs is missing here.
        """
        family = self.family
        with blaming(job):
            scheduler = self._schedulers.make(job)
        device = "cpu" if job.generator == "cpu" else family.device
        generator = torch.Generator(device).manual_seed(job.seed)
        began = self.clock.now()
        prompt = self._texts.prompt(job)
        negative = self._texts.negative(job) if family.is_guided(job) else {}
        slot = Slot(
            job=job,
            index=index,
            width=width,
            scheduler=scheduler,
            timesteps=list(scheduler.timesteps),
            times=scheduler.timesteps.tolist(),
            step_inputs=self._step_inputs(scheduler, job, generator),
            encoding=(began, self.clock.now()),
        )
        latents = family.begin(family.draw(job, generator), scheduler)
        return slot, Filling(latents=latents, prompt=prompt, negative=negative)

    def _step_inputs(
        self, scheduler: Any, job: Job, generator: torch.Generator
    ) -> dict[str, Any]:
        """Return the further arguments that the pipeline would pass to `step`.

        The generator is passed even if the pipeline omits it. Without it, a scheduler
        would draw noise from torch's global generator.
        """
        given: dict[str, Any] = {"generator": generator}
        if self.family.passes_eta:
            given["eta"] = job.parameter("eta")
        taken = inspect.signature(scheduler.step).parameters
        return {name: value for name, value in given.items() if name in taken}
