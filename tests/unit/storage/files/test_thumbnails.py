"""Thumbnails: made once, never shown of an earlier image, and not missed when lost."""

import io
import logging
import os
import threading
from pathlib import Path

import pytest
from PIL import Image

from storage.errors import ImageStoreError
from storage.files import disk, thumbnails
from storage.files.images import ImageFolder, relative_path
from storage.files.thumbnails import encode_thumbnail, find_or_make, thumbnail_path
from storage.host.log_rate import RateLimit
from tests.builders import save_image

KEY = "ab" + "cd" + "0" * 28
HOUR_NS = 3600 * 10**9


@pytest.fixture(autouse=True)
def _a_minute_without_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (disk, thumbnails):
        monkeypatch.setattr(module.log, "filters", [RateLimit()])


def picture(colour: str, width: int = 512, height: int = 384) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def save(folder: Path, image: Image.Image) -> Path:
    """Save as a worker does; what was saved before becomes an hour older."""
    for path in (folder / relative_path(KEY), thumbnail_path(folder, KEY)):
        if path.exists():
            written_ns = path.stat().st_mtime_ns - HOUR_NS
            os.utime(path, ns=(written_ns, written_ns))
    return save_image(ImageFolder(folder), KEY, png(image), encode_thumbnail(image))


def save_without(folder: Path, image: Image.Image) -> Path:
    """Save as a worker of an earlier version did."""
    return save_image(ImageFolder(folder), KEY, png(image))


def colour_of(path: Path) -> str:
    """Return the name of the strongest of the three channels."""
    with Image.open(path) as image:
        pixel = image.convert("RGB").resize((1, 1)).tobytes()
    return ("red", "lime", "blue")[max(range(3), key=lambda channel: pixel[channel])]


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.*")}


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 512), (256, 256)),
        ((1216, 832), (256, 175)),
        ((257, 64), (256, 64)),
        ((64, 4096), (4, 256)),
        ((4096, 2), (256, 1)),
    ],
)
def test_the_longer_side_of_a_thumbnail_has_256_pixels(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    content = encode_thumbnail(picture("red", *size))
    assert content
    with Image.open(io.BytesIO(content), formats=["WEBP"]) as small:
        assert small.size == expected


@pytest.mark.parametrize("size", [(256, 256), (64, 256), (1, 1)])
def test_a_small_image_is_its_own_thumbnail(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    assert encode_thumbnail(picture("red", *size)) is None
    path = save(tmp_path, picture("red", *size))
    assert find_or_make(tmp_path, KEY) == path
    assert files_below(tmp_path) == {relative_path(KEY)}


def test_the_thumbnail_that_was_saved_with_its_image_is_found(tmp_path: Path) -> None:
    save(tmp_path, picture("blue"))
    before = thumbnail_path(tmp_path, KEY).stat()
    path = find_or_make(tmp_path, KEY)
    assert path == tmp_path / "ab" / "cd" / f"{KEY}.webp"
    assert path.stat().st_ino == before.st_ino
    assert colour_of(path) == "blue"


def test_a_missing_thumbnail_is_made_once(tmp_path: Path) -> None:
    save_without(tmp_path, picture("lime"))
    path = find_or_make(tmp_path, KEY)
    first = path.stat()
    assert colour_of(path) == "lime"
    assert find_or_make(tmp_path, KEY).stat().st_ino == first.st_ino
    assert files_below(tmp_path) == {relative_path(KEY), f"ab/cd/{KEY}.webp"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content[:8],
        lambda content: bytes(len(content)),
    ],
    ids=["empty", "cut short", "a stub", "zeros"],
)
def test_a_damaged_thumbnail_is_made_again(tmp_path: Path, damage) -> None:
    image = save(tmp_path, picture("lime"))
    path, seen = thumbnail_path(tmp_path, KEY), image.stat()
    path.write_bytes(damage(path.read_bytes()))
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert find_or_make(tmp_path, KEY) == path
    assert colour_of(path) == "lime"


def test_the_thumbnail_of_an_earlier_image_is_never_shown(tmp_path: Path) -> None:
    save(tmp_path, picture("red"))
    # As if the worker was killed before it wrote the thumbnail.
    os.utime(tmp_path / relative_path(KEY), ns=(0, 0))
    os.utime(thumbnail_path(tmp_path, KEY), ns=(0, 0))
    save_without(tmp_path, picture("blue"))
    assert colour_of(thumbnail_path(tmp_path, KEY)) == "red"
    assert colour_of(find_or_make(tmp_path, KEY)) == "blue"


def test_a_thumbnail_that_was_made_while_its_image_was_replaced_is_not_shown(
    tmp_path: Path,
) -> None:
    earlier = save(tmp_path, picture("red")).stat().st_mtime_ns - HOUR_NS
    late = encode_thumbnail(picture("red"))
    path = save(tmp_path, picture("blue"))
    assert late
    disk.write_thumbnail(path, late, written_ns=earlier)
    assert colour_of(find_or_make(tmp_path, KEY)) == "blue"


def test_an_older_image_that_came_back_gets_a_thumbnail_of_its_own(
    tmp_path: Path,
) -> None:
    save(tmp_path, picture("red"))
    path = save_without(tmp_path, picture("blue"))
    os.utime(path, ns=(HOUR_NS, HOUR_NS))
    assert colour_of(find_or_make(tmp_path, KEY)) == "blue"


def test_many_may_make_the_same_thumbnail_at_once(tmp_path: Path) -> None:
    save_without(tmp_path, picture("blue"))
    begin, seen = threading.Barrier(8), []

    def look() -> None:
        begin.wait()
        seen.append(colour_of(find_or_make(tmp_path, KEY)))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["blue"] * 8
    assert files_below(tmp_path) == {relative_path(KEY), f"ab/cd/{KEY}.webp"}


def test_an_image_that_is_gone_is_an_error_though_its_thumbnail_is_there(
    tmp_path: Path,
) -> None:
    path = save(tmp_path, picture("red"))
    path.unlink()
    with pytest.raises(ImageStoreError) as caught:
        find_or_make(tmp_path, KEY)
    assert str(caught.value) == (
        f"An image must be a readable file, but {path} gives: No such file or "
        "directory; is NIGHTSWEEP_IMAGES where the workers write? "
        "`nightsweep verify` finds what is lost."
    )


@pytest.mark.parametrize(
    "damage",
    [lambda content: b"", lambda content: content[:200], lambda content: content[60:]],
    ids=["empty", "cut short", "without its head"],
)
def test_a_damaged_image_has_no_thumbnail(tmp_path: Path, damage) -> None:
    path = save_without(tmp_path, Image.effect_noise((512, 512), 50).convert("RGB"))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ImageStoreError, match="must be a readable file"):
        find_or_make(tmp_path, KEY)
    assert files_below(tmp_path) == {relative_path(KEY)}


def test_what_is_no_key_is_no_thumbnail(tmp_path: Path) -> None:
    for act in (thumbnail_path, find_or_make):
        with pytest.raises(ValueError, match="a key must be 32 hex digits, got"):
            act(tmp_path, "../../etc/passwd")


def test_an_image_whose_thumbnail_cannot_be_written_is_shown_in_full(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    thumbnail_path(tmp_path, KEY).mkdir(parents=True)
    path = save_without(tmp_path, picture("red"))
    for _ in range(3):
        assert find_or_make(tmp_path, KEY) == path
    assert [record.getMessage() for record in caplog.records] == [
        f"Thumbnails cannot be written: {thumbnail_path(tmp_path, KEY)} gives: Is a "
        "directory; free some disk space. They are made again when somebody looks at "
        "them."
    ]
    assert files_below(tmp_path) == {relative_path(KEY), f"ab/cd/{KEY}.webp"}


def test_an_image_is_saved_though_its_thumbnail_cannot_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    thumbnail_path(tmp_path, KEY).mkdir(parents=True)
    path = save(tmp_path, picture("red"))
    assert path.read_bytes() == png(picture("red"))
    assert [record.action for record in caplog.records] == ["thumbnail_failed"]
    assert not list(path.parent.glob(".*"))


def test_an_image_for_which_pillow_lacks_memory_has_no_thumbnail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise MemoryError

    path = save_without(tmp_path, picture("red"))
    monkeypatch.setattr(Image.Image, "resize", fail)
    assert encode_thumbnail(picture("red")) is None
    assert find_or_make(tmp_path, KEY) == path
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
