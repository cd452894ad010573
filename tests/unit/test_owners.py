"""Owners' names: from them another process can tell who is gone for certain."""

import os
import socket
import subprocess
import time

import psutil
import pytest

from storage.owners import is_dead, my_name, process_name

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


def test_a_process_that_nobody_buried_is_dead(other: "subprocess.Popen[str]") -> None:
    name = name_of(other)
    other.kill()
    while psutil.Process(other.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert is_dead(name)


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
