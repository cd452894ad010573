"""The embedded Redis: one server per state folder, whatever happens to it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from redis import Redis

from storage.embedded import (
    SOCKET_PATH_BYTES,
    broker_url,
    is_running,
    socket_path,
    socket_url,
    stop,
)
from storage.errors import QueueError
from storage.queue import make_app, send, waiting
from storage.settings import Settings, read_settings
from tests.processes import find_servers


@pytest.fixture
def state(settings: Settings) -> Iterator[Settings]:
    """Give settings whose server is ended after the test."""
    yield settings
    end_all(settings)


def servers(settings: Settings) -> list[psutil.Process]:
    return find_servers(settings.home / "redis")


def end_all(settings: Settings) -> None:
    for process in servers(settings):
        process.kill()
        while is_running(settings):
            time.sleep(0.01)


def client(settings: Settings) -> "Redis":
    return Redis(unix_socket_path=str(socket_path(settings)))


def put_on_path(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    says: str = "Redis server v=7.2.4 sha=00000000:0",
) -> Path:
    """Put a redis-server on the PATH that says its version, and starts nothing."""
    script = folder / "redis-server"
    script.write_text(f'#!/bin/sh\necho "{says}"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return script


def test_a_url_that_was_set_starts_no_server(state: Settings) -> None:
    url = "redis://host/0"
    there = read_settings(
        {"NIGHTSWEEP_HOME": str(state.home), "NIGHTSWEEP_REDIS_URL": url}
    )
    assert broker_url(there) == url
    assert not is_running(state)


def test_the_server_starts_when_it_is_needed_and_is_private(state: Settings) -> None:
    assert not is_running(state)
    assert broker_url(state) == socket_url(state)
    assert is_running(state)
    assert len(servers(state)) == 1
    assert client(state).config_get("port") == {"port": "0"}
    assert socket_path(state).stat().st_mode & 0o077 == 0


def test_it_outlives_the_command_that_started_it(state: Settings) -> None:
    code = """if True:
        from storage.embedded import broker_url
        from storage.settings import read_settings
        print(broker_url(read_settings()))
    """
    said = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "NIGHTSWEEP_HOME": str(state.home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (said.stdout.strip(), said.stderr) == (socket_url(state), "")
    assert is_running(state)


def test_commands_that_start_it_at_once_share_one_server(state: Settings) -> None:
    code = """if True:
        from storage.embedded import broker_url, is_running
        from storage.settings import read_settings
        settings = read_settings()
        print("ready", flush=True)
        input()
        broker_url(settings)
        assert is_running(settings)
    """
    together = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "NIGHTSWEEP_HOME": str(state.home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(4)
    ]
    for process in together:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in together:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in together] == [""] * 4
    assert [process.returncode for process in together] == [0] * 4
    assert len(servers(state)) == 1


def test_its_queue_survives_a_kill(state: Settings) -> None:
    app = make_app(broker_url(state))
    send(app, {"group": [f"{n:032x}" for n in range(320)]}, priority=5)
    (server,) = servers(state)
    server.kill()
    while is_running(state):
        time.sleep(0.01)
    assert broker_url(state) == socket_url(state)
    assert waiting(app) == 10


def test_stopping_it_keeps_its_queue(state: Settings) -> None:
    app = make_app(broker_url(state))
    send(app, {"group": ["0" * 32]}, priority=5)
    assert stop(state)
    assert not is_running(state)
    assert not stop(state)
    broker_url(state)
    assert waiting(app) == 1


def test_a_server_that_is_busy_is_waited_for_and_not_doubled(state: Settings) -> None:
    broker_url(state)
    (server,) = servers(state)
    server.suspend()
    found: list[str] = []
    asking = threading.Thread(target=lambda: found.append(broker_url(state)))
    asking.start()
    asking.join(timeout=0.5)
    assert found == []
    server.resume()
    asking.join()
    assert found == [socket_url(state)]
    assert servers(state) == [server]


def test_a_stop_waits_for_a_server_that_is_busy(state: Settings) -> None:
    broker_url(state)
    (server,) = servers(state)
    ended: list[bool] = []
    asking = threading.Thread(target=lambda: ended.append(stop(state)))
    server.send_signal(signal.SIGSTOP)
    asking.start()
    asking.join(timeout=0.3)
    server.send_signal(signal.SIGCONT)
    asking.join()
    assert ended == [True]
    assert not is_running(state)


@pytest.mark.parametrize("name", ["näh sweep", "50% #1?", "a+b&c=d"])
def test_a_home_with_an_unusual_name_works(tmp_path: Path, name: str) -> None:
    settings = read_settings({"NIGHTSWEEP_HOME": str(tmp_path / name)})
    try:
        app = make_app(broker_url(settings))
        send(app, {"group": ["0" * 32]}, priority=5)
        assert waiting(app) == 1
    finally:
        end_all(settings)


def test_a_path_that_is_too_long_for_a_socket_has_it_elsewhere(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = tmp_path_factory.mktemp("s")
    monkeypatch.setattr("tempfile.tempdir", str(short))
    settings = read_settings({"NIGHTSWEEP_HOME": str(tmp_path / ("deep" * 30))})
    path = socket_path(settings)
    assert path.parent.parent == short
    assert len(os.fsencode(path)) <= SOCKET_PATH_BYTES
    try:
        broker_url(settings)
        assert is_running(settings)
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert (settings.home / "redis" / "appendonlydir").exists()
    finally:
        end_all(settings)


def test_another_ones_folder_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    settings = read_settings({"NIGHTSWEEP_HOME": str(tmp_path / ("deep" * 30))})
    folder = socket_path(settings).parent
    (tmp_path / "theirs").mkdir()
    folder.symlink_to(tmp_path / "theirs")
    with pytest.raises(QueueError, match=r"must be your own, but .* is not; remove it"):
        broker_url(settings)


def test_a_server_that_does_not_start_names_its_log(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_path(tmp_path, monkeypatch)
    with pytest.raises(QueueError, match=r"but does not; .*redis\.log says why"):
        broker_url(settings)
