"""Files that are replaced as a whole, or not at all."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage.writing import replacing

KILLED = """
import os, signal, sys
from pathlib import Path
from storage.writing import replacing
with replacing(Path(sys.argv[1])) as fresh:
    fresh.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def write_half(fresh: Path) -> None:
    fresh.write_text("half")
    (fresh / "more").write_text("there is no such folder")


def names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def test_a_file_is_replaced_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "sheet.png"
    file.write_text("old")
    with replacing(file) as fresh:
        fresh.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert names(tmp_path) == ["sheet.png"]


def test_an_error_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "sheet.png"
    file.write_text("old")
    with pytest.raises(NotADirectoryError), replacing(file) as fresh:
        write_half(fresh)
    assert file.read_text() == "old"
    assert names(tmp_path) == ["sheet.png"]


def test_a_kill_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "sheet.png"
    file.write_text("old")
    words = [sys.executable, "-c", KILLED, str(file)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert file.read_text() == "old"
