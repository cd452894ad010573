"""The embedded Redis: one server per state folder, whatever happens to it."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TextIO

import psutil
import pytest
from redis import Redis

from producer.commands.doctor import examine
from storage.broker import append_only, embedded, server_socket
from storage.broker.embedded import (
    broker_url,
    is_running,
    refuse_out_of_reach,
    socket_url,
    stop,
)
from storage.broker.queue import make_app, redis_client, send, waiting
from storage.broker.server_socket import LONGEST_HOME, LONGEST_PATH, socket_path
from storage.broker.servers import find_server
from storage.errors import QueueError
from storage.settings import Settings, read_settings
from storage.sql.database import Database
from tests.builders import plan_seeds, submit
from tests.processes import find_servers
from workers.supervision.reconciler import reconcile


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
        from storage.broker.embedded import broker_url
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
        from storage.broker.embedded import broker_url, is_running
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
    # While the disk is busy, Redis keeps the last second's messages in memory.
    with redis_client(app) as client:
        while client.info("persistence")["aof_buffer_length"]:
            time.sleep(0.01)
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


def test_a_server_that_dies_while_it_is_waited_for_is_started_again(
    state: Settings,
) -> None:
    broker_url(state)
    (server,) = servers(state)
    server.suspend()
    found: list[str] = []
    asking = threading.Thread(target=lambda: found.append(broker_url(state)))
    asking.start()
    asking.join(timeout=0.5)
    server.kill()
    asking.join()
    assert found == [socket_url(state)]
    assert is_running(state)


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


@pytest.mark.parametrize(
    "name",
    [
        *("näh sweep", "50% #1?", "a+b&c=d", 'q"q', "back\\slash", "two\nlines"),
        *("[x]", "a\\?", "{a,b}*", "nb\u00a0sp", "👩\u200d🎨", "$HOME ; ~", "'"),
    ],
)
def test_a_home_with_an_unusual_name_works(tmp_path: Path, name: str) -> None:
    settings = read_settings({"NIGHTSWEEP_HOME": str(tmp_path / name)})
    try:
        app = make_app(broker_url(settings))
        send(app, {"group": ["0" * 32]}, priority=5)
        assert waiting(app) == 1
    finally:
        end_all(settings)


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Settings]:
    """Give settings whose socket's path would be too long."""
    home = tmp_path / ("deep" * 30)
    settings = read_settings({"NIGHTSWEEP_HOME": str(home)})
    yield settings
    end_all(settings)
    folder = socket_path(settings).parent
    if folder.is_dir():
        shutil.rmtree(folder)


def test_the_longest_home_that_holds_its_socket_itself_works(tmp_path: Path) -> None:
    home = tmp_path / "x"
    home = tmp_path / ("x" * (LONGEST_HOME + 1 - len(os.fsencode(home))))
    settings = read_settings({"NIGHTSWEEP_HOME": str(home)})
    assert len(os.fsencode(socket_path(settings))) == LONGEST_PATH
    try:
        broker_url(settings)
        assert socket_path(settings) == home / "redis" / "redis.sock"
        assert is_running(settings)
    finally:
        end_all(settings)


def test_a_path_that_is_too_long_for_a_socket_has_it_elsewhere(deep: Settings) -> None:
    path = socket_path(deep)
    assert path.parent.parent == server_socket.SHORT_FOLDER
    assert len(os.fsencode(path)) <= LONGEST_PATH
    broker_url(deep)
    assert is_running(deep)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert append_only.is_there(deep.home / "redis")


def test_commands_with_temporary_folders_of_their_own_share_one_server(
    deep: Settings, tmp_path: Path
) -> None:
    code = """if True:
        from storage.broker.embedded import broker_url
        from storage.settings import read_settings
        broker_url(read_settings())
    """
    for name in ("job1", "job2"):
        own = tmp_path / name
        own.mkdir()
        env = {**os.environ, "NIGHTSWEEP_HOME": str(deep.home), "TMPDIR": str(own)}
        subprocess.run([sys.executable, "-c", code], env=env, check=True)
    assert len(servers(deep)) == 1
    assert is_running(deep)


def test_a_home_by_another_name_has_the_same_server(
    state: Settings, tmp_path: Path
) -> None:
    (tmp_path / "short").symlink_to(state.home)
    long = tmp_path / ("deep" * 30)
    long.symlink_to(state.home)
    for name in ("short", long.name):
        there = read_settings({"NIGHTSWEEP_HOME": str(tmp_path / name)})
        assert broker_url(there) == socket_url(state)
    assert len(servers(state)) == 1


def test_a_server_that_cannot_be_reached_is_not_doubled(
    deep: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "CHANGE_S", 0.0)
    broker_url(deep)
    (server,) = servers(deep)
    with monkeypatch.context() as private:
        # As in a service that has a /tmp of its own.
        private.setattr(server_socket, "SHORT_FOLDER", tmp_path)
        expected = (
            f"The embedded Redis must listen at {socket_path(deep)}, but it runs in a "
            f"service or a job that has a {embedded.SHORT_FOLDER} of its own; run "
            "`nightsweep down` there, and set NIGHTSWEEP_HOME to a path of at most "
            f"{LONGEST_HOME} bytes, so that it holds the socket itself."
        )
        for act in (broker_url, stop):
            with pytest.raises(QueueError) as caught:
                act(deep)
            assert str(caught.value) == expected
        told = [check.detail for check in examine(deep) if check.name == "Redis"]
        assert told == [expected]
    assert servers(deep) == [server]
    assert is_running(deep)


def test_a_server_whose_socket_was_deleted_is_not_doubled(
    state: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "CHANGE_S", 0.0)
    broker_url(state)
    (server,) = servers(state)
    socket_path(state).unlink()
    with pytest.raises(QueueError) as caught:
        broker_url(state)
    assert str(caught.value) == (
        f"The embedded Redis must listen at {socket_path(state)}, but it runs without "
        "that socket, which was deleted; end the process that has "
        f"{state.home}/redis/server open."
    )
    assert servers(state) == [server]
    server.kill()
    server.wait()
    assert broker_url(state) == socket_url(state)


def hold(file: Path) -> TextIO:
    """Lock a file, as another process does."""
    opened = file.open("a+")
    fcntl.flock(opened, fcntl.LOCK_EX)
    return opened


def test_a_doctor_leaves_a_command_that_starts_the_server_to_it(
    settings: Settings,
) -> None:
    folder = settings.home / "redis"
    folder.mkdir()
    # The server has its lock from the first moment on, and listens a little later.
    with hold(folder / "lock"), hold(folder / "server"):
        refuse_out_of_reach(settings)


def test_a_doctor_waits_for_a_server_whose_command_was_killed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = settings.home / "redis"
    folder.mkdir()
    listening = socket.socket(socket.AF_UNIX)
    with closing(listening), hold(folder / "server"):

        def begin(_seconds: float) -> None:
            listening.bind(str(socket_path(settings)))
            listening.listen()

        monkeypatch.setattr(embedded.time, "sleep", begin)
        refuse_out_of_reach(settings)


def test_a_doctor_waits_for_a_server_that_is_about_to_die(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = settings.home / "redis"
    folder.mkdir()
    server = hold(folder / "server")
    monkeypatch.setattr(embedded.time, "sleep", lambda _seconds: server.close())
    refuse_out_of_reach(settings)
    assert server.closed


def test_another_ones_folder_is_not_trusted(
    deep: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_socket, "SHORT_FOLDER", tmp_path)
    folder = socket_path(deep).parent
    (tmp_path / "theirs").mkdir()
    folder.symlink_to(tmp_path / "theirs")
    with pytest.raises(QueueError, match=r"must be your own, but .* is not; remove it"):
        broker_url(deep)
    folder.unlink()


def queue_files(settings: Settings) -> Path:
    """Give the folder of the append-only file."""
    return settings.home / "redis" / append_only.QUEUE_FILES[1]


def leave_queue(settings: Settings) -> None:
    """Leave ten messages to the next server."""
    send(
        make_app(broker_url(settings)),
        {"group": [f"{n:032x}" for n in range(320)]},
        priority=5,
    )
    assert stop(settings)


def make_foreign(folder: Path) -> None:
    # The version of Redis 7.4, which Valkey does not read.
    (base,) = folder.glob("*.base.rdb")
    base.write_bytes(b"REDIS0012\xff" + bytes(8))


def damage(folder: Path) -> None:
    (recent,) = folder.glob("*.incr.aof")
    recent.write_bytes(b"*1\r\n$7\r\nNOTHING\r\n" * 3)


@pytest.mark.parametrize("spoil", [make_foreign, damage])
def test_a_queue_that_the_server_cannot_read_is_set_aside_and_sent_again(
    state: Settings,
    database: Database,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], None],
) -> None:
    submit(database, plan_seeds(1, 2, 3))
    leave_queue(state)
    spoil(queue_files(state))
    (state.home / "redis" / "server").write_text("Redis 7.4.1\n")
    app = make_app(broker_url(state))
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{find_server()} cannot read the queue that Redis 7.4.1 left, which is now in "
        f"{state.home}/redis/set-aside; the jobs that are not made yet are sent again "
        "from SQL."
    )
    assert (state.home / "redis" / "set-aside" / append_only.QUEUE_FILES[1]).is_dir()
    assert (state.home / "redis" / "server").read_text() == f"{find_server()}\n"
    assert waiting(app) == 0
    assert len(reconcile(database, app)) == 1


def test_a_queue_that_was_set_aside_before_gives_way(state: Settings) -> None:
    aside = state.home / "redis" / "set-aside"
    aside.mkdir(parents=True)
    (aside / append_only.QUEUE_FILES[0]).touch()
    leave_queue(state)
    make_foreign(queue_files(state))
    broker_url(state)
    assert [path.name for path in aside.iterdir()] == [append_only.QUEUE_FILES[1]]


def test_a_kill_while_a_queue_is_set_aside_costs_messages_only(
    state: Settings, database: Database
) -> None:
    submit(database, plan_seeds(1, 2, 3))
    leave_queue(state)
    append_only.set_aside(state.home / "redis")
    app = make_app(broker_url(state))
    assert waiting(app) == 0
    assert len(reconcile(database, app)) == 1


def test_a_start_that_fails_for_another_reason_keeps_the_queue(
    state: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_queue(state)
    with monkeypatch.context() as other:
        put_on_path(tmp_path, other)
        with pytest.raises(QueueError, match=r"but does not; .*redis\.log says why"):
            broker_url(state)
    assert waiting(make_app(broker_url(state))) == 10


def test_a_server_that_does_not_start_names_its_log(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_path(tmp_path, monkeypatch)
    with pytest.raises(QueueError, match=r"but does not; .*redis\.log says why"):
        broker_url(settings)
