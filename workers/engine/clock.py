"""Moments of a device's time, taken without waiting for the device."""

import time
from typing import Any

import torch

#: Seconds of `time.perf_counter` on a CPU, an event in the stream of a GPU.
Moment = Any


class Clock:
    """Takes moments of a device's time.

    A GPU works asynchronously, and asking it for the time would mean waiting for it.
    So a moment is an event in its stream, and seconds are read later.
    """

    def __init__(self, device: str) -> None:
        """Set the device: `cpu`, `cuda:0` and so on."""
        self.on_gpu = device.startswith("cuda")
        self._device = device

    def now(self) -> Moment:
        """Return the moment at which the work queued so far is done."""
        if not self.on_gpu:
            return time.perf_counter()
        event: Any = torch.cuda.Event(  # type: ignore[no-untyped-call]
            enable_timing=True,
            blocking=True,  # a thread that waits sleeps
        )
        event.record(torch.cuda.current_stream(self._device))
        return event

    def wait(self, moment: Moment) -> None:
        """Wait until the device has reached a moment."""
        if self.on_gpu:
            moment.synchronize()

    def seconds(self, start: Moment, end: Moment) -> float:
        """Return the seconds between two moments, waiting for the second one."""
        if not self.on_gpu:
            return float(end - start)
        self.wait(end)
        return float(start.elapsed_time(end)) / 1000
