"""Owner names of workers, by which other processes can tell whether they are alive."""

import os
import socket
from functools import cache
from pathlib import Path

import psutil

#: Two readings of the start of one process may differ by one or two seconds.
BOOT_SLACK_S = 3


def my_host() -> str:
    """Return the name of this machine, for people."""
    return socket.gethostname()


def my_name() -> str:
    """Return the name of this process: machine, id, second of its start.

    For example `night3.1f2e7a90-effffffc:4711:5025`.
    """
    return name_of(os.getpid())


def name_of(pid: int) -> str:
    """Return the name that a process of this machine has as an owner.

    Raises:
        psutil.Error: There is no such process.
    """
    return f"{process_name(pid)}:{_started_s(psutil.Process(pid))}"


def process_name(pid: int) -> str:
    """Return the prefix of the names of all owners that had this process id."""
    return f"{_machine()}:{pid}"


def host_of(owner: str) -> str:
    """Return the host name of an owner, for people."""
    machine = owner.rsplit(":", 2)[0]
    return machine.rpartition(".")[0] or machine


def is_of_this_machine(owner: str) -> bool:
    """Return whether `is_dead` can tell for certain."""
    return owner.rsplit(":", 2)[0] == _machine()


def is_dead(owner: str) -> bool:
    """Return whether a worker of this host is gone for certain.

    Workers of other machines, and names of another form, may be alive: False. A worker
    that ended counts as alive until its supervisor has recorded why; if the supervisor
    never does, the worker's leases expire.
    """
    machine, pid, started = ["", "", *owner.rsplit(":", 2)][-3:]
    if machine != _machine():
        return False
    try:
        process = psutil.Process(int(pid))
        if process.status() == psutil.STATUS_ZOMBIE:
            return _is_orphan(process)
        return abs(_started_s(process) - int(started)) > BOOT_SLACK_S
    except psutil.NoSuchProcess:
        return True
    except (ValueError, psutil.AccessDenied):
        return False


@cache
def _machine() -> str:
    # Two machines may share a name, but never a boot id. Two containers may share
    # both, but have process ids of their own.
    boot = Path("/proc/sys/kernel/random/boot_id")
    ids = Path("/proc/self/ns/pid")
    suffix = f".{boot.read_text()[:8]}" if boot.exists() else ""
    if suffix and ids.exists():
        suffix += f"-{ids.stat().st_ino:x}"
    return f"{my_host()}{suffix}"


def _is_orphan(process: psutil.Process) -> bool:
    # In a container the first process may be the supervisor itself.
    return process.ppid() == 1 != os.getpid()


def _started_s(process: psutil.Process) -> int:
    # Since the boot: the time of day moves when a clock is set, which would make live
    # processes look dead.
    return int(process.create_time() - psutil.boot_time())
