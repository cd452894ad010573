"""Names of workers that own jobs, from which another process can tell if they live."""

import os
import socket

import psutil

#: The start time of one process can be read as seconds that differ by one or two.
CLOCK_SLACK_S = 3


def my_name() -> str:
    """Name this process: host, id, start time, `night3:4711:1790000000`."""
    started = int(psutil.Process().create_time())
    return f"{process_name(os.getpid())}:{started}"


def process_name(pid: int) -> str:
    """Give what the names of all owners begin with that had this process id."""
    return f"{socket.gethostname()}:{pid}"


def is_dead(owner: str) -> bool:
    """Tell whether a worker of this host is gone for certain.

    Workers of other hosts, and names of another form, may be alive: False.
    """
    host, pid, started = ["", "", *owner.rsplit(":", 2)][-3:]
    if host != socket.gethostname():
        return False
    try:
        seen = psutil.Process(int(pid)).create_time()
        return abs(seen - int(started)) > CLOCK_SLACK_S
    except psutil.NoSuchProcess:
        return True
    except (ValueError, psutil.AccessDenied):
        return False
