"""A PostgreSQL server of the tests' own, and supervisors with real workers."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from celery import Celery
from psycopg import sql

from storage.database import Database
from tests.processes import PATIENCE_S, children
from workers.devices import Seat
from workers.reconcile import reconcile
from workers.supervisor import Supervisor

#: Its programs refuse to run as root; the system's user for it, or any other.
USERS = ("postgres", "nobody")
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Give the folder of a PostgreSQL server's socket."""
    programs = _programs()
    if programs is None:
        reason = "there is no PostgreSQL server; install the package postgresql"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tempfile.mkdtemp()  # not in pytest's, which is closed to other users
    user = _user()
    shutil.chown(folder, user)
    data = f"{folder}/data"
    as_user: dict[str, Any] = {"user": user, "cwd": folder}
    initdb = [
        str(programs / "initdb"),
        "--no-sync",
        "-A",
        "trust",
        "-U",
        "me",
        "-D",
        data,
    ]
    subprocess.run(initdb, check=True, capture_output=True, **as_user)
    process = subprocess.Popen(
        [programs / "postgres", "-D", data, "-k", folder, "-h", "", "-F"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **as_user,
    )
    try:
        while not _answers(folder):
            assert process.poll() is None
        yield folder
    finally:
        process.send_signal(signal.SIGINT)  # its fast way to end
        process.wait()
        shutil.rmtree(folder)


@pytest.fixture
def url(server: str) -> str:
    """Give the URL of a new database."""
    name = f"t{next(NUMBERS)}"
    with psycopg.connect(host=server, user="me", dbname="postgres") as connection:
        connection.autocommit = True
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return f"postgresql+psycopg://me@/{name}?host={server}"


@pytest.fixture
def serving(database: Database, app: Celery) -> Iterator[Callable[..., Supervisor]]:
    """Give what starts a supervisor in a thread; its workers end with the test."""
    begun: list[tuple[Supervisor, threading.Thread]] = []

    def serve(*seats: Seat, give_up_after: int | None = None) -> Supervisor:
        made = Supervisor(
            seats or [Seat(name="cpu0", device="cpu")],
            database=database,
            repair=lambda: reconcile(database, app),
            give_up_after=give_up_after,
        )
        thread = threading.Thread(target=made.run)
        thread.start()
        begun.append((made, thread))
        return made

    yield serve
    for made, thread in begun:
        made.stop()
        thread.join(PATIENCE_S)
    assert not children()


def _programs() -> Path | None:
    # Debian keeps initdb off the PATH.
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = [Path(text).parent for text in [shutil.which("initdb")] if text]
    return next(iter(found + folders), None)


def _user() -> str | int:
    known = {entry.pw_name for entry in pwd.getpwall()}
    if os.getuid() == 0:
        return next(name for name in USERS if name in known)
    return os.getuid()


def _answers(folder: str) -> bool:
    try:
        psycopg.connect(host=folder, user="me", dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True
