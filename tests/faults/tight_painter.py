"""The real painter, in a process that may take little more memory for its first batch.

The kernel keeps the limit. It is lifted when a narrower batch is tried, as when another
process gave its memory back.
"""

import resource
from pathlib import Path
from typing import Any

from workers.engine import torch_painter
from workers.engine.batches import CPU_WIDTH
from workers.painting import Painter, Work

#: Bytes that the process may take beside what it has with the model loaded.
ROOM = 30_000_000


class TightPainter:
    """Paints as the real one does."""

    def __init__(self, painter: Painter) -> None:
        self._painter = painter

    def paint(self, work: Work) -> None:
        """Paint, in little memory."""
        self._painter.paint(_TightWork(work))  # type: ignore[arg-type]


class _TightWork:
    def __init__(self, work: Work) -> None:
        self._work = work

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)

    def expect(self, width: int) -> None:
        self._work.expect(width)
        most = _data_bytes() + ROOM if width == CPU_WIDTH else resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))


def _data_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = [line.split()[1] for line in lines if line.startswith("VmData:")]
    return 1024 * int(kilobytes)


def make_painter(device: str, **options: Any) -> TightPainter:
    """Make the painter, as `workers.process.main` asks for it."""
    return TightPainter(torch_painter.make_painter(device, **options))
