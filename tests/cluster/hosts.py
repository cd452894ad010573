"""Producer, Redis, PostgreSQL and workers, each on a host of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.cluster.network import Host, Network
from tests.faults.night import STAND_IN, WORKER, Night
from tests.faults.server import RedisServer
from tests.postgresql import Server
from tests.processes import PATIENCE_S, ROOT, wait_until

#: Seconds after which silence frees a job. Every cut lasts longer.
LEASE_S = 6
CUT_S = 14
#: Images of each night: some seconds' work for two hosts of two workers.
JOBS = 240
STEPS = 10
STEP_S = 0.04
PORT = 6379


class Cluster:
    """Five hosts, and a night on them.

    The test itself asks Redis and PostgreSQL by sockets in the file system, which it
    shares with all hosts.

    Attributes:
        network: What connects them.
        night: The night's journal, rows and images.
        queue: The host of Redis.
        sql: The host of PostgreSQL.
        producer: The host where sweeps are submitted.
        workers: The hosts that paint.
    """

    def __init__(self, network: Network, folder: Path) -> None:
        self.network = network
        self.queue = network.add("queue")
        self.sql = network.add("sql")
        self.producer = network.add("producer")
        self.workers = (network.add("one"), network.add("two"))
        self._folder = folder
        self._begun: list[subprocess.Popen[bytes]] = []

    @property
    def services(self) -> tuple[Host, Host]:
        """The hosts of Redis and PostgreSQL."""
        return self.queue, self.sql

    def redis_rules(self) -> tuple[str, ...]:
        """Return how Redis listens to the other hosts."""
        address = ("--port", str(PORT), "--bind", self.queue.address)
        return (*address, "--protected-mode", "no")

    def begin_night(self, night: Night, server: Server, database: str) -> None:
        """Take a night, and the database that it is in."""
        self.night = night
        self._environment = {
            "NIGHTSWEEP_DATABASE_URL": server.url(database, host=self.sql.address),
            "NIGHTSWEEP_REDIS_URL": f"redis://{self.queue.address}:{PORT}/0",
            "NIGHTSWEEP_IMAGES": str(night.settings.images),
            "NIGHTSWEEP_LEASE_S": str(LEASE_S),
            "NIGHTSWEEP_PAINTER": STAND_IN,
            "NIGHTSWEEP_STAND_IN_JOURNAL": str(night.journal),
            "NIGHTSWEEP_STAND_IN_STEP_S": str(STEP_S),
            "NIGHTSWEEP_STAND_IN_WIDTH": "2",
            "PYTHONPATH": str(ROOT),
        }

    def begin(self, host: Host, *words: str, **env: str) -> "subprocess.Popen[bytes]":
        """Start a module of ours on a host."""
        home = {"NIGHTSWEEP_HOME": str(self.home(host))}
        with self._said(host).open("ab") as said, host.entered():
            process = subprocess.Popen(
                [sys.executable, "-P", *words],
                env={**os.environ, **self._environment, **home, **env},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        self._begun.append(process)
        return process

    def close(self) -> None:
        """Kill what still runs."""
        for process in self._begun:
            process.kill()
            process.wait()

    def home(self, host: Host) -> Path:
        """Return a host's state folder."""
        return self._folder / host.name

    def begin_submission(self, count: int = JOBS) -> "subprocess.Popen[bytes]":
        """Begin to submit a sweep on the producer's host."""
        spec = self.night.spec(count=count, steps=STEPS)
        return self.begin(self.producer, "-m", "nightsweep", "submit", str(spec))

    def submit(self, count: int = JOBS) -> None:
        """Submit a sweep on the producer's host."""
        assert self.begin_submission(count).wait(PATIENCE_S) == 0, self.said()

    @contextmanager
    def working(self, *hosts: Host, **env: str) -> Iterator[None]:
        """Have two workers on each of some hosts; those that still run end in order."""
        supervisors = []
        with ExitStack() as stack:
            for host in hosts:
                words = ("-m", *WORKER, "--workers", "2")
                supervisor = self.begin(host, *words, **env)
                supervisors.append(supervisor)
                stack.callback(_end, supervisor)
            yield
        # -9: its host was lost.
        assert {one.returncode for one in supervisors} <= {0, -9}, self.said()

    def wait_until_working(self, host: Host) -> None:
        """Wait until a host has work in hand."""
        wait_until(
            lambda: any(owner.startswith(host.name) for owner in self.night.owners())
        )

    def make_all(self, count: int = JOBS) -> None:
        """Wait until everything is made, and check that each image is there once."""
        self.night.wait_for(count)
        self.night.check(done=count)

    def said(self) -> str:
        """Return what the hosts said."""
        logs = [*self._folder.glob("*/logs/*.log"), *self._folder.glob("*.said")]
        return "".join(path.read_text() for path in logs)

    def _said(self, host: Host) -> Path:
        return self._folder / f"{host.name}.said"


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(PATIENCE_S)
    process.kill()
    process.wait()


@contextmanager
def serving_redis(cluster: Cluster, folder: Path) -> Iterator[RedisServer]:
    """Have Redis on its host."""
    server = RedisServer(folder, rules=cluster.redis_rules())
    try:
        with cluster.queue.entered():
            server.start()
        yield server
    finally:
        server.end()


@contextmanager
def serving_sql(cluster: Cluster, programs: Path) -> Iterator[Server]:
    """Have PostgreSQL on its host."""
    with cluster.sql.entered():
        server = Server(programs, address=cluster.sql.address)
    try:
        yield server
    finally:
        server.close()
