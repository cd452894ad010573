"""The log of a run's workers: of its own as long as they live, appended to, rotated."""

import signal
import subprocess
from pathlib import Path

import pytest

from producer.running import local_workers
from producer.running.local_workers import LocalWorkers, _open_log
from storage.errors import UsageError
from storage.settings import read_settings


def test_each_run_at_work_has_a_log_of_its_own(tmp_path: Path) -> None:
    with _open_log(tmp_path) as first, _open_log(tmp_path) as second:
        assert Path(first.name) == tmp_path / "supervisor.log"
        assert Path(second.name) == tmp_path / "supervisor-2.log"
        first.write(b"one\n")
    with _open_log(tmp_path) as third:
        assert third.name == first.name
        assert third.tell() == 4
        third.write(b"two\n")
    assert (tmp_path / "supervisor.log").read_text() == "one\ntwo\n"


def test_a_log_is_taken_as_long_as_a_process_writes_it(tmp_path: Path) -> None:
    with _open_log(tmp_path) as log:
        writer = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stderr=log)
    with writer:
        with _open_log(tmp_path) as other:
            assert Path(other.name).name == "supervisor-2.log"
        writer.kill()
    with _open_log(tmp_path) as other:
        assert Path(other.name).name == "supervisor.log"


def test_a_log_that_is_large_is_kept_and_another_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_workers, "RUN_LOG_BYTES", 4)
    for words in (b"old\n", b"new\n"):
        with _open_log(tmp_path) as log:
            assert log.tell() == 0
            log.write(words)
    assert (tmp_path / "supervisor.log").read_text() == "new\n"
    assert (tmp_path / "supervisor.log.1").read_text() == "old\n"


def test_a_log_that_cannot_be_written_is_told_of_and_nothing_is_left_behind(
    tmp_path: Path,
) -> None:
    (tmp_path / "logs" / "supervisor.log").mkdir(parents=True)
    settings = read_settings({"NIGHTSWEEP_HOME": str(tmp_path)})
    before = signal.getsignal(signal.SIGTERM)
    with (
        pytest.raises(UsageError, match=r"supervisor\.log \(Is a directory\); remove"),
        LocalWorkers(settings, {}).at_work(),
    ):
        pass
    assert signal.getsignal(signal.SIGTERM) is before
