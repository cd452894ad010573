"""Stand-ins for the ControlNets of a pipeline, in the copy that paints one job.

A ControlNet multiplies its answer by the scale of the job, as its last step. Here that
is done after the shared call, so jobs with all scales share it. The bits are the same:
numbers times 1 are those numbers.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

from workers.engine.network_calls import PAIRED
from workers.engine.runs import Run
from workers.engine.stand_ins import NetworkStandIn, StandIn


def network_name(fingerprint: str) -> str:
    """Return what the hub calls a ControlNet."""
    return f"{PAIRED}{fingerprint}"


def control_stand_in(own: Any, marks: Sequence[str], *, run: Run) -> StandIn:
    """Return the stand-in for what a pipeline has as its `controlnet`.

    Args:
        own: A ControlNet, or a network of several.
        marks: Their fingerprints.
        run: The run of the job.
    """
    if len(marks) == 1:
        return ControlStandIn(own, name=network_name(marks[0]), run=run)
    nets = [
        ControlStandIn(net, name=network_name(mark), run=run)
        for net, mark in zip(own.nets, marks, strict=True)
    ]
    return MultiControlStandIn(own, nets)


class ControlStandIn(NetworkStandIn):
    """A ControlNet: calls wait for the hub."""

    def __call__(
        self, *args: Any, conditioning_scale: float = 1.0, **kwargs: Any
    ) -> Any:
        """Return the answer, times the scale."""
        # With `guess_mode`, each layer has a scale that depends on the job's.
        if self._run.is_alone or kwargs.get("guess_mode"):
            kwargs["conditioning_scale"] = conditioning_scale
            return super().__call__(*args, **kwargs)
        answer = super().__call__(*args, conditioning_scale=1.0, **kwargs)
        return pytree.tree_map(lambda leaf: _scaled(leaf, conditioning_scale), answer)


class MultiControlStandIn(StandIn):
    """Several ControlNets: the network of all calls each, and adds the answers."""

    def __init__(self, own: Any, nets: Sequence[ControlStandIn]) -> None:
        """Set the network of all, and the stand-ins for each."""
        super().__init__(own)
        self.__dict__["nets"] = nets

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the sum of the answers, as the network of all computes it."""
        return type(self._own).forward(self, *args, **kwargs)


def _scaled(leaf: Any, scale: float) -> Any:
    return leaf * scale if isinstance(leaf, torch.Tensor) else leaf
