"""Files that are replaced as a whole, or not at all."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage.host.atomic_writes import replacing

KILLED = """
import os, signal, sys
from pathlib import Path
from storage.host.atomic_writes import replacing
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


def test_the_next_to_write_a_file_removes_what_a_kill_left(tmp_path: Path) -> None:
    file = tmp_path / "sheet[1].png"
    words = [sys.executable, "-c", KILLED, str(file)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    (left,) = names(tmp_path)
    with replacing(file) as fresh:
        assert names(tmp_path) == []
        fresh.write_text("new")
    assert left.startswith(".sheet[1].png.")
    assert names(tmp_path) == ["sheet[1].png"]


def test_what_the_living_and_other_machines_write_stays(tmp_path: Path) -> None:
    file = tmp_path / "sheet.png"
    others = {
        ".sheet.png.night3.1f2e+4711+5025.tmp",
        ".sheet.png.tmp",
        ".sheet.png.1.tmp",
    }
    for name in others:
        (tmp_path / name).write_text("theirs")
    with replacing(file) as fresh:
        fresh.write_text("new")
        with replacing(file.with_name("other.png")) as other:
            other.write_text("new")
        assert fresh.exists()
    assert set(names(tmp_path)) == {"sheet.png", "other.png", *others}
