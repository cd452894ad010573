"""A small Hub: the routes that are called of huggingface.co, over HTTP, from a folder.

For a large file `resolve` answers with a redirect to another host, as the real Hub
does. That host is this server by its other name. It asks for no token.
"""

import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

COMMIT = "c" * 40
NAME = "org/name"


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def hub_variables(home: Path, endpoint: str = "") -> dict[str, str]:
    """The variables of a process whose Hub cache is under `home`.

    Without an endpoint the Hub is switched off.
    """
    hub = {"HF_ENDPOINT": endpoint} if endpoint else {"HF_HUB_OFFLINE": "1"}
    return {
        **hub,
        "HF_HOME": str(home),
        "HF_HUB_DOWNLOAD_TIMEOUT": "600",  # a file may be held for as long
        "NO_PROXY": "127.0.0.1,localhost",
    }


def hub_settings(home: Path, endpoint: str = "", **changes: str) -> dict[str, str]:
    """The environment of such a process, without our own variables of the Hub."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    return {**kept, **hub_variables(home, endpoint), **changes}


def cached_files(home: Path) -> set[str]:
    snapshot = home / "hub" / "models--org--name" / "snapshots" / COMMIT
    files = (path for path in snapshot.rglob("*") if path.is_file())
    return {path.relative_to(snapshot).as_posix() for path in files}


@dataclass(kw_only=True)
class Hub:
    """What a server of one repository does, and what it has done.

    Attributes:
        folder: The repository's files.
        refusal: Status and error code of every answer; None to answer.
        refuses_files: Whether only files are refused, as those of a gated repository.
        token: What opens the files all the same; None if nothing does.
        licence: In the model's card.
        stated: Path to SHA-256, where the Hub is to state a wrong one.
        cut: Path to bytes of it that are sent before the connection is cut, once.
        hold: Path to bytes of it that are sent before `go` is waited for.
        go: Lets the held files go on.
        is_held: Set when a held file waits.
        sent: Path to bytes of content that were sent.
        url: Where it listens.
    """

    folder: Path
    refusal: tuple[int, str] | None = None
    refuses_files: bool = False
    token: str | None = None
    licence: str | None = None
    stated: Mapping[str, str] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    hold: dict[str, int] = field(default_factory=dict)
    go: threading.Event = field(default_factory=threading.Event)
    is_held: threading.Event = field(default_factory=threading.Event)
    sent: Counter[str] = field(default_factory=Counter)
    url: str = ""

    def describe(self) -> dict[str, Any]:
        """The API's answer about the model."""
        files = [path for path in sorted(self.folder.rglob("*")) if path.is_file()]
        card = {"cardData": {"license": self.licence}} if self.licence else {}
        siblings = [self._describe_file(file) for file in files]
        return {"id": NAME, "sha": COMMIT, "siblings": siblings, **card}

    def _describe_file(self, file: Path) -> dict[str, Any]:
        size = file.stat().st_size
        name = file.relative_to(self.folder).as_posix()
        if not is_large(name):
            return {"rfilename": name, "size": size}
        digest = self.stated.get(name) or sha256(file)
        lfs = {"sha256": digest, "size": size, "pointerSize": 134}
        return {"rfilename": name, "size": size, "lfs": lfs}


def is_large(name: str) -> bool:
    return name.endswith(".safetensors")


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[Hub]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        is_api = self.path.startswith("/api/")
        if self.path.startswith("/content/"):
            self._send_content(self.path.removeprefix("/content/"))
        elif self.hub.refusal and self._is_refused(is_api=is_api):
            status, code = self.hub.refusal
            self._answer(status, b"{}", {"X-Error-Code": code})
        elif is_api:
            self._answer(200, json.dumps(self.hub.describe()).encode(), {})
        else:
            self._resolve(self.path.split(f"/{COMMIT}/")[-1].split("/main/")[-1])

    def _is_refused(self, *, is_api: bool) -> bool:
        token = self.headers["Authorization"]
        has_token = token is not None and token == f"Bearer {self.hub.token}"
        return not (has_token or (is_api and self.hub.refuses_files))

    def _resolve(self, name: str) -> None:
        file, commit = self.hub.folder / name, {"X-Repo-Commit": COMMIT}
        if not file.is_file():
            self._answer(404, b"", commit | {"X-Error-Code": "EntryNotFound"})
            return
        etag = f'"{self.hub.stated.get(name) or sha256(file)}"'
        if not is_large(name):
            self.hub.sent[name] += file.stat().st_size * (self.command == "GET")
            self._answer(200, file.read_bytes(), commit | {"ETag": etag})
            return
        size = str(file.stat().st_size)
        linked = {"X-Linked-Etag": etag, "X-Linked-Size": size}
        elsewhere = self.hub.url.replace("127.0.0.1", "localhost")
        where = {"Location": f"{elsewhere}/content/{name}"}
        self._answer(302, b"", commit | linked | where)

    def _send_content(self, name: str) -> None:
        content = (self.hub.folder / name).read_bytes()
        asked = self.headers["Range"]
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        end = len(content) - 1
        ranges = {"Content-Range": f"bytes {start}-{end}/{len(content)}"}
        self._start(206 if asked else 200, len(content) - start, ranges)
        stop = self.hub.cut.pop(name, None)
        held = self.hub.hold.get(name)
        self._write(name, content[start : stop or held])
        if stop is not None:
            self.connection.shutdown(2)
        elif held is not None:
            self.hub.is_held.set()
            self.hub.go.wait()
            self._write(name, content[max(start, held) :])

    def _write(self, name: str, part: bytes) -> None:
        self.wfile.write(part)
        self.wfile.flush()
        self.hub.sent[name] += len(part)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self._start(status, len(body), headers)
        if self.command == "GET":
            self.wfile.write(body)

    def _start(self, status: int, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that were killed."""


@contextmanager
def serve(
    folder: Path, refusal: tuple[int, str] | None = None, **settings: Any
) -> Iterator[Hub]:
    """Serve a folder as org/name; `settings` are attributes of `Hub`."""
    hub = Hub(folder=folder, refusal=refusal, **settings)
    handler = type("Handler", (_Handler,), {"hub": hub})
    with _Server(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield hub
        finally:
            hub.go.set()
            server.shutdown()
            thread.join()
