"""A night: a queue, a database, producers and workers, and what came of them.

Workers, and producers that something happens to, are real processes; other commands run
in the test's own. They paint with the stand-in, which keeps a journal of what it began.
The database counts by itself how often a job was said to be done.
"""

import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import psutil
import sqlalchemy as sa
from click.testing import CliRunner
from PIL import Image

from producer.cli import cli
from storage.files.images import FOLDERS
from storage.files.places import place_at
from storage.settings import Settings
from storage.sql.database import Database
from storage.sql.schema import jobs, results
from tests.faults.server import RedisServer
from tests.processes import find_workers, running, wait_until

STAND_IN = "tests.stand_in:make_painter"
WORKER = ("nightsweep", "worker", "--device", "cpu")
#: A worker that has no supervisor, and says that it is of another machine.
FAR_WORKER = """
import socket
socket.gethostname = lambda: "elsewhere"
from workers.process.main import main
main(["--name", "far0", "--device", "cpu"])
"""
#: Counts effects: how often a row was made done, and how often a result was written.
COUNTERS = {
    "sqlite": (
        "CREATE TABLE effects (job_id INTEGER, kind TEXT)",
        "CREATE TRIGGER a AFTER UPDATE OF state ON jobs WHEN NEW.state = 'done' "
        "BEGIN INSERT INTO effects VALUES (NEW.id, 'done'); END",
        "CREATE TRIGGER b AFTER INSERT ON results "
        "BEGIN INSERT INTO effects VALUES (NEW.job_id, 'result'); END",
        "CREATE TRIGGER c AFTER UPDATE ON results "
        "BEGIN INSERT INTO effects VALUES (NEW.job_id, 'result'); END",
    ),
    "postgresql": (
        "CREATE TABLE effects (job_id INTEGER, kind TEXT)",
        "CREATE FUNCTION done() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO effects VALUES (NEW.id, 'done'); RETURN NEW; END $$",
        "CREATE FUNCTION result() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO effects VALUES (NEW.job_id, 'result'); RETURN NEW; END $$",
        "CREATE TRIGGER a AFTER UPDATE OF state ON jobs FOR EACH ROW "
        "WHEN (NEW.state = 'done') EXECUTE FUNCTION done()",
        "CREATE TRIGGER b AFTER INSERT OR UPDATE ON results FOR EACH ROW "
        "EXECUTE FUNCTION result()",
    ),
}


@dataclass(frozen=True, slots=True)
class Stint:
    """A job in a worker's hands.

    Attributes:
        process: Id of the worker's process.
        began: When; of the clock that all processes of a machine share.
        left: Likewise; None where the process died with it.
        is_done: Whether it was painted to its end.
    """

    process: int
    began: float
    left: float | None = None
    is_done: bool = False


class Night:
    """A state folder, its queue and its database, for processes that a test starts.

    Attributes:
        settings: Where everything is.
        database: The same that the processes use.
        redis: The server that they use; not started where they have their own.
        folder: Where the sweep files and the words of commands go.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        database: Database,
        redis: RedisServer,
        folder: Path,
    ) -> None:
        self.settings = settings
        self.database = database
        self.redis = redis
        self.folder = folder
        self.journal = folder / "journal"
        with database.write() as connection:
            for statement in COUNTERS[connection.dialect.name]:
                connection.execute(sa.text(statement))

    def spec(
        self,
        *,
        count: int,
        steps: int = 5,
        name: str = "night",
        first: int = 0,
        prompts: str = "a cat",
        side_px: int = 8,
    ) -> Path:
        """Write a sweep of `count` seeds for each of `prompts`, small pictures."""
        path = self.folder / f"{name}.yaml"
        path.write_text(
            f"name: {name}\nlimits: {{max_jobs: 200000}}\n"
            f"base: {{model: 'builtin:shapes', width: {side_px}, height: {side_px}, "
            f"steps: {steps}}}\n"
            f"axes: {{prompt: [{prompts}], seed: {{start: {first}, count: {count}}}}}\n"
        )
        return path

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        """Start a command of ours."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "nightsweep", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, code: int = 0) -> str:
        """Run a command of ours to its end, in this process; return what it said."""
        said = CliRunner().invoke(cli, words)
        assert said.exit_code == code, said.output
        return said.output

    def submit(self, *, count: int, **what: object) -> None:
        """Submit a sweep; arguments as of `spec`."""
        self.run("submit", str(self.spec(count=count, **what)))  # type: ignore[arg-type]

    def working(
        self, count: int = 1, **env: object
    ) -> "AbstractContextManager[subprocess.Popen[bytes]]":
        """Have a supervisor with `count` workers; they end with the block."""
        return running(
            *WORKER,
            "--workers",
            str(count),
            said=self.folder / "said",
            env={f"NIGHTSWEEP_{name}": str(value) for name, value in env.items()},
        )

    @contextmanager
    def working_elsewhere(self) -> "Iterator[subprocess.Popen[bytes]]":
        """Have a worker of another machine, which nobody supervises."""
        words = [sys.executable, "-c", FAR_WORKER]
        with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
            try:
                yield process
            finally:
                process.kill()

    def workers(self) -> list[psutil.Process]:
        """Find the worker processes of this night's supervisors, alive or dead."""
        return find_workers(self.settings.home)

    def kill_a_worker(self, with_signal: int = signal.SIGKILL) -> psutil.Process:
        """Kill a worker process that has work in hand; give it."""
        while True:
            wait_until(lambda: self._busy() != [])
            for victim in self._busy():
                with suppress(psutil.NoSuchProcess):  # it ends meanwhile
                    victim.send_signal(with_signal)
                    return victim

    def _busy(self) -> list[psutil.Process]:
        owners = " ".join(self.owners())
        return [one for one in self.workers() if f":{one.pid}:" in owners]

    def owners(self) -> set[str]:
        """Name the workers that have a job now."""
        query = sa.select(jobs.c.owner).where(jobs.c.state == "leased").distinct()
        with self.database.read() as connection:
            return set(connection.execute(query).scalars())

    def end_leases(self) -> None:
        """Have all leases end now, as when time has passed.

        Who is alive and has work in hand loses it too: end the dead's only.
        """
        ended = sa.update(jobs).where(jobs.c.state == "leased").values(lease_until=1.0)
        with self.database.write() as connection:
            connection.execute(ended)

    def states(self) -> Counter[str]:
        """Count the jobs by state."""
        query = sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state)
        with self.database.read() as connection:
            return Counter(dict(map(tuple, connection.execute(query).all())))

    def wait_for(self, done: int) -> None:
        """Wait until so many jobs are done, for as long as any job moves."""
        wait_until(lambda: self.states()["done"] >= done, moving=self._moved)

    def _moved(self) -> tuple[Counter[str], int]:
        return self.states(), self.began()

    def stints(self) -> dict[str, list[Stint]]:
        """Read the journal: how often each job was begun, by key."""
        found: dict[str, list[Stint]] = defaultdict(list)
        if not self.journal.exists():
            return found
        for line in self.journal.read_text().splitlines():
            what, key, pid, at = line.split()
            if what == "began":
                found[key].append(Stint(int(pid), float(at)))
            else:
                last = max(
                    index
                    for index, stint in enumerate(found[key])
                    if stint.process == int(pid)
                )
                stint = found[key][last]
                found[key][last] = replace(
                    stint, left=float(at), is_done=what == "done"
                )
        return found

    def began(self) -> int:
        """Count how often any job was begun."""
        return sum(map(len, self.stints().values()))

    def begun_by_two(self) -> list[str]:
        """Name the jobs that were in the hands of two workers at the same time."""
        found = []
        for key, stints in self.stints().items():
            ordered = sorted(stints, key=lambda stint: stint.began)
            for first, second in pairwise(ordered):
                if first.left is not None and second.began < first.left:
                    found.append(key)
        return found

    def log(self) -> str:
        """Give what all workers and supervisors said."""
        files = [*self.settings.logs.glob("*.log"), self.folder / "said"]
        return "".join(path.read_text() for path in files if path.exists())

    def check(self, *, done: int, others: int = 0) -> None:
        """Check that every image is there once and right, and nothing is in hand.

        Args:
            done: Jobs that must be done, each with one effect.
            others: Jobs that failed, or were set aside.
        """
        states = self.states()
        assert states["done"] == done, states
        assert states.total() == done + others, states
        assert not states["leased"]
        assert self._effects() == {"done": {1: done}, "result": {1: done}}
        self._check_images(done)
        # The last messages find no job.
        if any(self.redis.left().values()) and not self.workers():
            # The workers ended before they took the last one.
            with self.working():
                wait_until(lambda: not any(self.redis.left().values()))
        wait_until(lambda: not any(self.redis.left().values()))

    def _effects(self) -> dict[str, dict[int, int]]:
        """Count the jobs that had an effect once, twice and so on, by its kind."""
        times: dict[str, Counter[int]] = {"done": Counter(), "result": Counter()}
        query = sa.text(
            "SELECT kind, count(*) AS times FROM effects GROUP BY kind, job_id"
        )
        with self.database.read() as connection:
            for kind, count in connection.execute(query):
                times[kind][count] += 1
        return {kind: dict(counted) for kind, counted in times.items()}

    def _check_images(self, done: int) -> None:
        columns = (jobs.c.key, results.c.path, results.c.folder_id)
        query = sa.select(*columns).join(results, results.c.job_id == jobs.c.id)
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        keys = {row.path: row.key for row in rows}
        assert {row.folder_id for row in rows} == {1}
        place = place_at(self.settings.images)
        files = {
            path
            for shard in place.names("")
            if shard in FOLDERS
            for path in place.list_shard(shard)
            if path.endswith(".png")
        }
        assert set(keys) == files
        assert len(keys) == done
        if os.environ["NIGHTSWEEP_PAINTER"] != STAND_IN:
            return
        for name, key in keys.items():
            with Image.open(place.local(name)) as image:
                assert image.getpixel((0, 0)) == tuple(bytes.fromhex(key[:6]))
