"""The append-only file of a server: found, set aside, put back."""

from collections.abc import Callable
from pathlib import Path

import pytest

from storage.broker.append_only import is_hidden_from, is_there, put_back, set_aside
from storage.broker.servers import Server

OLD = Server(path=Path("redis-server"), name="Redis", version=(6, 2, 14))
NEW = Server(path=Path("redis-server"), name="Redis", version=(7, 0, 15))


def leave_file(folder: Path, text: str) -> Path:
    file = folder / "appendonly.aof"
    file.write_text(text)
    return file


def leave_folder(folder: Path, text: str) -> Path:
    (folder / "appendonlydir").mkdir()
    file = folder / "appendonlydir" / "appendonly.aof.1.incr.aof"
    file.write_text(text)
    return file


@pytest.mark.parametrize("leave", [leave_file, leave_folder])
def test_a_queue_is_set_aside_and_put_back_over_that_of_a_failed_start(
    tmp_path: Path, leave: Callable[[Path, str], Path]
) -> None:
    file = leave(tmp_path, "queue")
    assert is_there(tmp_path)
    aside = set_aside(tmp_path)
    assert not is_there(tmp_path)
    assert is_there(aside)
    leave(tmp_path, "nothing")
    put_back(tmp_path)
    assert file.read_text() == "queue"
    assert not is_there(aside)


def test_only_a_server_before_version_7_overlooks_the_folder(tmp_path: Path) -> None:
    leave_file(tmp_path, "queue")
    assert not is_hidden_from(OLD, tmp_path)
    leave_folder(tmp_path, "queue")
    assert is_hidden_from(OLD, tmp_path)
    assert not is_hidden_from(NEW, tmp_path)
