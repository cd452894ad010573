"""A gallery that a test serves and asks: the real server, on a real store."""

import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from gallery.site import Site
from producer.commands.view_actions import CommandActions
from producer.commands.view_address import LOOPBACK
from producer.commands.view_server import GalleryServer
from storage.settings import Settings
from tests.processes import PATIENCE_S

TOKEN = "a token that nobody guesses"  # noqa: S105 - of tests only


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Visitor:
    """Whoever asks a gallery, with the headers of their browser."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, asked: Any = None, **headers: str) -> Answer:
        """Ask for a change as a page does, with the token that the page has."""
        usual = {"Content-Type": "application/json", "X-Nightsweep-Token": self.token()}
        body = json.dumps(asked if asked is not None else {})
        return self.ask("POST", path, headers={**usual, **headers}, body=body)

    def token(self) -> str:
        found = re.search(r'data-token="(\w*)"', self.get("/").text)
        return found[1] if found else ""

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
    ) -> Answer:
        """Ask once; `_` in a header's name stands for `-`."""
        given = {
            name.replace("_", "-"): value
            for name, value in {**self.headers, **(headers or {})}.items()
        }
        with closing(self.connect()) as connection:
            connection.request(method, path, body=body, headers=given)
            said = connection.getresponse()
            names = {name.lower(): value for name, value in said.getheaders()}
            return Answer(said.status, names, said.read())

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    @contextmanager
    def listening(self, path: str) -> Iterator[Iterator[tuple[str, Any]]]:
        """Open a stream of events: yield what yields their names and data."""
        with closing(self.connect()) as connection:
            connection.request("GET", path)
            said = connection.getresponse()
            assert said.status == 200, said.read()
            with closing(said):
                yield _events(said)


def _events(lines: Any) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in lines:
        field_name, _, value = line.decode().rstrip("\n").partition(": ")
        if field_name == "event":
            name = value
        elif field_name == "data":
            yield name, json.loads(value)


def _tcp_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)


@contextmanager
def served(settings: Settings, **changes: Any) -> Iterator[Visitor]:
    """Serve a gallery in a thread; `changes` are fields of `Site`."""
    values: dict[str, Any] = {
        "settings": settings,
        "actions": CommandActions(settings),
        "token": TOKEN,
        "needs_login": False,
        "hosts": LOOPBACK,
        "read_only": False,
        "who": "ada",
    }
    with closing(_tcp_socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = GalleryServer(Site(**{**values, **changes}))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield Visitor(listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
