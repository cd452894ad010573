"""Workers that are killed between an image, its thumbnail and its row; a full disk."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from storage.files.thumbnails import find_or_make, thumbnail_path
from tests.faults.disk import fill, mounted
from tests.faults.night import Night
from tests.faults.test_disk import is_waiting
from tests.processes import wait_until
from tests.stand_in import let_go

LARGE_PX = 320
BLOCK = 4096


def colour_of(path: Path) -> str:
    with Image.open(path) as image:
        pixel = image.convert("RGB").resize((1, 1)).tobytes()
    return ("red", "lime", "blue")[max(range(3), key=lambda channel: pixel[channel])]


def files_of(night: Night) -> tuple[Path, Path]:
    """Return where the one image is, and where its thumbnail belongs."""
    (image,) = night.settings.images.rglob("*.png")
    return image, thumbnail_path(night.settings.images, image.stem)


def test_a_thumbnail_is_never_that_of_an_attempt_whose_worker_was_killed(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_PAINTER", "tests.faults.mortal_painter:make_painter")
    (night.settings.home / "moments").write_text("after\nbefore")
    night.submit(count=1, side_px=LARGE_PX)
    with night.working():
        wait_until(lambda: night.began() == 3)
        image, thumbnail = files_of(night)
        # The first attempt left both, the second only its image.
        assert (colour_of(image), colour_of(thumbnail)) == ("lime", "red")
        assert night.states() == {"leased": 1}
        assert colour_of(find_or_make(night.settings.images, image.stem)) == "lime"
        let_go()
        night.wait_for(1)
        night.check(done=1)
    assert colour_of(image) == colour_of(thumbnail) == "blue"
    assert find_or_make(night.settings.images, image.stem) == thumbnail
    assert "1 image checked, nothing is wrong." in night.run("verify", "--full")


@pytest.fixture
def disk(night: Night) -> Iterator[Path]:
    """Give the image folder as a disk of its own, of 2 MB."""
    with mounted(night.settings.images, megabytes=2):
        yield night.settings.images


@pytest.mark.long
def test_an_image_that_just_fits_is_stored_without_its_thumbnail(
    night: Night, disk: Path
) -> None:
    filler = disk / "filler"
    spec = night.spec(count=1, side_px=LARGE_PX)
    spec.write_text(spec.read_text().replace("limits: {", "limits: {min_free: 0 GB, "))
    night.run("submit", str(spec))
    fill(filler)
    with night.working():
        wait_until(lambda: is_waiting(night))
        # One block for the marker of the folder, one for the image.
        os.truncate(filler, filler.stat().st_size - 2 * BLOCK)
        night.wait_for(1)
        night.check(done=1)
    assert night.log().count("Thumbnails cannot be written") == 1
    image, thumbnail = files_of(night)
    assert find_or_make(disk, image.stem) == image
    filler.unlink()
    assert find_or_make(disk, image.stem) == thumbnail
