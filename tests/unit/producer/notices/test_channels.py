"""Telling people by a command or a web hook; a real server takes the web hooks."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from producer.notices import channels
from producer.notices.channels import read_channels, told_by
from producer.notices.events import EVENTS, Notice
from storage.errors import UsageError

DONE = Notice("finished", "night", "night is finished: 3 images made. ✓")


class Hooks:
    """A server that notes what is posted.

    Attributes:
        url: Where it is.
        codes: What it answers, one after the other; then 200.
        posted: Path, headers and content of each post.
    """

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.posted: list[tuple[str, dict[str, str], bytes]] = []
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                hooks.posted.append((self.path, dict(self.headers), content))
                self.send_response(hooks.codes.pop(0) if hooks.codes else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/s3cret"


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    made = Hooks()
    thread = Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "PAUSES_S", (0.0, 0.0))


@pytest.fixture
def tell() -> Callable[..., list[str]]:
    """Return what tells one notice, and returns what went wrong."""

    def tell(
        *commands: tuple[str, str], notify: str = "", notice: Notice = DONE
    ) -> list[str]:
        said: list[str] = []
        made = read_channels(commands, {"NIGHTSWEEP_NOTIFY": notify})
        with told_by(made, said.append) as teller:
            teller.tell([notice, notice])
        return said

    return tell


def test_ntfy_gets_a_text_with_a_title(
    hooks: Hooks, tell: Callable[..., list[str]]
) -> None:
    assert tell(notify=f"ntfy:{hooks.url}") == []
    path, headers, content = hooks.posted[0]
    assert (path, content.decode()) == ("/s3cret", DONE.text)
    assert headers["Title"].startswith("nightsweep on ")
    assert len(hooks.posted) == 2


def test_slack_gets_json(hooks: Hooks, tell: Callable[..., list[str]]) -> None:
    assert tell(notify=f"slack:{hooks.url}") == []
    said = json.loads(hooks.posted[0][2])
    assert list(said) == ["text"]
    assert said["text"].endswith(f": {DONE.text}")


def test_a_command_gets_what_happened(
    tmp_path: Path, tell: Callable[..., list[str]]
) -> None:
    command = (
        'printf "%s|" "$NIGHTSWEEP_EVENT" "$NIGHTSWEEP_SWEEP" "$NIGHTSWEEP_MESSAGE" >'
        f" {tmp_path}/told"
    )
    assert tell(("finished", command), ("failed", f"touch {tmp_path}/other")) == []
    assert (tmp_path / "told").read_text() == f"finished|night|{DONE.text}|"
    assert not (tmp_path / "other").exists()


def test_a_server_that_is_troubled_is_asked_again(
    hooks: Hooks, tell: Callable[..., list[str]]
) -> None:
    hooks.codes = [503, 429]
    assert tell(notify=f"ntfy:{hooks.url}") == []
    assert len(hooks.posted) == 4


def test_a_refusal_is_said_once_without_the_secret(
    hooks: Hooks, tell: Callable[..., list[str]]
) -> None:
    hooks.codes = [403, 403]
    said = tell(notify=f"slack:{hooks.url} ntfy:{hooks.url}")
    assert said == [
        "NIGHTSWEEP_NOTIFY (slack at 127.0.0.1) could not tell that all is made and "
        "scored: it answered 403 Forbidden. The sweep goes on.",
        "NIGHTSWEEP_NOTIFY (ntfy at 127.0.0.1) could not tell that all is made and "
        "scored: it answered 403 Forbidden. The sweep goes on.",
    ]


def test_a_server_that_is_away_is_said(tell: Callable[..., list[str]]) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        (said,) = tell(notify=f"ntfy:http://127.0.0.1:{taken.getsockname()[1]}/s3cret")
    assert "Connection refused" in said
    assert "s3cret" not in said


def test_a_command_that_fails_is_said_with_its_last_line(
    tell: Callable[..., list[str]],
) -> None:
    said = tell(("finished", "echo first >&2; echo no mail here >&2; exit 3"))
    assert said == [
        "--on finished could not tell that all is made and scored: exit code 3: no "
        "mail here. The sweep goes on."
    ]


@pytest.mark.parametrize(
    "word", ["https://x.org/s3cret", "ntfy:s3cret", "ntfy:file:///s3cret"]
)
def test_a_hook_of_no_known_kind_is_refused_without_its_url(word: str) -> None:
    with pytest.raises(UsageError, match="must be ntfy:URL or slack:URL") as refused:
        read_channels((), {"NIGHTSWEEP_NOTIFY": word})
    assert "s3cret" not in str(refused.value)


def test_a_hook_is_told_everything() -> None:
    (hook,) = read_channels((), {"NIGHTSWEEP_NOTIFY": "ntfy:https://ntfy.sh/x"})
    assert hook.events == set(EVENTS)
