"""Stand-ins for parts of a pipeline, in the copy of it that paints one job.

Each passes everything on to the part itself but the calls that it is there for.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from storage.errors import JobError, in_words
from storage.job import Job
from workers.engine.network_calls import UnshareableError
from workers.engine.runs import Run

#: Errors of a scheduler's own code, or of a pipeline's. Any other error may come from
#: the machine or the whole batch; the worker finds its cause by painting the jobs one
#: by one.
OWN_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
    torch.linalg.LinAlgError,  # type: ignore[attr-defined]
)
#: What a pipeline reads of its network to change it for one job, as those with
#: perturbed attention (PAG) do.
CHANGES = frozenset({"attn_processors", "named_modules", "set_attn_processor"})


class StandIn:
    """An object that looks like another one, its own class included."""

    def __init__(self, own: Any) -> None:
        """Set the part of the pipeline that it stands for."""
        self.__dict__["_own"] = own

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The class of the part, for pipelines that ask with `isinstance`."""
        return type(self._own)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the part."""
        return getattr(self._own, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute of the part."""
        setattr(self._own, name, value)


class NetworkStandIn(StandIn):
    """A network: calls wait for the hub."""

    def __init__(self, own: Any, *, name: str, run: Run) -> None:
        """Set the network, the pipeline's attribute that holds it, and the run."""
        super().__init__(own)
        self.__dict__.update(_name=name, _run=run)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the network.

        Raises:
            UnshareableError: The job would change the network, which others share.
        """
        if name in CHANGES and not self._run.is_alone:
            msg = f"it changes its network while it runs (`{name}`)"
            raise UnshareableError(msg)
        return super().__getattr__(name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the network's answer."""
        if self._run.is_alone and not self._run.is_here:
            # A thread cannot wait for the hub, and need not if nobody shares the call.
            self._run.evaluations += 1
            return self._own(*args, **kwargs)
        return self._run.ask(self._name, args, kwargs)


class DecoderStandIn(StandIn):
    """A decoder: notes when it runs, and whether its pixels are finite."""

    def __init__(self, own: Any, *, run: Run) -> None:
        """Set the decoder and the run."""
        super().__init__(own)
        self.__dict__["_run"] = run

    def decode(self, *args: Any, **kwargs: Any) -> Any:
        """Decode latents; see the decoder."""
        run, began = self._run, self._run.clock.now()
        decoded = self._own.decode(*args, **kwargs)
        run.finite = torch.isfinite(decoded[0]).all()
        run.decoding = (began, run.clock.now())
        return decoded


class SchedulerStandIn(StandIn):
    """A job's scheduler: its timesteps are known, and its errors fail the job.

    The generator is passed to each step even if the pipeline omits it. Without it, a
    scheduler would draw noise from torch's global generator.
    """

    def __init__(
        self,
        own: Any,
        *,
        run: Run,
        prepare: Callable[[Any, tuple[Any, ...], Mapping[str, Any]], None],
        generator: torch.Generator,
    ) -> None:
        """Set the scheduler.

        Args:
            own: A fresh diffusers scheduler.
            run: The run of its job.
            prepare: Sets its timesteps, given the arguments of `set_timesteps`.
            generator: Of the job.
        """
        super().__init__(own)

        @functools.wraps(own.set_timesteps)
        def set_timesteps(*args: Any, **kwargs: Any) -> None:
            with blaming(run.job):
                prepare(own, args, kwargs)
            run.steps = len(own.timesteps)

        # With the signature of the scheduler's own: pipelines look at it.
        @functools.wraps(own.step)
        def step(*args: Any, **kwargs: Any) -> Any:
            with blaming(run.job):
                stepped = own.step(*args, **{**drawn, **kwargs})
            run.taken += 1
            return stepped

        drawn = {"generator": generator} if takes(own.step, "generator") else {}
        self.__dict__.update(set_timesteps=set_timesteps, step=step)


@contextmanager
def blaming(job: Job) -> Iterator[None]:
    """Translate errors of a scheduler's own code, which fail the job.

    Raises:
        JobError: The scheduler raised.
    """
    try:
        yield
    except OWN_ERRORS as exc:
        msg = (
            f"a job must run with {job.scheduler_class}, {dict(job.scheduler_options)} "
            f"and {job.steps} steps, but fails: {in_words(exc)}"
        )
        raise JobError(msg) from exc


def takes(function: Any, name: str) -> bool:
    """Return whether a function has a parameter of this name."""
    return name in parameters_of(getattr(function, "__func__", function))


@functools.cache
def parameters_of(function: Any) -> frozenset[str]:
    """Return the names of a function's parameters."""
    return frozenset(inspect.signature(function).parameters)
