"""A network between hosts on one machine, whose ways can be cut, slow or lossy.

The only way out of a host is a TUN device. This process holds the other ends of all
devices, and passes on each packet that a host sends to another one. So programs meet a
real network stack, and connections that end without a word.
"""

import fcntl
import heapq
import os
import random
import selectors
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psutil

from tests.cluster.namespaces import Namespaces

#: The first three numbers of all addresses.
PREFIX = "10.77.0"
TUN = Path("/dev/net/tun")
TUNSETIFF = 0x400454CA
#: A device of IP packets, without anything before them.
IFF_TUN_NO_PI = 0x1001
LARGEST_PACKET = 65536
#: Where IPv4 has the address of the receiver.
TO = slice(16, 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How packets go from one host to another.

    Attributes:
        is_cut: Whether none arrives.
        loss: The share that is lost.
        delay_s: Seconds that each takes.
    """

    is_cut: bool = False
    loss: float = 0.0
    delay_s: float = 0.0


GOOD = Way()
CUT = Way(is_cut=True)


@dataclass(slots=True)
class Host:
    """A host of the network.

    Attributes:
        name: What it calls itself.
        address: Its IPv4 address.
        namespaces: Its network and its name, as the system knows them.
        device: The other end of its network device.
    """

    name: str
    address: str
    namespaces: Namespaces
    device: int

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Start processes on the host: those that the block starts."""
        with self.namespaces.entered():
            yield

    def processes(self) -> list[psutil.Process]:
        """Find the processes that run on the host."""
        wanted = self.namespaces.network_id
        found = []
        for process in psutil.process_iter():
            with suppress(OSError):  # it has ended
                network = Path(f"/proc/{process.pid}/ns/net").stat().st_ino
                if network == wanted and process.pid != os.getpid():
                    found.append(process)
        return found


@dataclass(order=True)
class _Late:
    at: float
    number: int
    device: int = field(compare=False)
    packet: bytes = field(compare=False)


class Network:
    """Hosts, and the ways between them, which are good at first."""

    def __init__(self) -> None:
        self._hosts: dict[bytes, Host] = {}
        self._ways: dict[tuple[str, str], Way] = {}
        self._late: list[_Late] = []
        self._numbers = count()
        self._random = random.Random(0)  # noqa: S311 - no secret
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = os.pipe()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._pass_on, daemon=True)

    def __enter__(self) -> "Network":
        self._thread.start()
        return self

    def __exit__(self, *_args: object) -> None:
        """Kill what still runs on the hosts, and remove them."""
        for host in self._hosts.values():
            self.lose(host)
        os.write(self._woken, b"end")
        self._thread.join()
        for host in self._hosts.values():
            os.close(host.device)
            host.namespaces.close()
        os.close(self._wake)
        os.close(self._woken)

    def add(self, name: str) -> Host:
        """Make a host, with the next address."""
        address = f"{PREFIX}.{len(self._hosts) + 1}"
        namespaces = Namespaces(name)
        with namespaces.entered():
            device = _open_device()
            for words in (
                f"addr add {address}/24 dev tun0",
                "link set tun0 up",
                "link set lo up",
            ):
                subprocess.run(["ip", *words.split()], check=True)
        host = Host(name, address, namespaces, device)
        self._hosts[socket.inet_aton(address)] = host
        self._selector.register(device, selectors.EVENT_READ, host)
        return host

    def set_way(self, begins: Host, ends: Host, way: Way) -> None:
        """Change how packets go from one host to another, in this direction only."""
        self._ways[begins.name, ends.name] = way

    @contextmanager
    def troubled(
        self, host: Host, *others: Host, out: Way = CUT, back: Way = CUT
    ) -> Iterator[None]:
        """Change the ways between a host and others for a while.

        Args:
            host: The host.
            others: The other ends.
            out: How packets go from the host to the others.
            back: How they go from the others to the host.
        """
        for other in others:
            self.set_way(host, other, out)
            self.set_way(other, host, back)
        try:
            yield
        finally:
            for other in others:
                self.set_way(host, other, GOOD)
                self.set_way(other, host, GOOD)

    def lose(self, host: Host) -> None:
        """Have a host vanish: nothing leaves it any more, and its processes end.

        Its peers hear nothing, not even that connections are closed.
        """
        for other in self._hosts.values():
            self.set_way(host, other, CUT)
            self.set_way(other, host, CUT)
        processes = host.processes()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes)

    def _pass_on(self) -> None:
        while True:
            for key, _events in self._selector.select(self._until_next()):
                if key.fileobj == self._wake:
                    return
                self._route(key.data, os.read(key.fd, LARGEST_PACKET))
            while self._late and self._late[0].at <= time.monotonic():
                late = heapq.heappop(self._late)
                _send(late.device, late.packet)

    def _until_next(self) -> float | None:
        if not self._late:
            return None
        return max(0.0, self._late[0].at - time.monotonic())

    def _route(self, sender: Host, packet: bytes) -> None:
        receiver = self._hosts.get(packet[TO])
        if receiver is None:  # multicast, or IPv6
            return
        way = self._ways.get((sender.name, receiver.name), GOOD)
        if way.is_cut or self._random.random() < way.loss:
            return
        if way.delay_s:
            at = time.monotonic() + way.delay_s
            late = _Late(at, next(self._numbers), receiver.device, packet)
            heapq.heappush(self._late, late)
        else:
            _send(receiver.device, packet)


def _open_device() -> int:
    device = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN_NO_PI))
    return device


def _send(device: int, packet: bytes) -> None:
    with suppress(BlockingIOError):  # a full queue loses packets, as elsewhere
        os.write(device, packet)
