"""The command `view`: where it listens, what it prints, and what it refuses."""

import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from producer.cli import cli
from producer.commands import view
from producer.commands.view_address import FIRST_PORT, PORTS, Address, has_browser
from storage.errors import UsageError
from storage.settings import read_settings
from tests.processes import PATIENCE_S
from tests.unit.filled_store import filled

#: Packages that only some pages or changes need.
HEAVY = ("alembic", "celery", "jinja2", "numpy", "PIL", "scipy", "torch")


def run(*words: str) -> tuple[int, str]:
    said = CliRunner().invoke(cli, ["view", *words])
    return said.exit_code, " ".join(said.output.split())


@pytest.fixture
def taken() -> Iterator[int]:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.fixture
def address() -> Iterator[Address]:
    with Address.bound("127.0.0.1", None) as found:
        yield found


def test_a_port_is_chosen_from_those_of_galleries(address: Address) -> None:
    assert address.port in range(FIRST_PORT, FIRST_PORT + PORTS)
    with Address.bound("127.0.0.1", None) as other:
        assert other.port > address.port


def test_answers_are_sent_without_delay(address: Address) -> None:
    # asyncio turns off Nagle's algorithm for sockets that name TCP as their protocol.
    assert address.listening.proto == socket.IPPROTO_TCP


def test_a_port_that_is_taken_is_refused(taken: int) -> None:
    code, said = run("--port", str(taken))
    assert code == 2
    assert f"127.0.0.1 port {taken} gives: Address already in use; choose" in said


def test_a_host_that_is_not_this_machine_is_refused() -> None:
    with (
        pytest.raises(UsageError, match="--host and --port must be free here"),
        Address.bound("192.0.2.1", None),
    ):
        pass


def test_a_short_token_is_refused() -> None:
    code, said = run("--token", "secret")
    assert code == 2
    assert "--token must have 16 letters or more, got 6" in said


def test_a_query_is_read_before_anything_is_served() -> None:
    code, said = run("steps:lots")
    assert code == 2
    assert "steps must be" in said


def test_a_missing_package_is_named_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(view, "_PACKAGES", ("starlette", "a_package_of_nobody"))
    code, said = run()
    assert code == 2
    assert "a_package_of_nobody is not installed; run `pip install" in said
    assert "'nightsweep[web]'`" in said


def test_only_loopback_needs_no_token(address: Address) -> None:
    assert address.is_loopback
    assert view._read_token(None, address) is None
    assert view._read_token("x" * 16, address) == "x" * 16
    with Address.bound("0.0.0.0", None) as everywhere:  # noqa: S104 - the point
        assert not everywhere.is_loopback
        made = view._read_token(None, everywhere)
        assert made
        assert len(made) > 40
        assert made != view._read_token(None, everywhere)


def test_browsers_may_use_the_names_of_the_address_only(address: Address) -> None:
    assert address.hosts == ("localhost", "127.0.0.1", "::1")
    with Address.bound("0.0.0.0", None) as everywhere:  # noqa: S104 - the point
        assert socket.gethostname().lower() in everywhere.hosts
        assert "evil.example" not in everywhere.hosts


def test_the_url_shows_the_query_and_logs_in(address: Address) -> None:
    base = f"http://127.0.0.1:{address.port}/"
    assert address.url() == base
    assert address.url('first "red fox"') == f"{base}grid?q=first+%22red+fox%22"
    assert address.url("a", token="t&") == f"{base}?token=t%26&q=a"  # noqa: S106


@pytest.mark.parametrize(
    ("connection", "typed"),
    [
        ("10.0.0.7 51000 10.0.0.9 22", "ssh -N -L {0}:127.0.0.1:{0} ada@10.0.0.9"),
        ("fd::7 51 fd::9 2222", "ssh -N -p 2222 -L {0}:127.0.0.1:{0} ada@fd::9"),
        ("", None),
    ],
)
def test_over_ssh_the_tunnel_is_said(
    address: Address, connection: str, typed: str | None
) -> None:
    found = address.tunnel({"SSH_CONNECTION": connection}, "ada")
    assert found == (typed and typed.format(address.port))


@pytest.mark.parametrize(
    ("environ", "platform", "is_there"),
    [
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "linux", False),
        ({}, "darwin", True),
        ({"DISPLAY": ":10", "SSH_CONNECTION": "a 1 b 22"}, "linux", False),
        ({"SSH_CONNECTION": "a 1 b 22"}, "darwin", False),
        ({"BROWSER": "code", "SSH_CONNECTION": "a 1 b 22"}, "linux", True),
    ],
)
def test_a_browser_is_opened_where_the_user_sits(
    environ: dict[str, str], platform: str, is_there: bool
) -> None:
    assert has_browser(environ, platform) is is_there


def test_the_user_is_the_systems_unless_a_setting_names_one() -> None:
    assert read_settings({"NIGHTSWEEP_USER": " Ada L. "}).user == "Ada L."
    assert read_settings({}).user
    for name in ("x" * 65, "a\nb"):
        with pytest.raises(UsageError, match="NIGHTSWEEP_USER must be a name of"):
            read_settings({"NIGHTSWEEP_USER": name})


def test_the_server_starts_without_what_few_visits_need() -> None:
    code = (
        "import sys; from producer.cli import cli; "
        "from producer.commands import view, view_server; "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert said.stdout.decode().strip() == "[]"


def test_the_command_serves_until_ctrl_c(tmp_path: Path) -> None:
    settings, _ = filled(tmp_path)
    serving = subprocess.Popen(
        [sys.executable, "-m", "nightsweep", "view", "shapes", "--no-open"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"NIGHTSWEEP_HOME": str(settings.home), "PATH": "/usr/bin:/bin"},
    )
    with serving:
        assert serving.stdout is not None
        url = urlsplit(serving.stdout.readline().strip())
        assert (url.hostname, url.path, url.query) == ("127.0.0.1", "/grid", "q=shapes")
        assert url.port is not None
        connection = http.client.HTTPConnection(url.hostname, url.port, PATIENCE_S)
        connection.request("GET", "/api/sweeps")
        assert b'"name":"shapes"' in connection.getresponse().read()
        # A page that listens keeps no server alive.
        connection.request("GET", "/api/events")
        assert connection.getresponse().status == 200
        serving.send_signal(signal.SIGINT)
        _, said = serving.communicate(timeout=PATIENCE_S)
        connection.close()
    assert (serving.returncode, said) == (0, "Ctrl-C ends it.\n")
