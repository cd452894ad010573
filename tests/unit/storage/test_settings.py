"""Settings: what the environment says, and what is refused."""

import os
import stat
from pathlib import Path

import pytest

from storage import settings as module
from storage.errors import UsageError
from storage.settings import (
    NETWORK_FILESYSTEMS,
    VARIABLES,
    filesystem_of,
    read_settings,
    refuse_network_filesystem,
    without_password,
)
from storage.sql.database import open_database


def test_everything_is_in_the_home_unless_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    found = read_settings({})
    assert found.home == Path("/home/me/nightsweep")
    assert found.images == Path("/home/me/nightsweep/images")
    assert found.logs == Path("/home/me/nightsweep/logs")
    assert found.database_url == "sqlite:////home/me/nightsweep/nightsweep.db"
    assert found.database_path == Path("/home/me/nightsweep/nightsweep.db")
    assert (found.redis_url, found.lease_s) == (None, 90.0)


def test_images_and_database_follow_the_state_folder() -> None:
    found = read_settings({"NIGHTSWEEP_HOME": "/state"})
    assert found.images == Path("/state/images")
    assert found.database_path == Path("/state/nightsweep.db")


def test_every_variable_is_heeded() -> None:
    values = {
        "NIGHTSWEEP_HOME": "/state",
        "NIGHTSWEEP_IMAGES": "/shared/images",
        "NIGHTSWEEP_DATABASE_URL": "postgresql+psycopg://u:p@host/db",
        "NIGHTSWEEP_REDIS_URL": "redis://host/1",
        "NIGHTSWEEP_LEASE_S": "12.5",
    }
    assert set(values) <= set(VARIABLES)
    found = read_settings(values)
    assert found.home == Path("/state")
    assert found.images == Path("/shared/images")
    assert found.database_url == "postgresql+psycopg://u:p@host/db"
    assert found.database_path is None
    assert found.redis_url == "redis://host/1"
    assert found.lease_s == 12.5


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_that_is_no_text_is_refused(variable: str) -> None:
    value = os.fsdecode(b"/tmp/caf\xe9")
    with pytest.raises(
        UsageError, match=rf"{variable} must be UTF-8 text, got /tmp/ca"
    ):
        read_settings({variable: value})


def test_options_of_sqlite_are_refused_before_a_file_is_looked_for() -> None:
    url = "sqlite:////state/nightsweep.db?timeout=3"
    with pytest.raises(UsageError, match=r"leave out '\?timeout=3'\.$"):
        read_settings({"NIGHTSWEEP_DATABASE_URL": url})


def test_a_state_folder_in_a_home_that_is_no_text_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", os.fsdecode(b"/home/caf\xe9"))
    with pytest.raises(UsageError, match=r"got /home/caf\\xe9/nightsweep; set it to"):
        read_settings({})


def test_an_empty_variable_is_as_if_it_were_not_set() -> None:
    home = {"NIGHTSWEEP_HOME": "/state"}
    assert read_settings({**dict.fromkeys(VARIABLES, ""), **home}) == read_settings(
        home
    )


def test_the_processs_own_environment_is_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_LEASE_S", "7")
    assert read_settings().lease_s == 7


def test_folders_are_absolute_and_the_home_is_filled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    found = read_settings({"NIGHTSWEEP_HOME": "state", "NIGHTSWEEP_IMAGES": "~/pics"})
    assert found.home == tmp_path / "state"
    assert found.images == Path("/home/me/pics")


def test_a_home_of_nobody_is_refused() -> None:
    with pytest.raises(UsageError, match=r"~nobody-at-all/x has none; set NIGHTSWEEP"):
        read_settings({"NIGHTSWEEP_HOME": "~nobody-at-all/x"})


@pytest.mark.parametrize("text", ["soon", "0", "0.5", "-90", "nan", "inf"])
def test_a_lease_must_be_seconds(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_settings({"NIGHTSWEEP_LEASE_S": text})
    assert str(caught.value) == (
        f"NIGHTSWEEP_LEASE_S must be seconds, 1 or more, got {text!r}."
    )


@pytest.mark.parametrize(
    ("text", "wanted"), [("1", True), ("0", False), ("auto", None), ("", None)]
)
def test_compiling_is_asked_for_refused_or_decided_later(
    text: str, *, wanted: bool | None
) -> None:
    assert read_settings({"NIGHTSWEEP_COMPILE": text}).compile_networks is wanted


def test_compiling_is_asked_for_by_nothing_else() -> None:
    with pytest.raises(
        UsageError, match="NIGHTSWEEP_COMPILE must be 1, 0 or auto, got 'yes'"
    ):
        read_settings({"NIGHTSWEEP_COMPILE": "yes"})


def test_the_state_folder_is_private(tmp_path: Path) -> None:
    found = read_settings({"NIGHTSWEEP_HOME": str(tmp_path / "deep" / "home")})
    found.make_home()
    found.make_home()
    assert stat.S_IMODE(found.home.stat().st_mode) == 0o700
    assert found.images.is_dir()
    assert found.logs.is_dir()


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = read_settings({"NIGHTSWEEP_HOME": str(tmp_path / "file" / "home")})
    with pytest.raises(
        UsageError, match=r"Not a directory: .*/file/home.*; set NIGHTSWEEP_HOME"
    ):
        found.make_home()


def test_the_file_system_of_a_folder_to_come_is_that_of_its_parent(
    tmp_path: Path,
) -> None:
    assert filesystem_of(Path("/proc/self")) == "proc"
    assert filesystem_of(tmp_path / "not" / "yet") == filesystem_of(tmp_path)


def test_a_link_is_followed_to_its_file_system(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc/self")
    assert filesystem_of(tmp_path / "link" / "deep") == "proc"


@pytest.mark.parametrize("kind", sorted(NETWORK_FILESYSTEMS))
def test_state_on_a_network_is_refused_with_the_way_out(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "filesystem_of", lambda _folder: kind)
    with pytest.raises(UsageError) as caught:
        refuse_network_filesystem(Path("/shared/state"))
    assert str(caught.value) == (
        f"State must be on a local disk, but /shared/state is on {kind}, where the "
        "locks of SQLite and Redis cannot be trusted; set NIGHTSWEEP_HOME to a local "
        "folder, and NIGHTSWEEP_IMAGES to the shared one if the images should stay "
        "there."
    )


def test_nothing_is_made_on_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "filesystem_of", lambda _folder: "nfs4")
    found = read_settings({"NIGHTSWEEP_HOME": str(tmp_path / "home")})
    with pytest.raises(UsageError, match="State must be on a local disk"):
        found.make_home()
    with pytest.raises(UsageError, match="State must be on a local disk"):
        open_database(f"sqlite:///{tmp_path}/nightsweep.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:geheim@host/0", "redis://:***@host/0"),
        ("redis://me:geheim@host:1/0", "redis://me:***@host:1/0"),
        ("redis://:ge@heim@host", "redis://:***@host"),
        ("redis://:ge/he#im@host/0", "redis://:***@host/0"),
        ("postgresql://u:geheim@[::1/db", "postgresql://u:***@[::1/db"),
        ("postgresql://h/db?user=u&password=geheim&x=1", None),
        ("redis+socket:///a/redis.sock?virtual_host=0", None),
        ("sqlite:////home/me/nightsweep.db", "sqlite:////home/me/nightsweep.db"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str | None) -> None:
    assert "geheim" not in without_password(url)
    assert "heim" not in without_password(url)
    assert without_password(url) == (shown or url.replace("geheim", "***"))


def test_logs_are_text_or_json() -> None:
    assert read_settings({"NIGHTSWEEP_LOG": "json"}).json_logs
    assert not read_settings({"NIGHTSWEEP_LOG": "text"}).json_logs
    with pytest.raises(UsageError, match="must be text or json, got 'xml'"):
        read_settings({"NIGHTSWEEP_LOG": "xml"})
