"""ControlNets of a loaded pipeline: loaded for the jobs that need them.

Each is a network of its own in the hub, so several of them, and jobs with other control
images and scales, share calls as all jobs do.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch

from storage.catalogue.control_pipelines import (
    CONTROL_PIPELINES,
    Control,
    controls_of,
)
from storage.errors import ModelError
from storage.job import Job, Model
from storage.models.control_nets import locate_control_net
from storage.models.fingerprint import Digests, Seal, verify
from storage.models.hub_cache import cached_bytes
from storage.models.located import Located
from workers.devices.memory import total_bytes
from workers.engine.loading import UNLOADABLE
from workers.engine.starter import Starter
from workers.model_lookup import find_part
from workers.painting import Places
from workers.vitals import phases

#: Share of the device's memory that ControlNets may take besides those in use.
SHARE = 1 / 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A ControlNet that is loaded.

    Attributes:
        net: The network, on the device.
        size_bytes: Size of its files.
        seal: Knows whether they have changed; None on a GPU, which has a copy of the
            weights. On a CPU, the weights are the files, mapped into memory.
    """

    net: Any
    size_bytes: int
    seal: Seal | None

    @property
    def is_whole(self) -> bool:
        """Whether its weights are as they were loaded."""
        return self.seal is None or self.seal.is_whole


class ControlNets:
    """The ControlNets of one pipeline; those of recent groups stay loaded."""

    def __init__(
        self,
        starter: Starter,
        *,
        digests: Path,
        places: Places | None,
        make_room: Callable[[int], object] = lambda _bytes: None,
        most_bytes: int | None = None,
    ) -> None:
        """Begin with none.

        Args:
            starter: Has the pipeline, and takes the networks.
            digests: File that remembers digests of weights.
            places: Knows where they may be; None to try only the job's own places.
            make_room: Frees as many bytes on the device if it can.
            most_bytes: Most bytes of those that are not in use; None for `SHARE` of
                the memory.
        """
        self._starter = starter
        self._digests = digests
        self._places = places
        self._make_room = make_room
        if most_bytes is None:
            most_bytes = int(SHARE * total_bytes(str(starter.device)))
        self._most = most_bytes
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._in_use: frozenset[str] = frozenset()

    def put(self, job: Job, *, dtype: torch.dtype) -> None:
        """Load the ControlNets of a job, and of all jobs of its group.

        Raises:
            ModelError: One cannot be found or loaded.
            FingerprintError: Its files are not the planned ones.
        """
        controls = controls_of(job.extras)
        self._in_use = frozenset(each.fingerprint for each in controls)
        for each in controls:
            self._hold(job, each, dtype)
        self._drop_beyond(self._most)

    def drop_unused(self) -> bool:
        """Drop those that are not in use; return whether there were any."""
        count = len(self._held)
        self._drop_beyond(0)
        return len(self._held) < count

    def check(self) -> None:
        """Refuse those in use if their files were changed or removed.

        Raises:
            ModelError: They were.
        """
        for mark in self._in_use:
            if seal := self._held[mark].seal:
                seal.check()

    def _hold(self, job: Job, control: Control, dtype: torch.dtype) -> None:
        mark = control.fingerprint
        held = self._held.get(mark)
        if held is None or not held.is_whole:
            self._drop(mark)
            self._held[mark] = held = self._load(job, mark, dtype)
            self._starter.add_control_net(mark, held.net)
        self._held.move_to_end(mark)

    def _load(self, job: Job, mark: str, dtype: torch.dtype) -> Held:
        place, found, seal = find_part(job, mark, self._find, places=self._places)
        kind = CONTROL_PIPELINES[job.model.pipeline or ""].net
        device = self._starter.device
        with phases.during(phases.LOADING, place.name):
            self._make_room(found.size_bytes)
            net = _load(kind, place, found, dtype=dtype).to(device)
            seal.check()
        is_mapped = device.type == "cpu"
        return Held(
            net=net, size_bytes=found.size_bytes, seal=seal if is_mapped else None
        )

    def _find(self, place: Model) -> tuple[Model, Located, Seal]:
        """Fetch what is missing of a ControlNet, and check that it is the planned one.

        Raises:
            ModelError: It is not there.
            FingerprintError: Another one is there.
        """
        name = place.name
        with phases.during(
            phases.DOWNLOADING, name, measure=lambda: cached_bytes(name)
        ):
            found = locate_control_net(place, download=True)
        with phases.during(phases.LOADING, name):
            seal = Seal(found)
            verify(found, place.fingerprint, digests=Digests(self._digests))
        return place, found, seal

    def _drop_beyond(self, most_bytes: int) -> None:
        spare = [mark for mark in self._held if mark not in self._in_use]
        while spare and sum(self._held[mark].size_bytes for mark in spare) > most_bytes:
            self._drop(spare.pop(0))

    def _drop(self, mark: str) -> None:
        if self._held.pop(mark, None):
            self._starter.drop_control_net(mark)


def _load(kind: str, place: Model, found: Located, *, dtype: torch.dtype) -> Any:
    try:
        net = getattr(diffusers, kind).from_pretrained(
            found.folder,
            dtype=dtype,
            variant=place.variant,
            use_safetensors=True,
            local_files_only=True,
        )
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except UNLOADABLE as exc:
        msg = (
            f"a ControlNet must load with diffusers, but {found.name} does not: {exc};"
            " check its files, or name another one"
        )
        raise ModelError(msg) from exc
    return net.eval()
