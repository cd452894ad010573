"""Log files: merged by time, and followed while they grow and are renamed."""

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from producer.running.log_files import Logs, find_logs
from storage.host.log_lines import LogLine, StampedLines, parse_line


def write(folder: Path, file: str, *seconds: int, more: str = "") -> None:
    """Append a line for each second; `more` follows the last one."""
    worker = file.partition(".")[0]
    with (folder / file).open("a") as log:
        for second in seconds:
            log.write(f"{line_at(second, worker)}\n")
        log.write(more)


def line_at(second: int, worker: str = "gpu0") -> LogLine:
    time = f"2026-11-28T22:13:{second:02}.000Z"
    return LogLine(time=time, level="INFO", worker=worker, message=f"at {second}")


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    """Yield the logs of all, of which nothing is read yet."""
    with closing(Logs(tmp_path)) as found:
        yield found


def read(logs: Logs) -> list[str]:
    return [line.message for line in logs.read()]


def test_what_is_written_can_be_read() -> None:
    line = LogLine(
        time="2026-11-28T22:13:05.123Z",
        level="WARNING",
        worker="gpu0",
        sweep="고양이",
        key="3f" * 16,
        message="Failed: no - dash \\n",
    )
    assert parse_line(str(line)) == line
    assert parse_line("    File 'x.py', line 3") is None
    assert (
        parse_line("2026-11-28 22:13:05,123 INFO workers.x: of older versions") is None
    )


def test_logs_are_merged_by_time_the_rotated_files_first(
    tmp_path: Path, logs: Logs
) -> None:
    write(tmp_path, "gpu0.log.2", 1)
    write(tmp_path, "gpu0.log.1", 3)
    write(tmp_path, "gpu0.log", 5)
    write(tmp_path, "gpu1.log", 2, 4, 6)
    write(tmp_path, "redis.conf", 9)
    assert find_logs(tmp_path) == ["gpu0", "gpu1"]
    assert read(logs) == [f"at {second}" for second in range(1, 7)]
    with closing(Logs(tmp_path, ["gpu1"])) as one:
        assert read(one) == ["at 2", "at 4", "at 6"]


def test_a_name_that_begins_like_another_is_another(tmp_path: Path) -> None:
    write(tmp_path, "run-a.log", 1)
    write(tmp_path, "run-a.b.log", 2)
    write(tmp_path, "run-a.log.1", 0)
    assert find_logs(tmp_path) == ["run-a", "run-a.b"]
    with closing(Logs(tmp_path, ["run-a"])) as one:
        assert read(one) == ["at 0", "at 1"]


def test_the_lines_of_a_traceback_belong_to_their_record(
    tmp_path: Path, logs: Logs
) -> None:
    write(tmp_path, "gpu0.log", 1, more="    Traceback:\n    ValueError\n")
    write(tmp_path, "gpu0.log", 2)
    assert read(logs) == ["at 1\n    Traceback:\n    ValueError", "at 2"]


def test_what_workers_say_on_standard_error_is_not_said_twice(
    tmp_path: Path, logs: Logs
) -> None:
    twice = "ERROR gpu0: no memory\n    Traceback:\n"
    write(tmp_path, "supervisor.log", 1, more=twice)
    write(tmp_path, "supervisor.log", 2)
    assert read(logs) == ["at 1", "at 2"]


@pytest.mark.parametrize("rotations", [1, 2])
def test_a_log_is_followed_through_rotations(
    tmp_path: Path, logs: Logs, rotations: int
) -> None:
    write(tmp_path, "gpu0.log", 1)
    assert read(logs) == ["at 1"]
    assert read(logs) == []
    write(tmp_path, "gpu0.log", 2)
    for number in range(rotations):
        for old in range(number, 0, -1):
            (tmp_path / f"gpu0.log.{old}").rename(tmp_path / f"gpu0.log.{old + 1}")
        (tmp_path / "gpu0.log").rename(tmp_path / "gpu0.log.1")
        write(tmp_path, "gpu0.log", 3 + number)
    assert read(logs) == [f"at {second}" for second in range(2, 3 + rotations)]
    write(tmp_path, "gpu0.log", 9)
    write(tmp_path, "gpu1.log", 8)  # a worker that is new
    assert read(logs) == ["at 8", "at 9"]


def test_what_a_removed_file_got_last_is_read(tmp_path: Path, logs: Logs) -> None:
    write(tmp_path, "gpu0.log", 1)
    assert read(logs) == ["at 1"]
    write(tmp_path, "gpu0.log", 2)
    (tmp_path / "gpu0.log").unlink()
    write(tmp_path, "gpu0.log", 3)
    assert read(logs) == ["at 2", "at 3"]


def test_a_line_is_read_when_it_is_whole(tmp_path: Path, logs: Logs) -> None:
    text = f"{line_at(1)}\n"
    log = tmp_path / "gpu0.log"
    log.write_text(text[:-9])
    assert read(logs) == []
    log.write_text(text)
    assert read(logs) == ["at 1"]


@pytest.mark.parametrize("as_json", [False, True])
def test_what_a_command_says_gets_a_time_and_a_level(*, as_json: bool) -> None:
    file = io.StringIO()
    stream = StampedLines(file, worker="run-night", sweep="night", as_json=as_json)
    for text in ("Waiting: no ", "disk\nGoing on.\n\nError: ", "no\nthe rest"):
        stream.write(text)
    found = [parse_line(line) for line in file.getvalue().splitlines()]
    assert [(line.level, line.message) for line in found if line] == [
        ("WARNING", "Waiting: no disk"),
        ("INFO", "Going on."),
        ("ERROR", "Error: no"),
    ]
    assert file.getvalue().startswith("{") is as_json
