"""Owners' names: from them another process can tell who is gone for certain."""

import os
import shutil
import socket
import subprocess
import sys
import time

import psutil
import pytest

from storage.host.worker_ids import host_of, is_dead, my_name, process_name

HOST = process_name(1).rpartition(":")[0]


def name_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_name_says_host_process_and_start() -> None:
    host, pid, started = my_name().rsplit(":", 2)
    assert (host, int(pid)) == (HOST, os.getpid())
    assert host.startswith(socket.gethostname())
    assert int(started) >= 0
    assert my_name().startswith(process_name(os.getpid()) + ":")


def test_a_process_that_runs_is_alive(other: "subprocess.Popen[str]") -> None:
    assert not is_dead(my_name())
    assert not is_dead(name_of(other))


def test_a_process_that_ended_is_dead(other: "subprocess.Popen[str]") -> None:
    name = name_of(other)
    other.kill()
    other.wait()
    assert is_dead(name)


def test_a_death_is_its_supervisors_to_count_first(
    other: "subprocess.Popen[str]",
) -> None:
    name = name_of(other)
    other.kill()
    while psutil.Process(other.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert not is_dead(name)
    other.wait()
    assert is_dead(name)


def test_a_container_of_this_host_is_a_machine_of_its_own() -> None:
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("there is no program unshare")
    code = "from storage.host.worker_ids import my_name; print(my_name())"
    inside = [unshare, "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    said = subprocess.run(inside, capture_output=True, text=True, check=False)
    if said.returncode:
        pytest.skip(f"process ids of one's own are not permitted: {said.stderr}")
    name = said.stdout.strip()
    assert not is_dead(name)
    assert host_of(name) == host_of(my_name()) == socket.gethostname()


@pytest.mark.parametrize(
    "name", ["night3.lab.1f2e7a90-effffffc:1:1", "night3.lab.1f2e7a90:1:1"]
)
def test_people_see_the_host_of_any_name(name: str) -> None:
    assert host_of(name) == "night3.lab"
    assert not is_dead(name)


def test_another_process_with_the_same_id_does_not_hide_a_death() -> None:
    _, pid, started = my_name().rsplit(":", 2)
    assert is_dead(f"{HOST}:{pid}:{int(started) - 60}")


def test_a_clock_that_is_set_kills_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    name = my_name()
    boot = psutil.boot_time()
    # What the kernel answers after the clock went an hour back.
    monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: boot - 3600)
    monkeypatch.setattr(psutil, "boot_time", lambda: boot - 3600)
    assert not is_dead(name)


@pytest.mark.parametrize(
    "name", ["", "gpu0", "elsewhere:1:1", f"{HOST}:x:1", f"{HOST}:1", f"{HOST}::"]
)
def test_who_cannot_be_known_may_be_alive(name: str) -> None:
    assert not is_dead(name)
