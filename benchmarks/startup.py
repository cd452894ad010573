"""The time that commands take to start.

    python benchmarks/startup.py

Prints the median and the slowest of fifteen runs of each, in turn, in a state folder of
their own. `--help` should take less than 0.3 s, and `plan` of a small sweep less than
0.6 s.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 15
EXAMPLE = Path(__file__).parents[1] / "examples" / "first-sweep.yaml"
PROGRAM = Path(sys.executable).with_name("nightsweep")
COMMANDS = {
    "python -c pass": (sys.executable, "-c", "pass"),
    "nightsweep --help": (PROGRAM, "--help"),
    "nightsweep plan": (PROGRAM, "plan", EXAMPLE),
}


def main() -> None:
    """Time each command in turn and print the table."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "NIGHTSWEEP_HOME": str(Path(home) / "home")}
        for _ in range(RUNS):
            for name, command in COMMANDS.items():
                started = time.perf_counter()
                subprocess.run(command, env=env, capture_output=True, check=True)
                seconds[name].append(time.perf_counter() - started)
    print(f"{'command':<20} {'median s':>9} {'slowest s':>9}")
    for name, taken in seconds.items():
        print(f"{name:<20} {statistics.median(taken):9.3f} {max(taken):9.3f}")


if __name__ == "__main__":
    main()
