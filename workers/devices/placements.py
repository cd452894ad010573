"""Which devices workers run on, decided before any of them starts."""

import itertools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from storage.errors import DeviceError, UsageError
from storage.host.gpus import has_nvidia
from storage.job import TORCH
from workers.devices.device_locks import DeviceLock, cpu_lock, gpu_lock
from workers.devices.gpu_probe import Gpu, ask_torch

#: A CPU worker per core, up to this many.
MOST_CPU_WORKERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What one worker process gets.

    Attributes:
        name: What people call the worker: `gpu0`, `cpu1`; a GPU by its number in
            nvidia-smi, or by its id where CUDA_VISIBLE_DEVICES has ids.
        device: `cpu`; `cuda:0`, counted among the visible GPUs; or `any` for all that
            the back end finds.
        visible: Value of CUDA_VISIBLE_DEVICES, or None to leave it alone.
        threads: Torch threads on a CPU.
        gpu: The device's name, for people.
        backend: What the worker paints with.
        lock: The right to serve it; None where nobody else does.
    """

    name: str
    device: str
    visible: str | None = None
    threads: int = 1
    gpu: str = "CPU"
    backend: str = TORCH
    lock: DeviceLock | None = None


def choose_placements(
    *,
    gpus: str | None = None,
    device: str | None = None,
    workers: int | None = None,
    backend: str = TORCH,
    locks: Path | None = None,
    joins: bool = False,
) -> list[Placement]:
    """Return the placements for `nightsweep worker` with these options.

    Args:
        gpus: `all`, or indices separated by commas; None for all GPUs.
        device: `cpu` to use no GPU.
        workers: Processes on a CPU; None for what measured best: one per core,
            with one thread each.
        backend: What the workers paint with. A process of another back end than torch
            has all devices that `gpus` and `device` leave it, so one is usual.
        locks: Folder for the locks of CPU workers; None for no locks. Free placements
            come first, and are taken.
        joins: Whether to wait if other workers have the whole CPU, instead of adding
            as many more as `workers` says.

    Raises:
        UsageError: The options contradict each other, or name an unknown GPU.
        DeviceError: Torch can use no GPU though there is one, or `gpus` asks for one;
            or a lock file cannot be opened.
    """
    if device == "cpu" and gpus:
        msg = "--gpus and --device cpu exclude each other; give one of them."
        raise UsageError(msg)
    if backend != TORCH:
        whole = _whole_machine(backend, gpus=gpus, device=device)
        found = _cpu_placements(workers or 1, kind=backend, locks=locks, joins=joins)
        return [replace(whole, name=each.name, lock=each.lock) for each in found]
    if device != "cpu" and (gpus or has_nvidia()):
        if workers is not None:
            msg = "--workers is for CPUs, one process serves one GPU; leave it out."
            raise UsageError(msg)
        return _gpu_placements(probe(), gpus or "all")
    return _cpu_placements(workers, locks=locks, joins=joins)


def _whole_machine(backend: str, *, gpus: str | None, device: str | None) -> Placement:
    """Return the placement of a process that finds its devices by itself."""
    if device == "cpu":
        return Placement(name="", device="cpu", visible="", backend=backend)
    visible = None if gpus in (None, "all") else gpus
    return Placement(name="", device="any", visible=visible, gpu="all", backend=backend)


def probe() -> list[Gpu]:
    """Return the GPUs that torch can use.

    Raises:
        DeviceError: There are none; the message says why.
    """
    found, reason = ask_torch()
    if not found:
        msg = (
            f"A GPU must be usable by torch, but this machine's is not: {reason}; "
            "install the torch wheel for its driver, or choose --device cpu."
        )
        raise DeviceError(msg)
    return found


def _gpu_placements(found: Sequence[Gpu], gpus: str) -> list[Placement]:
    visible = _visible(len(found))
    chosen = range(len(found)) if gpus == "all" else _indices(gpus, len(found))
    return [
        Placement(
            name=_gpu_name(visible[index]),
            device="cuda:0",
            visible=visible[index],
            gpu=found[index].name,
            lock=gpu_lock(found[index].uuid or visible[index]),
        )
        for index in chosen
    ]


def _gpu_name(visible: str) -> str:
    """Name the worker of a GPU uniquely on this machine.

    Commands with different CUDA_VISIBLE_DEVICES number the GPUs differently.
    """
    if visible.isdigit():
        return f"gpu{visible}"
    return re.sub(r"[^0-9a-z]+", "-", visible.lower())


def _visible(count: int) -> list[str]:
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed:
        return [part.strip() for part in listed.split(",")]
    return [str(index) for index in range(count)]


def _indices(gpus: str, count: int) -> list[int]:
    try:
        chosen = [int(part) for part in gpus.split(",")]
    except ValueError:
        chosen = [-1]
    if not all(0 <= index < count for index in chosen):
        msg = f"--gpus must be `all` or numbers 0 to {count - 1}, got {gpus!r}."
        raise UsageError(msg)
    return sorted(set(chosen))


def _cpu_placements(
    workers: int | None, *, kind: str = "cpu", locks: Path | None, joins: bool
) -> list[Placement]:
    cores = len(os.sched_getaffinity(0)) if _has_affinity() else os.cpu_count() or 1
    usual = min(cores, MOST_CPU_WORKERS)
    count = workers or usual

    def placement(number: int) -> Placement:
        name = f"{kind}{number}"
        lock = cpu_lock(locks, name) if locks else None
        return Placement(
            name=name, device="cpu", threads=max(1, cores // count), lock=lock
        )

    if locks is None:
        return [placement(number) for number in range(count)]
    if workers and not joins:
        return list(islice(filter(_is_free, map(placement, itertools.count())), count))
    most = max(count, usual) if kind == "cpu" else count
    every = [placement(number) for number in range(most)]
    free = list(islice(filter(_is_free, every), count))
    return [*free, *(one for one in every if one not in free)][:count]


def _is_free(placement: Placement) -> bool:
    """Take a placement if no other worker has it; return whether it is ours."""
    return placement.lock is None or placement.lock.take()


def _has_affinity() -> bool:
    return hasattr(os, "sched_getaffinity")  # Linux only
