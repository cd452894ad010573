"""Image files: there whole or not at all, and never outside their folder."""

import threading
from pathlib import Path

import pytest

from storage.errors import ImageStoreError
from storage.files.images import ImageFolder, relative_path
from tests.builders import save_image

KEY = "ab" + "cd" + "0" * 28


def files_below(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*.*")]


def test_an_image_is_where_its_key_says(tmp_path: Path) -> None:
    path = save_image(ImageFolder(tmp_path), KEY, b"png")
    assert path == tmp_path / "ab" / "cd" / f"{KEY}.png"
    assert path == tmp_path / relative_path(KEY)
    assert path.read_bytes() == b"png"


def test_saving_again_replaces_the_file_and_leaves_no_other(tmp_path: Path) -> None:
    folder = ImageFolder(tmp_path)
    folder.save(KEY, b"one")
    folder.save(KEY, b"other")
    assert folder.path(KEY).read_bytes() == b"other"
    assert files_below(tmp_path) == [relative_path(KEY)]


@pytest.mark.parametrize(
    "key", ["", "../../etc/passwd", KEY.upper(), KEY[:-1], KEY + "0", KEY + "\n"]
)
def test_what_is_no_key_is_no_path(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="a key must be 32 hex digits, got"):
        ImageFolder(tmp_path).save(key, b"png")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_never_sees_half_an_image(tmp_path: Path) -> None:
    folder = ImageFolder(tmp_path)
    contents = [bytes([n]) * 300_000 for n in range(2)]
    folder.save(KEY, contents[0])
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            for content in contents:
                folder.save(KEY, content)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        seen = [folder.path(KEY).read_bytes() in contents for _ in range(200)]
    finally:
        ended.set()
        for writer in writers:
            writer.join()
    assert all(seen)
    assert files_below(tmp_path) == [relative_path(KEY)]


def test_a_folder_that_cannot_be_made_is_an_error_with_a_way_out(
    tmp_path: Path,
) -> None:
    (tmp_path / "ab").write_text("in the way")
    with pytest.raises(ImageStoreError) as caught:
        ImageFolder(tmp_path).save(KEY, b"png")
    assert str(caught.value) == (
        f"Images must be writable, but {tmp_path}/ab/cd/{KEY}.png gives: "
        "Not a directory; free some disk space or set NIGHTSWEEP_IMAGES to another "
        "folder."
    )
    assert caught.value.retryable


def test_a_write_that_fails_leaves_no_file_behind(tmp_path: Path) -> None:
    (tmp_path / relative_path(KEY)).mkdir(parents=True)
    with pytest.raises(ImageStoreError, match="Is a directory"):
        ImageFolder(tmp_path).save(KEY, b"png")
    assert list((tmp_path / "ab" / "cd").iterdir()) == [tmp_path / relative_path(KEY)]
