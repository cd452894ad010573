"""The training loop of all stages: seeded, counted in steps, resumed after a kill."""

import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)

#: Returns the loss of a step, given its number and its random generator on the CPU.
LossOfStep = Callable[[int, torch.Generator], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps and rates of a training stage.

    Attributes:
        name: The stage; its files are `name.pt` (done) and `name.part.pt`.
        steps: Optimizer steps in all.
        learning_rate: Its highest value, after `warm_up` steps.
        warm_up: Steps of linear warm-up.
        final_share: Share of that value at the end of the cosine.
        beta2: AdamW's.
        weight_decay: AdamW's.
        ema_decay: Decay of the running mean of the weights, which is the result.
        save_every: Steps between two checkpoints.
    """

    name: str
    steps: int
    learning_rate: float
    warm_up: int = 100
    final_share: float = 0.02
    beta2: float = 0.99
    weight_decay: float = 1e-2
    ema_decay: float = 0.998
    save_every: int = 200

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step: linear warm-up, then half a cosine."""
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        wave = 0.5 * (1 + math.cos(math.pi * done))
        return self.learning_rate * (self.final_share + (1 - self.final_share) * wave)


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """Several processes that train one model, and average it every few steps."""

    rank: int = 0
    size: int = 1
    average_every: int = 20

    def average(self, model: nn.Module) -> None:
        """Replace each weight by its mean over the processes."""
        if self.size == 1:
            return
        flat = nn.utils.parameters_to_vector(model.parameters()).detach()
        torch.distributed.all_reduce(flat)
        nn.utils.vector_to_parameters(flat / self.size, model.parameters())


@contextmanager
def seeded_weights(seed: int) -> Iterator[None]:
    """Make the initial weights of modules within the block depend on `seed` only.

    Torch's modules draw their weights from its global generator. It is seeded here, and
    restored after the block.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def generator_of(seed: int, step: int, rank: int = 0) -> torch.Generator:
    """Make the random generator of one step, on the CPU.

    Each step has its own, so a checkpoint needs no state of a generator.
    """
    return torch.Generator().manual_seed((seed * 64 + rank) * 1_000_000 + step)


class Average:
    """The exponential moving average of a model's weights."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Start from the model's current weights."""
        self.decay = decay
        self.weights = {k: v.detach().clone() for k, v in model.state_dict().items()}

    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model's weights, faster in the first steps."""
        share = 1 - min(self.decay, (1 + step) / (20 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value.detach(), share)


def train(
    model: nn.Module,
    loss_of_step: LossOfStep,
    plan: Plan,
    *,
    folder: Path,
    seed: int,
    team: Team | None = None,
) -> None:
    """Train a model in place, and leave it with its averaged weights.

    A finished stage is loaded; a killed one resumes from its last checkpoint. In a
    team, only the process of rank 0 has and saves the averaged weights.

    Args:
        model: The model to train, on its device.
        loss_of_step: Called once a step.
        plan: Name, steps and rates.
        folder: Folder of the stage's files.
        seed: Decides every random choice, together with the step's number.
        team: The other processes that train the same model, if any.
    """
    team = team or Team()
    done = folder / f"{plan.name}.pt"
    if done.exists():
        model.load_state_dict(torch.load(done, weights_only=True))
        return
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        learning, betas=(0.9, plan.beta2), weight_decay=plan.weight_decay
    )
    average = Average(model, plan.ema_decay)
    unfinished = folder / f"{plan.name}.part.pt"
    first = _resume(unfinished, model, optimizer, average)
    meter = _Meter(plan.name, first)
    for step in range(first, plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = plan.rate_at(step)
        loss = loss_of_step(step, generator_of(seed, step, team.rank))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        if (step + 1) % team.average_every == 0:
            team.average(model)
        if team.rank == 0:
            average.update(model, step)
            meter.add(loss, step)
            if (step + 1) % plan.save_every == 0:
                _save(unfinished, model, optimizer, average, step + 1)
    if team.rank == 0:
        model.load_state_dict(average.weights)
        _write(done, average.weights)
        unfinished.unlink(missing_ok=True)


def _resume(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, average: Average
) -> int:
    if not path.exists():
        return 0
    # All processes of a team read the first one's checkpoint: it was saved after an
    # averaging, and any process's optimizer state will do.
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    average.weights = state["average"]
    return int(state["step"])


def _save(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: Average,
    step: int,
) -> None:
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average.weights,
        "step": step,
    }
    _write(path, state)


def _write(path: Path, state: dict[str, Any]) -> None:
    part = path.with_suffix(f".{os.getpid()}")
    torch.save(state, part)
    part.replace(path)


class _Meter:
    """Logs the mean loss and the time of every hundred steps."""

    def __init__(self, name: str, first: int) -> None:
        self.name, self.first, self.start = name, first, time.monotonic()
        self.total, self.count = 0.0, 0

    def add(self, loss: Tensor, step: int) -> None:
        self.total += float(loss.detach())
        self.count += 1
        if (step + 1) % 100:
            return
        seconds = (time.monotonic() - self.start) / (step + 1 - self.first)
        logger.info(
            "%s: step %d, loss %.4f, %.3f s a step",
            *(self.name, step + 1, self.total / self.count, seconds),
            extra={"action": "training_steps"},
        )
        self.total, self.count = 0.0, 0
