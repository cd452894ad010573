"""Exports that are read: what is damaged is told, whatever `zipfile` raises for it."""

import zipfile
from pathlib import Path

import pytest

from storage.errors import UsageError
from storage.sharing.sources import opened

#: A name with a letter that zip files note as UTF-8.
NAMES = ("manifest.jsonl", "images/ü.png")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a zip file with a manifest that is compressed."""
    file = tmp_path / "out.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in NAMES:
            archive.writestr(name, "a line\n" * 50)
    return file


def change(file: Path, places: list[int], value: int) -> None:
    content = bytearray(file.read_bytes())
    for place in places:
        content[place] = value
    file.write_bytes(content)


def read(file: Path) -> list[bytes]:
    with opened(file) as source:
        return list(source.lines())


def test_a_manifest_is_read_line_by_line(file: Path) -> None:
    assert read(file) == [b"a line\n"] * 50


def test_damaged_bytes_of_a_compressed_manifest_are_told(file: Path) -> None:
    data = file.read_bytes().index(b"manifest.jsonl") + len("manifest.jsonl")
    change(file, [data], 0xFF)  # a kind of block that there is not
    with pytest.raises(UsageError, match=r"out\.zip gives: Error -3"):
        read(file)


def test_a_manifest_that_is_encrypted_is_told(file: Path) -> None:
    content = file.read_bytes()
    flags = [content.index(b"PK\x03\x04") + 6, content.index(b"PK\x01\x02") + 8]
    change(file, flags, 1)
    with pytest.raises(UsageError, match=r"'manifest\.jsonl' is encrypted"):
        read(file)


def test_a_damaged_name_is_told(file: Path) -> None:
    change(file, [file.read_bytes().rindex("ü".encode())], 0xFF)
    with pytest.raises(UsageError, match=r"out\.zip is neither"):
        read(file)
