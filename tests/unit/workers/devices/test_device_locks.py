"""One worker per placement, whoever starts it."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.errors import DeviceError
from workers.devices import device_locks
from workers.devices.device_locks import cpu_lock, gpu_lock

ROOT = Path(device_locks.__file__).parents[2]
HOLD = """
import sys, pathlib
from workers.devices import device_locks
device_locks.FOLDER = pathlib.Path(sys.argv[1])
lock = device_locks.gpu_lock("GPU-1f2e")
print(lock.take(), flush=True)
input()
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_locks, "FOLDER", tmp_path)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_a_gpu_has_one_worker_at_a_time() -> None:
    first, second = gpu_lock("GPU-1f2e"), gpu_lock("GPU-1f2e")
    assert first.take()
    assert first.take()
    assert not second.take()
    assert gpu_lock("GPU-3c4d").take()
    first.release()
    assert second.take()
    second.release()
    second.release()


def test_a_gpu_is_free_when_its_worker_is_killed(
    holder: "subprocess.Popen[str]",
) -> None:
    assert holder.stdout
    assert holder.stdout.readline() == "True\n"
    lock = gpu_lock("GPU-1f2e")
    assert not lock.take()
    holder.kill()
    holder.wait()
    assert lock.take()
    lock.release()


def test_a_worker_keeps_the_gpu_of_a_supervisor_that_is_gone() -> None:
    lock = gpu_lock("GPU-1f2e")
    assert lock.take()
    assert lock.file
    with subprocess.Popen(
        ["cat"], stdin=subprocess.PIPE, pass_fds=[lock.file]
    ) as worker:
        lock.release()
        assert not lock.take()
        worker.kill()
    assert lock.take()
    lock.release()


def test_every_user_may_open_a_lock_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        assert gpu_lock("MIG-1/2 x").take()
    finally:
        os.umask(before)
    (file,) = tmp_path.iterdir()
    assert file.name == "nightsweep-MIG-1_2_x.lock"
    assert stat.S_IMODE(file.stat().st_mode) == 0o1644


def test_a_lock_is_never_taken_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "nightsweep-GPU-1f2e.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DeviceError) as caught:
        gpu_lock("GPU-1f2e").take()
    assert str(caught.value).startswith(
        "Whoever starts a worker must be able to lock its GPU or core, but "
        f"{tmp_path}/nightsweep-GPU-1f2e.lock gives: "
    )
    assert not (tmp_path / "elsewhere").exists()


def test_a_placement_on_the_cpu_is_of_one_state_folder(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    first, second = cpu_lock(tmp_path, "cpu0"), cpu_lock(tmp_path, "cpu0")
    other = cpu_lock(elsewhere, "cpu0")
    assert first.take()
    assert not second.take()
    assert other.take()
    first.release()
    assert second.take()
    second.release()
    other.release()
