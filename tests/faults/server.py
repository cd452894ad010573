"""A Redis server of the test's own, which it may kill, freeze and start again."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from storage.broker.queue import PREFIX
from storage.broker.servers import find_server

#: The same settings as those of the embedded server.
RULES = (
    *("--port", "0", "--save", "", "--appendonly", "yes"),
    *("--maxmemory-policy", "noeviction", "--loglevel", "warning"),
)


class RedisServer:
    """A server that listens on a socket in a folder, and keeps its file there.

    Attributes:
        folder: The folder; its path must be short, as that of every socket.
    """

    def __init__(self, folder: Path, *, rules: Sequence[str] = ()) -> None:
        """Take the folder, and settings that go before the usual ones."""
        self.folder = folder
        self._rules = (*RULES, *rules)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What `NIGHTSWEEP_REDIS_URL` is to be."""
        return f"redis+socket://{quote(str(self._socket))}?virtual_host=0"

    @property
    def _socket(self) -> Path:
        return self.folder / "redis.sock"

    def client(self) -> "redis.Redis":
        """Connect; the client asks once, and at once."""
        return redis.Redis(
            unix_socket_path=str(self._socket), retry=Retry(NoBackoff(), 0)
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = [find_server().path, *self._rules, "--unixsocket", self._socket]
        self._process = subprocess.Popen(
            words, cwd=self.folder, stdout=subprocess.DEVNULL
        )
        while not self.answers():
            assert self._process.poll() is None
            time.sleep(0.01)

    def kill(self) -> None:
        """End it as a crash does, whoever started it."""
        if self._process is None:
            with self.client() as client:
                os.kill(client.info()["process_id"], signal.SIGKILL)
            return
        with self._process as process:
            process.kill()
        self._process = None

    def end(self) -> None:
        """Kill it if it runs, even frozen."""
        if self._process or self.answers():
            self.kill()

    def freeze(self) -> None:
        """Let it answer nothing, and keep its connections."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def lose_all(self) -> None:
        """Kill it, and delete what it kept."""
        self.kill()
        for path in self.folder.rglob("*"):
            if path.is_file():
                path.unlink()

    def cut_connections(self) -> int:
        """Drop everybody's connection; give how many."""
        with self.client() as client:
            return int(client.client_kill_filter(_type="normal", skipme=True))

    def left(self) -> dict[str, int]:
        """Count what is left of the queue: its keys, and how many entries each has."""
        with self.client() as client:
            found = {}
            for key in client.scan_iter(f"{PREFIX}*"):
                kind = client.type(key)
                count = {
                    b"list": client.llen,
                    b"hash": client.hlen,
                    b"zset": client.zcard,
                }.get(kind)
                if count is not None:
                    found[key.decode().removeprefix(PREFIX)] = int(count(key))
        return found

    def answers(self) -> bool:
        """Tell whether it runs."""
        with suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False
