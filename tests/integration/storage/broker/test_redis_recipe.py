"""The recipe of docs/security.md: Redis with TLS, and users with the least rights."""

import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from celery import Celery
from redis import Redis
from redis.exceptions import NoPermissionError, RedisError

from storage.broker.queue import make_app, send, waiting
from storage.broker.servers import find_server
from storage.errors import QueueError
from storage.settings import Settings, read_settings
from storage.sql.database import Database
from tests.builders import plan_seeds, states, submit
from tests.processes import ROOT, running, wait_until


class Recipe:
    """The Redis of docs/security.md, on a port of this host.

    A server that was built without TLS has it put in front.

    Attributes:
        folder: Where its files are.
        passwords: Of its users, by name.
        certify: Commands that make its certificate.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.passwords = {
            name: secrets.token_hex(16) for name in ("producer", "worker", "admin")
        }
        self.port = free_port()
        page = self._filled_in((ROOT / "docs" / "security.md").read_text())
        (recipe,) = re.findall(r"^## Redis on (.*?)(?=^## )", page, re.M | re.S)
        blocks = re.findall(r"^```\w*\n(.*?)^```", recipe, re.M | re.S)
        self.certify, config, users, exports = blocks
        self._urls = re.findall(r"NIGHTSWEEP_REDIS_URL='(.*)'", exports)
        self._port_behind = 0 if find_tls() else free_port()
        if self._port_behind:
            port = f"bind 127.0.0.1\nport {self._port_behind}"
            config = re.sub(r"^port 0$", port, config, flags=re.M)
            config = re.sub(r"^tls-.*\n", "", config, flags=re.M)
        (folder / "redis.conf").write_text(config)
        (folder / "users.acl").write_text(users)

    def _filled_in(self, page: str) -> str:
        page = page.replace("queue.example.org", "localhost")
        page = page.replace("/etc/nightsweep", str(self.folder))
        page = page.replace("6380", str(self.port))
        # Last, since a password may have those digits in it.
        for name, password in self.passwords.items():
            page = page.replace(f"{name.upper()}_PASSWORD", password)
        return page

    def url_of(self, user: str) -> str:
        """Give the URL of `producer` or `worker`."""
        (url,) = (each for each in self._urls if f"//{user}:" in each)
        return url

    def client(self, user: str) -> "Redis":
        """Connect as one of the users."""
        return Redis(
            host="localhost",
            port=self.port,
            username=user,
            password=self.passwords[user],
            ssl=True,
            ssl_ca_certs=str(self.folder / "redis.crt"),
        )

    @contextmanager
    def serving(self) -> Iterator["subprocess.Popen[bytes]"]:
        """Follow the page; skip where there is no openssl to make a certificate."""
        if not shutil.which("openssl"):
            pytest.skip("there is no openssl to make a certificate with")
        subprocess.run(["bash", "-ec", self.certify], cwd=self.folder, check=True)
        key = self.folder / "redis.key"
        assert key.stat().st_mode & 0o077 == 0
        with (self.folder / "said").open("wb") as said:
            server = subprocess.Popen(
                [find_server().path, "redis.conf"],
                cwd=self.folder,
                stdout=said,
                stderr=said,
            )
        with server, self._tls_in_front():
            try:
                wait_until(lambda: self._answers() or server.poll() is not None)
                assert server.poll() is None, (self.folder / "said").read_text()
                yield server
            finally:
                server.kill()

    @contextmanager
    def _tls_in_front(self) -> Iterator[None]:
        if not self._port_behind:
            yield
            return
        ports = str(self.port), str(self._port_behind)
        words = [sys.executable, str(ROOT / "tests" / "tls.py"), *ports]
        with subprocess.Popen(
            [*words, "redis.crt", "redis.key"], cwd=self.folder
        ) as process:
            try:
                yield
            finally:
                process.kill()

    def _answers(self) -> bool:
        with suppress(RedisError), self.client("admin") as client:
            return bool(client.ping())
        return False


def free_port() -> int:
    """Give a port of this host that nobody listens at."""
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return int(any_port.getsockname()[1])


def find_tls() -> bool:
    """Tell whether the Redis server was built with TLS."""
    words = [str(find_server().path), "--port", "0", "--tls-port", "1"]  # it has no key
    done = subprocess.run(words, capture_output=True, text=True)
    said = done.stdout + done.stderr
    return not re.search("Bad directive|Failed finding TLS support", said)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    folder = tmp_path / "recipe"
    folder.mkdir()
    return Recipe(folder)


def test_the_recipe_for_tls_and_least_rights_works(
    recipe: Recipe,
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_LEASE_S", "3")
    monkeypatch.setenv("NIGHTSWEEP_STAND_IN_STEP_S", "0.02")
    said = tmp_path / "said"
    command = ("nightsweep", "worker", "--device", "cpu", "--workers", "1")
    with recipe.serving() as server, recipe.client("admin") as admin:
        app = read_app(recipe.url_of("producer"))
        jobs = plan_seeds(*range(6), width=8, height=8, steps=40)
        submit(database, jobs)
        send(app, {"group": [one.job.key for one in jobs]}, priority=5)
        assert waiting(app) == 1
        monkeypatch.setenv("NIGHTSWEEP_REDIS_URL", recipe.url_of("worker"))
        with running(*command, said=said) as supervisor:
            wait_until(lambda: "done" in states(database).values())
            tree = [psutil.Process(supervisor.pid), *workers_of(supervisor)]
            assert len(tree) == 2
            shown = [word for process in tree for word in process.cmdline()]
            tree[1].kill()  # its jobs are given to the next one
            wait_until(lambda: set(states(database).values()) == {"done"})
            wait_until(lambda: waiting(app) == 0)
            assert not admin.hlen("nightsweep:unacked")
            refused = [each for each in admin.acl_log() if each["object"] != "setinfo"]
            assert refused == []
            assert_least_rights(recipe)
            wait_until(lambda: bool(workers_of(supervisor)))
            server.kill()
            wait_until(lambda: "Waiting: Redis must be" in log_text(settings))
            with pytest.raises(QueueError) as caught:
                waiting(app)
            supervisor.terminate()  # a second request follows: nothing is waited for
    app.close()
    written = [*shown, str(caught.value), said.read_text(), log_text(settings)]
    for password in recipe.passwords.values():
        assert password not in "\n".join(written)


def read_app(url: str) -> Celery:
    """Make the app of a producer whose environment names `url`."""
    found = read_settings({"NIGHTSWEEP_REDIS_URL": url})
    assert found.redis_url == url
    return make_app(url)


def workers_of(supervisor: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    return psutil.Process(supervisor.pid).children()


def log_text(settings: Settings) -> str:
    return "\n".join(file.read_text() for file in settings.logs.iterdir())


def assert_least_rights(recipe: Recipe) -> None:
    """Try what neither a producer nor a worker needs."""
    for user, words in {
        "producer": ["BRPOP nightsweep:images 1", "DEL nightsweep:images", "FLUSHALL"],
        "worker": ["SET elsewhere 1", "KEYS *", "CONFIG GET dir", "EVAL x 0"],
    }.items():
        with recipe.client(user) as client:
            for each in words:
                with pytest.raises(NoPermissionError):
                    client.execute_command(*each.split())


def test_a_wrong_password_is_told_without_any(recipe: Recipe) -> None:
    with recipe.serving():
        right = recipe.url_of("producer")
        app = read_app(right.replace(recipe.passwords["producer"], "geheim"))
        with pytest.raises(
            QueueError, match="invalid username-password pair"
        ) as caught:
            waiting(app)
        app.close()
    assert "geheim" not in str(caught.value)


def test_a_server_without_the_certificate_is_not_trusted(recipe: Recipe) -> None:
    with recipe.serving():
        certificate = str(recipe.folder / "redis.crt")
        subprocess.run(
            ["bash", "-ec", recipe.certify.replace("redis.", "other.")],
            cwd=recipe.folder,
            check=True,
        )
        other = str(recipe.folder / "other.crt")
        app = read_app(recipe.url_of("producer").replace(certificate, other))
        with pytest.raises(QueueError, match="certificate verify failed") as caught:
            waiting(app)
        app.close()
    assert recipe.passwords["producer"] not in str(caught.value)
