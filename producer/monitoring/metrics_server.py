"""The HTTP server of `nightsweep metrics`: GET /metrics, and nothing else."""

import hmac
import sys
from collections.abc import Callable, Collection
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from producer.monitoring.exposition import CONTENT_TYPE

#: Seconds for which a connection may be silent.
SILENT_S = 30.0


class MetricsServer(ThreadingHTTPServer):
    """Answers scrapes, each in a thread."""

    def __init__(
        self,
        listening: Any,
        answer: Callable[[], str],
        *,
        hosts: Collection[str],
        token: str | None,
    ) -> None:
        """Take a socket that listens.

        Args:
            listening: The socket; whoever made it closes it.
            answer: Returns what a scrape gets.
            hosts: Names of this server, lower case, by which it may be asked if there
                is no token. Else a page could read it by DNS rebinding.
            token: What requests must bear; None if they need none.
        """
        super().__init__(listening.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.answer = answer
        self.hosts = hosts
        self.token = token

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Write the traceback of an error, but say nothing of a client that left."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    timeout = SILENT_S
    server_version = "nightsweep"
    sys_version = ""

    def do_GET(self) -> None:
        if urlsplit(self.path).path != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND, "Metrics are at /metrics.")
        elif not self._may_read():
            self.send_error(
                HTTPStatus.UNAUTHORIZED if self.server.token else HTTPStatus.FORBIDDEN
            )
        else:
            self._send(self.server.answer().encode())

    def log_message(self, *_: object) -> None:
        """Write no line for each scrape."""

    def _may_read(self) -> bool:
        token = self.server.token
        if token:
            given = self.headers.get("Authorization", "")
            return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        return host in self.server.hosts

    def _send(self, body: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
