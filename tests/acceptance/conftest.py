"""One warm worker for all acceptance tests, with a state folder of its own."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from producer.cli import cli
from storage.broker.embedded import stop
from storage.settings import read_settings
from tests.processes import PATIENCE_S, ROOT, wait_until


@dataclass(frozen=True)
class Bench:
    """A state folder, and the command line that works on it."""

    home: Path
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("NIGHTSWEEP_")}
        return {**kept, "NIGHTSWEEP_HOME": str(self.home), **self.extra}

    def paint_with_the_stand_in(self) -> None:
        """Have workers that start from now on paint without torch."""
        painter = "tests.stand_in:make_painter"
        self.extra.update(NIGHTSWEEP_PAINTER=painter, PYTHONPATH=str(ROOT))

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-P", "-m", "nightsweep", *words]

    def process(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end in a process of its own; it must succeed."""
        done = subprocess.run(
            self.command(*words),
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def cli(self, *words: str, code: int = 0, stdin: str | None = None) -> Result:
        """Run a command to its end in this process, and check its exit code."""
        env = {"NIGHTSWEEP_HOME": str(self.home), **self.extra}
        done = CliRunner().invoke(cli, words, env=env, input=stdin)
        assert done.exit_code == code, done.output
        return done

    def find(self, *words: str) -> list[dict[str, Any]]:
        """Ask `find --json` and read its lines."""
        lines = self.cli("find", "--json", *words).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def states(self) -> dict[str, int]:
        """Count all jobs by state; none before there is a table of them."""
        path = self.home / "nightsweep.db"
        if not path.exists():
            return {}
        query = "SELECT state, count(*) FROM jobs GROUP BY state"
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            try:
                return dict(connection.execute(query).fetchall())
            except sqlite3.OperationalError:  # the tables are being made
                return {}

    def finish(self, sweep: str) -> dict[str, Any]:
        """Wait until nothing is left to make, as long as any job moves.

        SQL is asked meanwhile, since a command would take the cores from the workers.
        """
        unmade = {"pending", "leased"}
        wait_until(lambda: not self.states().keys() & unmade, moving=self.states)
        standing: dict[str, Any] = json.loads(
            self.cli("status", "--json", "--sweep", sweep).stdout
        )
        assert not standing["pending"] + standing["leased"]
        return standing

    def make(self, text: str, folder: Path) -> dict[str, Any]:
        """Submit the text of a sweep file and wait for its end."""
        file = folder / "sweep.yaml"
        file.write_text(text)
        return self.finish(self.cli("submit", str(file)).stdout.strip())

    def close(self) -> None:
        stop(read_settings({"NIGHTSWEEP_HOME": str(self.home)}))


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Give a bench whose queue is served by CPU workers with the demo model.

    Two of one thread each, so that strict jobs must ask for torch's own number.
    """
    bench = Bench(tmp_path_factory.mktemp("warm") / "home")
    command = bench.command("worker", "--device", "cpu", "--workers", "2")
    with subprocess.Popen(
        [*command, "--end-with-parent"],
        env=bench.env,
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as worker:
        yield bench
        worker.terminate()
        worker.wait(PATIENCE_S)
    bench.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Give a bench of the test's own; nothing serves its queue."""
    made = Bench(tmp_path / "own")
    yield made
    if made.home.exists():
        made.close()
