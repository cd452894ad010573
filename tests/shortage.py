"""A batch that is wider than the memory that there is, however much a device has."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from storage.job import Job
from tests.batches import make_job
from tests.work import Basket, Notes
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

    How much a batch takes is measured first, since the decoder may take more for one
    image than the network for many: only from some width on does a wide one take more
    than a narrow one.

    Args:
        painter: What paints.
        notes: Its widths.
        peak_of: Gives the most bytes that were in use while it painted.
        limited: Lets it have so many bytes in use.
        changes: Of the jobs.
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
    basket = Basket(*jobs)
    painter.paint(basket)
    basket.fetch()
    assert not basket.waiting
    assert not basket.in_hand
    assert not basket.failures
    return basket
