"""The share: what a worker claims ahead, and what it leaves to others."""

import pytest

from storage.errors import DeviceError
from workers.execution.fair_share import FairShare
from workers.vitals.recent import MOST_SURPRISES, Recent


class Measured(Recent):
    """A worker that makes so many images in a minute."""

    def __init__(self, images: int | None) -> None:
        super().__init__()
        self.images = images

    def made_within(self, seconds: float) -> int | None:
        return self.images and round(self.images * seconds / 60)


@pytest.mark.parametrize(("images", "ahead"), [(None, 16), (500, 16), (16, 16), (3, 3)])
def test_ready_is_a_width_or_what_is_made_in_a_minute(
    images: int | None, ahead: int
) -> None:
    assert FairShare(recent=Measured(images), width=16).ahead == ahead


@pytest.mark.parametrize(
    ("left", "held", "share"),
    [
        (1000, 32, 1000),  # enough for all
        (65, 0, 65),
        (64, 0, 32),
        (40, 0, 20),
        (41, 0, 21),
        (40, 10, 15),
        (10, 16, -3),
        (1, 0, 1),
        (0, 0, 0),
    ],
)
def test_near_the_end_a_worker_takes_its_fair_share(
    left: int, held: int, share: int
) -> None:
    two = FairShare(recent=Recent(), width=16, workers=2)
    assert two.of(left, held=held) == share


def test_a_worker_alone_takes_all() -> None:
    alone = FairShare(recent=Recent(), width=16)
    assert [alone.of(left, held=9) for left in (0, 1, 31)] == [0, 1, 31]


def test_the_tail_is_the_last_two_widths_of_a_worker() -> None:
    alone = FairShare(recent=Recent(), width=4)
    assert alone.is_tail(6, waiting=2)
    assert not alone.is_tail(7, waiting=2)
    two = FairShare(recent=Recent(), width=4, workers=2)
    assert two.is_tail(12, waiting=2)


def test_a_speed_is_unknown_until_an_image_is_made() -> None:
    recent = Recent()
    recent.begin()
    assert recent.made_within(60) is None
    recent.made_one()
    assert recent.made_within(1e-9) == 1


def test_a_row_of_surprises_is_the_devices_fault_and_an_image_ends_the_row() -> None:
    recent = Recent()
    for _ in range(MOST_SURPRISES - 1):
        recent.surprised_by("odd")
    recent.made_one()
    for _ in range(MOST_SURPRISES - 1):
        recent.surprised_by("odd")
    with pytest.raises(DeviceError, match="3 jobs in a row failed unexpectedly"):
        recent.surprised_by("odd")
