"""Names of workers that own jobs, from which another process can tell if they live."""

import os
import socket
from functools import cache
from pathlib import Path

import psutil

#: The start of one process can be read as seconds that differ by one or two.
CLOCK_SLACK_S = 3


def my_name() -> str:
    """Name this process: machine, id, second of its start, `night3.1f2e:4711:5025`."""
    return f"{process_name(os.getpid())}:{_started_s(psutil.Process())}"


def process_name(pid: int) -> str:
    """Give what the names of all owners begin with that had this process id."""
    return f"{_machine()}:{pid}"


def host_of(owner: str) -> str:
    """Give the host's name of an owner, for people."""
    machine = owner.rsplit(":", 2)[0]
    return machine.rpartition(".")[0] or machine


def is_dead(owner: str) -> bool:
    """Tell whether a worker of this host is gone for certain.

    Workers of other machines, and names of another form, may be alive: False.
    """
    machine, pid, started = ["", "", *owner.rsplit(":", 2)][-3:]
    if machine != _machine():
        return False
    try:
        process = psutil.Process(int(pid))
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        return abs(_started_s(process) - int(started)) > CLOCK_SLACK_S
    except psutil.NoSuchProcess:
        return True
    except (ValueError, psutil.AccessDenied):
        return False


@cache
def _machine() -> str:
    # Two machines may have one name; no two have one boot.
    boot = Path("/proc/sys/kernel/random/boot_id")
    suffix = f".{boot.read_text()[:8]}" if boot.exists() else ""
    return f"{socket.gethostname()}{suffix}"


def _started_s(process: psutil.Process) -> int:
    # Since the boot: the time of day moves when a clock is set, and would make the
    # living look dead.
    return int(process.create_time() - psutil.boot_time())
