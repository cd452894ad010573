"""Where the gallery listens, and by which names browsers may reach it."""

import errno
import ipaddress
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode

from storage.errors import UsageError

#: The port that is tried first, and how many after it.
FIRST_PORT = 8470
PORTS = 100
#: Names of this machine that no other machine can use.
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A socket that listens.

    Attributes:
        host: As it was asked for.
        port: Its port.
        listening: The socket.
    """

    host: str
    port: int
    listening: socket.socket

    @classmethod
    @contextmanager
    def bound(cls, host: str, port: int | None) -> Iterator[Self]:
        """Listen at an address, and close it at the end of the block.

        Args:
            host: A name or an address of this machine.
            port: None for the first free one.

        Raises:
            UsageError: Nothing can listen there.
        """
        ports = [port] if port else range(FIRST_PORT, FIRST_PORT + PORTS)
        for each in ports:
            listening = _listen(host, each, is_only=port is not None)
            if listening:
                with closing(listening):
                    yield cls(host=host, port=each, listening=listening)
                return
        msg = (
            f"A port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1} must be free, but "
            "all are taken; end other galleries, or name a free one with --port."
        )
        raise UsageError(msg)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ipaddress.ip_address(self._bound_to).is_loopback

    @property
    def _bound_to(self) -> str:
        name: str = self.listening.getsockname()[0]
        return name.partition("%")[0]  # a link-local address names its interface

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names and addresses by which browsers may ask, lower case."""
        names = [*LOOPBACK, self.host.strip("[]").lower(), self._bound_to]
        if ipaddress.ip_address(self._bound_to).is_unspecified:
            names += [*_own_names(), *_own_addresses()]
        return tuple(dict.fromkeys(names))

    def url(self, query: str = "", *, token: str | None = None) -> str:
        """Return the address to open.

        Args:
            query: Which images its grid shows; empty for the page of sweeps.
            token: What to log in with, if that is needed.
        """
        asked = {"token": token, "q": query or None}
        given = urlencode({name: one for name, one in asked.items() if one})
        page = "grid" if query and not token else ""
        return f"http://{self._shown()}:{self.port}/{page}{'?' if given else ''}{given}"

    def _shown(self) -> str:
        if ipaddress.ip_address(self._bound_to).is_unspecified:
            return socket.gethostname()
        host = self.host.strip("[]")
        return f"[{host}]" if ":" in host else host

    def tunnel(self, environ: Mapping[str, str], user: str) -> str | None:
        """Return what to type on the machine with the browser; None without ssh.

        Args:
            environ: Of this process: sshd says in it who is connected to what.
            user: Who logged in here.
        """
        # Client's address and port, then ours.
        parts = environ.get("SSH_CONNECTION", "").split()
        if len(parts) != 4 or not self.is_loopback:
            return None
        server, ssh_port = parts[2], parts[3]
        option = "" if ssh_port == "22" else f" -p {ssh_port}"
        here = f"[{self._bound_to}]" if ":" in self._bound_to else self._bound_to
        return f"ssh -N{option} -L {self.port}:{here}:{self.port} {user}@{server}"


def has_browser(environ: Mapping[str, str], platform: str) -> bool:
    """Return whether a window can be opened where the user sits.

    Args:
        environ: Of this process; some remote editors name a browser of the other side.
        platform: As in `sys.platform`.
    """
    if environ.get("BROWSER"):
        return True
    if environ.get("SSH_CONNECTION"):
        return False
    return platform == "darwin" or bool(
        environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")
    )


def _listen(host: str, port: int, *, is_only: bool) -> socket.socket | None:
    """Listen at a port; return None where another must be tried."""
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, where = found[0]
        # The protocol is named: asyncio turns off Nagle's algorithm for TCP only, and
        # with it, each answer would wait 40 ms for the browser's acknowledgement.
        made = socket.socket(family, kind, protocol)
    except OSError as exc:
        raise _cannot(host, port, exc) from exc
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(where)
        made.listen(socket.SOMAXCONN)
    except OSError as exc:
        made.close()
        if exc.errno == errno.EADDRINUSE and not is_only:
            return None
        raise _cannot(host, port, exc) from exc
    return made


def _cannot(host: str, port: int, error: OSError) -> UsageError:
    return UsageError(
        f"--host and --port must be free here, but {host} port {port} gives: "
        f"{error.strerror or error}; choose others, or leave them out."
    )


def _own_names() -> list[str]:
    name = socket.gethostname().lower()
    return [name, name.partition(".")[0], socket.getfqdn().lower()]


def _own_addresses() -> Iterator[str]:
    import psutil

    for every in psutil.net_if_addrs().values():
        for each in every:
            if each.family in (socket.AF_INET, socket.AF_INET6):
                yield each.address.partition("%")[0].lower()
