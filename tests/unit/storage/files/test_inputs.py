"""Input images are read as diffusers reads them, and kept by their content."""

from pathlib import Path

import pytest
from PIL import Image

from storage.errors import JobError, UsageError
from storage.files.inputs import InputFolder, digest_of, read_image, resized


def make_picture(size: tuple[int, int] = (12, 8)) -> Image.Image:
    return Image.merge("RGB", [Image.linear_gradient("L").resize(size)] * 3)


def test_the_same_picture_has_one_digest_in_every_format(tmp_path: Path) -> None:
    picture = make_picture()
    for name in ("a.png", "b.bmp", "c.tiff"):
        picture.save(tmp_path / name)
    found = {digest_of(read_image(tmp_path / n)) for n in ("a.png", "b.bmp", "c.tiff")}
    assert found == {digest_of(picture)}


def test_pictures_of_equal_bytes_and_other_shapes_differ() -> None:
    assert digest_of(Image.new("RGB", (4, 2))) != digest_of(Image.new("RGB", (2, 4)))


def test_a_photo_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    make_picture().save(tmp_path / "a.png", exif=exif)
    assert read_image(tmp_path / "a.png").size == (8, 12)


@pytest.mark.parametrize("mode", ["P", "L", "LA", "RGBA", "1", "CMYK"])
def test_pictures_of_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    file = tmp_path / "a.tiff"
    make_picture().convert(mode).save(file)
    assert read_image(file).mode == "RGB"


def test_a_picture_of_16_bits_is_refused(tmp_path: Path) -> None:
    Image.new("I;16", (4, 4)).save(tmp_path / "deep.png")
    with pytest.raises(UsageError, match=r"8 bits a channel, got mode I;16 .* convert"):
        read_image(tmp_path / "deep.png")


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(UsageError, match=r"picture that Pillow reads, but .*a\.png"):
        read_image(tmp_path / "a.png")


def test_a_copy_is_written_once_and_read_back(tmp_path: Path) -> None:
    folder, picture = InputFolder(tmp_path), make_picture()
    digest = folder.save(picture)
    written = folder.path(digest).stat()
    assert folder.save(picture) == digest
    assert folder.path(digest).stat() == written
    assert folder.read(digest).tobytes() == picture.tobytes()
    assert [each.name for each in (tmp_path / "inputs").iterdir()] == [f"{digest}.png"]


def test_a_copy_that_was_damaged_is_written_anew(tmp_path: Path) -> None:
    folder, picture = InputFolder(tmp_path), make_picture()
    digest = folder.save(picture)
    Image.new("RGB", (12, 8)).save(folder.path(digest))
    assert folder.fault(digest) == "the pixels differ"
    folder.save(picture)
    assert folder.fault(digest) is None


def test_a_copy_that_is_cut_short_is_never_used(tmp_path: Path) -> None:
    folder = InputFolder(tmp_path)
    digest = folder.save(make_picture((64, 64)))
    folder.path(digest).write_bytes(folder.path(digest).read_bytes()[:-40])
    assert folder.fault(digest) == "it cannot be decoded"
    with pytest.raises(JobError, match=r"it cannot be decoded; submit the sweep again"):
        folder.read(digest)


def test_a_copy_that_is_missing_fails_the_job(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"there is no file; submit the sweep again"):
        InputFolder(tmp_path).read("0" * 64)


@pytest.mark.parametrize("how", ["crop", "pad", "stretch"])
def test_an_image_gets_the_size_of_the_job(how: str) -> None:
    assert resized(make_picture((30, 10)), (16, 24), how).size == (16, 24)


def test_without_resize_another_size_is_refused() -> None:
    with pytest.raises(JobError, match=r"the 16x24 pixels of the job, got 12x8; set"):
        resized(make_picture(), (16, 24), "")
