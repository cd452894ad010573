"""Ways to tell people: a command, or a web hook that reaches their phones.

`ntfy:URL` posts a text as ntfy takes it (https://docs.ntfy.sh/publish/), and
`slack:URL` JSON as Slack, Mattermost and, with `/slack` at the end of the URL, Discord
take it (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from producer.display.messages import talk
from producer.notices.events import EVENTS, Notice
from storage.errors import UsageError
from storage.host.worker_ids import my_host

#: Seconds for one try to reach a web hook, and for a command.
HOOK_S = 10.0
COMMAND_S = 60.0
#: Seconds before the second and the third try.
PAUSES_S = (2.0, 8.0)
#: Seconds that the end of a command waits for what is not told yet.
LAST_S = 45.0
#: HTTP codes from which on another try may help, and one more that may pass.
SERVER_ERROR, TOO_MANY = 500, 429
#: What a web hook raises that is not reached, or answers nonsense.
_FAILURES = (OSError, HTTPException)


@dataclass(frozen=True, slots=True)
class Channel:
    """A way to tell people.

    Attributes:
        events: Of `EVENTS`; what it tells.
        name: What messages call it. It holds no secret.
        send: Tells it. Raises `OSError` or `subprocess.SubprocessError`.
    """

    events: frozenset[str]
    name: str
    send: Callable[[Notice], None]


def read_channels(
    commands: Iterable[tuple[str, str]], environ: Mapping[str, str]
) -> list[Channel]:
    """Return the channels of `--on` and of `NIGHTSWEEP_NOTIFY`.

    Raises:
        UsageError: A channel of the variable cannot be used.
    """
    channels = [
        Channel(frozenset({event}), f"--on {event}", partial(_run, command))
        for event, command in commands
    ]
    words = environ.get("NIGHTSWEEP_NOTIFY", "").split()
    return channels + [_read_hook(word) for word in words]


class Teller:
    """Tells people, in a thread of its own, so that nothing waits for a web hook.

    What cannot be told is said once on standard error for each channel.
    """

    def __init__(self, channels: Sequence[Channel], say: Callable[[str], None]) -> None:
        """Set the channels, and what prints a sentence."""
        self._channels = channels
        self._say = say
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="notices")
        self._sent: list[Future[None]] = []
        self._troubled: set[str] = set()

    def wants(self, event: str) -> bool:
        """Return whether anybody is to be told of an event."""
        return any(event in channel.events for channel in self._channels)

    def tell(self, notices: Iterable[Notice]) -> None:
        """Tell each by every channel that wants it."""
        for notice in notices:
            for channel in self._channels:
                if notice.event in channel.events:
                    self._sent.append(self._thread.submit(self._try, channel, notice))

    def close(self) -> None:
        """Wait for what is not told yet, but not for long."""
        wait(self._sent, timeout=LAST_S)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _try(self, channel: Channel, notice: Notice) -> None:
        for pause_s in (*PAUSES_S, None):
            try:
                channel.send(notice)
            except (*_FAILURES, subprocess.SubprocessError) as exc:
                if pause_s is None or not _may_pass(exc):
                    self._complain(channel, notice, exc)
                    return
                time.sleep(pause_s)
            else:
                return

    def _complain(self, channel: Channel, notice: Notice, exc: Exception) -> None:
        if channel.name not in self._troubled:
            self._troubled.add(channel.name)
            self._say(
                f"{channel.name} could not tell that {EVENTS[notice.event]}: "
                f"{_reason(exc)}. The sweep goes on."
            )


@contextmanager
def told_by(
    channels: Sequence[Channel], say: Callable[[str], None] = talk
) -> Iterator[Teller]:
    """Yield what tells people by these channels; at the end it waits for the last."""
    teller = Teller(channels, say)
    try:
        yield teller
    finally:
        teller.close()


def _read_hook(word: str) -> Channel:
    kind, _, url = word.partition(":")
    parts = urlsplit(url)
    if kind not in _HOOKS or parts.scheme not in ("http", "https") or not parts.netloc:
        # It is not shown, since a web hook's URL is a secret.
        msg = (
            "NIGHTSWEEP_NOTIFY must be ntfy:URL or slack:URL, or several with blanks "
            "between them, but one of them is not; the URL begins with https://."
        )
        raise UsageError(msg)
    name = f"NIGHTSWEEP_NOTIFY ({kind} at {parts.hostname})"
    return Channel(frozenset(EVENTS), name, partial(_HOOKS[kind], url))


def _post(url: str, content: bytes, headers: Mapping[str, str]) -> None:
    request = Request(url, data=content, headers=dict(headers), method="POST")  # noqa: S310
    with urlopen(request, timeout=HOOK_S) as answer:  # noqa: S310 - http or https
        answer.read(1)


def _post_to_ntfy(url: str, notice: Notice) -> None:
    headers = {
        "Title": f"nightsweep on {my_host()}".encode("ascii", "replace").decode(),
        "Tags": "white_check_mark" if notice.event == "finished" else "warning",
        "Content-Type": "text/plain; charset=utf-8",
    }
    _post(url, notice.text.encode(), headers)


def _post_to_slack(url: str, notice: Notice) -> None:
    content = json.dumps({"text": f"nightsweep on {my_host()}: {notice.text}"})
    _post(url, content.encode(), {"Content-Type": "application/json"})


_HOOKS: Mapping[str, Callable[[str, Notice], None]] = {
    "ntfy": _post_to_ntfy,
    "slack": _post_to_slack,
}


def _run(command: str, notice: Notice) -> None:
    about = {
        "NIGHTSWEEP_EVENT": notice.event,
        "NIGHTSWEEP_SWEEP": notice.sweep,
        "NIGHTSWEEP_MESSAGE": notice.text,
    }
    subprocess.run(  # noqa: S603 - it is the user's own command
        ["/bin/sh", "-c", command],
        env={**os.environ, **about},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=COMMAND_S,
    )


def _may_pass(exc: Exception) -> bool:
    if isinstance(exc, HTTPError):
        return exc.code >= SERVER_ERROR or exc.code == TOO_MANY
    return isinstance(exc, _FAILURES)


def _reason(exc: Exception) -> str:
    """Return why, without a URL, which may hold a secret."""
    if isinstance(exc, subprocess.CalledProcessError):
        said = exc.stderr.decode(errors="replace").strip().splitlines()
        return f"exit code {exc.returncode}{': ' + said[-1] if said else ''}"
    if isinstance(exc, subprocess.TimeoutExpired):
        return f"it took more than {exc.timeout:.0f} s"
    if isinstance(exc, HTTPError):
        return f"it answered {exc.code} {exc.reason}"
    return str(getattr(exc, "reason", None) or exc)
