"""A check with a batch that does not fit into memory, for devices of any size."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from storage.job import Job
from tests.batches import make_job
from tests.work import Basket, Notes, run
from workers.engine.torch_painter import TorchPainter

#: Wider batches are not tried.
MOST_WIDTH = 1024


def check_a_batch_is_halved(
    painter: TorchPainter,
    notes: Notes,
    *,
    peak_of: Callable[[Basket], int],
    limited: Callable[[int], AbstractContextManager[object]],
    **changes: object,
) -> None:
    """Check that a batch that does not fit is narrowed until it does.

    First it finds a width that takes twice the memory of one image. Narrow batches do
    not: the decoder may need more for one image than the network for many.

    Args:
        painter: The painter to check.
        notes: Its widths.
        peak_of: Returns the most bytes that were in use while a basket was painted.
        limited: Limits the bytes in use within a block.
        changes: Fields of the jobs.
    """

    def paint(width: int) -> Basket:
        notes.width = width
        return _run(painter, [make_job(seed=n, **changes) for n in range(width)])

    alone, width = peak_of(paint(1)), 2
    while (most := peak_of(paint(width))) < 2 * alone:
        assert width < MOST_WIDTH, f"{width} rows take {most} bytes, one takes {alone}"
        width *= 2
    with limited((alone + most) // 2):
        basket = paint(width)
    assert len(basket.paintings) == width
    assert notes.noted
    assert {each["reason"] for each in notes.noted} == {"memory"}
    assert notes.width is not None
    assert 1 <= notes.width < width
    widths = {each.batch_width for each in basket.paintings.values()}
    assert notes.width in widths
    assert max(widths) < width


def _run(painter: TorchPainter, jobs: list[Job]) -> Basket:
    basket = run(painter, jobs)
    assert not basket.failures
    return basket
