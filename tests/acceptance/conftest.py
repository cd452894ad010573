"""One warm worker for all acceptance tests, with a state folder of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from storage.broker.embedded import stop
from storage.settings import read_settings
from tests.processes import PATIENCE_S, wait_until


@dataclass(frozen=True)
class Bench:
    """A state folder, and the command line that works on it."""

    home: Path
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("NIGHTSWEEP_")}
        return {**kept, "NIGHTSWEEP_HOME": str(self.home), **self.extra}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-P", "-m", "nightsweep", *words]

    def cli(
        self, *words: str, code: int = 0, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and check its exit code."""
        done = subprocess.run(
            self.command(*words),
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def find(self, *words: str) -> list[dict[str, Any]]:
        """Ask `find --json` and read its lines."""
        lines = self.cli("find", "--json", *words).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def finish(self, sweep: str) -> dict[str, Any]:
        """Wait until nothing of a sweep is left to make, as long as any job moves."""
        standing: dict[str, Any] = {}

        def is_made() -> bool:
            time.sleep(0.3)
            said = self.cli("status", "--json", "--sweep", sweep).stdout
            standing.update(json.loads(said))
            return not standing["pending"] + standing["leased"]

        states = ("pending", "leased", "done")
        wait_until(is_made, moving=lambda: [standing.get(state) for state in states])
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
