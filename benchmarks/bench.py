"""Shared parts of the benchmarks: options, a state folder of their own, rates."""

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import report
import torch
import workload

from storage.broker.embedded import stop
from storage.settings import Settings, read_settings

ROUNDS = 5
#: Where models with random weights are kept between runs.
MODELS = Path(tempfile.gettempdir()) / "nightsweep-models"


def parse(
    about: str | None, add: Callable[[argparse.ArgumentParser], None] | None = None
) -> argparse.Namespace:
    """Parse the options of all benchmarks, and those that `add` adds."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="builtin:shapes", help="or sd15, sdxl, tiny")
    parser.add_argument("--models", type=Path, default=MODELS, help="folder for these")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--dtype", help="float32 on a CPU, else as the model's")
    parser.add_argument("--compile", action="store_true", help="compile the network")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--append", action="store_true", help="to docs/benchmarks.md")
    if add:
        add(parser)
    options = parser.parse_args()
    model = workload.find_model(options.model)
    if options.device == "cuda":
        options.device = "cuda:0"
    on_gpu = options.device != "cpu"
    options.dtype = options.dtype or (model.dtype if on_gpu else "float32")
    return options


def publish(
    options: argparse.Namespace, title: str, table: str, *, notes: str = ""
) -> None:
    """Print a table, and append it to `docs/benchmarks.md` if `--append` is given."""
    print(f"\n{title}\n\n{table}\n\n{notes}")
    if options.append:
        command = report.command_line()
        if options.device != "cpu":
            notes = f"GPU: {torch.cuda.get_device_name()}. {notes}"
        report.append(title, command, table, notes=notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A state folder, and the command line that works on it.

    Attributes:
        settings: Where everything is.
        env: Environment of the commands.
    """

    settings: Settings
    env: dict[str, str]

    def nightsweep(self, *words: str | Path) -> None:
        """Run a command to its end; print its output and exit only if it fails."""
        command = [sys.executable, "-P", "-m", "nightsweep", *map(str, words)]
        done = subprocess.run(
            command, env=self.env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"nightsweep {words[0]} failed:\n{done.stdout}{done.stderr}")

    @contextmanager
    def running(self, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a Python module as a process within the block."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", *command],
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with process:
                yield process
                process.terminate()
        finally:
            process.kill()

    def finished(self) -> list[tuple[float, str]]:
        """Return the time of each image in Unix seconds, and its worker, in order."""
        query = "SELECT finished_at, worker FROM results ORDER BY finished_at"
        path = self.settings.home / "nightsweep.db"
        with closing(sqlite3.connect(path, timeout=60)) as connection:
            rows = connection.execute(query).fetchall()
        return [(datetime.fromisoformat(at).timestamp(), by) for at, by in rows]


@contextmanager
def own_folder() -> Iterator[Path]:
    """Yield a folder that is removed after the block."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@contextmanager
def own_state(**env: str) -> Iterator[State]:
    """Yield a new state folder; its Redis ends with the block."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NIGHTSWEEP_")}
    with own_folder() as folder:
        home = str(folder / "home")
        settings = read_settings({"NIGHTSWEEP_HOME": home})
        settings.make_home()
        try:
            yield State(settings=settings, env={**kept, "NIGHTSWEEP_HOME": home, **env})
        finally:
            stop(settings)


def rate(times: Sequence[float], begin: float = 0.2, end: float = 1.0) -> float:
    """Return the images per second between two shares of all images.

    Args:
        times: When each image was finished, in seconds, in order.
        begin: Share of the images before the first that counts.
        end: Share of the images up to the last that counts.
    """
    first, last = (round(share * (len(times) - 1)) for share in (begin, end))
    return (last - first) / (times[last] - times[first])


def median_ratio(tops: Sequence[float], bottoms: Sequence[float]) -> float:
    """Return the median ratio of figures that were measured in turn."""
    return statistics.median(a / b for a, b in zip(tops, bottoms, strict=True))
