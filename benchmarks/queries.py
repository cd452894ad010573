"""How fast questions about many images are answered.

    python benchmarks/queries.py [--rows N] [--url URL] [--keep FOLDER] [--append]

Makes a database with N finished images in ten sweeps, by plain inserts, and asks it: a
page of 100 rows of 200 random mixes of conditions, the same pages deep in the answer,
counts, groups of one sweep, and the command from its start to its end.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import report
from result_rows import SWEEPS, fill

from storage.queries.answers import Wanted, count, find
from storage.queries.groups import group
from storage.queries.sorting import read_columns, read_order
from storage.settings import read_settings
from storage.sql.database import Database, open_database

PAGE_ROWS = 100
QUERIES = 200
#: Slow questions that are shown while it runs.
SHOWN = 20
HEADER = ("question", "p50 ms", "p95 ms", "worst ms", "p95 CPU ms", "worst")
NOTES = """\
A page is 100 rows with all columns of the view, from the text of the query to
dictionaries, in one process; the first of three runs of a query counts as warming up,
the faster of the others is taken. `find` is the whole command, Python's start
included."""


def draw(chance: random.Random) -> str:
    """Return a random mix of one to four conditions."""
    names = chance.sample(sorted(TERMS), chance.choice((1, 2, 2, 3, 3, 4)))
    return " ".join(TERMS[name](chance) for name in names)


def _steps(chance: random.Random) -> str:
    low, high = sorted(chance.sample((4, 8, 10, 15, 20, 30, 40, 50), 2))
    return chance.choice((f"steps:{low}", f"steps:{low}..{high}", f"steps:..{low}"))


def _guidance(chance: random.Random) -> str:
    return chance.choice(
        ("guidance:7.5", "guidance:5", "guidance:3..6", "guidance:..2")
    )


def _seed(chance: random.Random) -> str:
    first = chance.choice((0, 0, 3000, 7000)) + chance.randrange(20)
    return chance.choice(
        (f"seed:{first}", f"seed:{first}", f"seed:{first}..{first + 3}")
    )


def _time(chance: random.Random) -> str:
    low = chance.choice((0.2, 0.5, 1, 2, 4, 8))
    forms = (f"time:..{low}", f"time:{low}..{2 * low}", f"time:{4 * low}..")
    return chance.choice(forms)


TERMS: dict[str, Callable[[random.Random], str]] = {
    "sweep": lambda chance: f"sweep:sweep-{chance.randrange(SWEEPS)}",
    "model": lambda chance: f"model:{chance.choice(('sd15', 'sdxl', 'sd3', 'flux'))}",
    "scheduler": lambda chance: (
        "scheduler:"
        + chance.choice(("ddim", "heun", "euler,euler_a", "unipc", "dpmpp_*", "ddpm"))
    ),
    "steps": _steps,
    "guidance": _guidance,
    "seed": _seed,
    "state": lambda chance: (
        "state:" + chance.choice(("done", "done", "failed", "pending"))
    ),
    "time": _time,
}


class Watch:
    """Times questions, and remembers the slowest."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []

    def ask(
        self, name: str, questions: Sequence[tuple[str, Callable[[], object]]]
    ) -> None:
        """Time each question; add a row to the table."""
        timed = sorted((*_fastest(call), text) for text, call in questions)
        cpu = sorted(cpu_s for _, cpu_s, _ in timed)
        at = [min(len(timed) * p // 100, len(timed) - 1) for p in (50, 95)]
        worst_s, _, text = timed[-1]
        seconds = (*(timed[place][0] for place in at), worst_s, cpu[at[1]])
        figures = (f"{1000 * each:.1f}" for each in seconds)
        self.rows.append([name, *figures, f"`{text}`"])
        print(*self.rows[-1], sep="  ", file=sys.stderr)
        slowest = sorted((cpu_s, slow) for _, cpu_s, slow in timed)[-SHOWN:]
        for cpu_s, slow in slowest if len(timed) > SHOWN else []:
            print(f"    {1000 * cpu_s:.1f} ms CPU  {slow}", file=sys.stderr)


def _fastest(call: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of the faster of two calls, and the least of the CPU's."""
    call()
    both = [_seconds(call) for _ in range(2)]
    return min(wall for wall, _ in both), min(cpu for _, cpu in both)


def _seconds(call: Callable[[], object]) -> tuple[float, float]:
    began, cpu = time.perf_counter(), _cpu_s()
    call()
    return time.perf_counter() - began, _cpu_s() - cpu


def _cpu_s() -> float:
    """Return the CPU time of this process and of the commands that it ran."""
    spent = os.times()
    return time.process_time() + spent.children_user + spent.children_system


def page(
    database: Database, query: str, *, after: str = "", sort: str = ""
) -> list[str]:
    """Return the keys of a page."""
    wanted = Wanted(limit=PAGE_ROWS, after=after, keys=read_order(sort))
    return [row["key"] for row in find(database, query, wanted)]


def deep(database: Database, query: str, *, sort: str = "") -> str:
    """Return a key that is deep in an answer: at nine tenths of it."""
    place = count(database, query) * 9 // 10
    wanted = Wanted(
        limit=max(place, 1), keys=read_order(sort), columns=read_columns("key")
    )
    key = ""
    for row in find(database, query, wanted):
        key = row["key"]
    return key


def measure(database: Database, watch: Watch, *, seed: int) -> None:
    """Ask everything that one process can."""
    chance = random.Random(seed)  # noqa: S311 - a benchmark
    mixes = [draw(chance) for _ in range(QUERIES)]
    watch.ask(
        "a page of any mix",
        [(mix, lambda mix=mix: page(database, mix)) for mix in mixes],
    )
    sorts = ("", "time", "-finished", "seed,-steps")
    for sort in sorts:
        for query in ("", "sweep:sweep-4"):
            key = deep(database, query, sort=sort)
            name = f"{query or 'all'} --sort {sort or 'nothing'}"
            first = (name, lambda q=query, s=sort: page(database, q, sort=s))
            watch.ask("the first page", [first])
            later = (
                name,
                lambda q=query, s=sort, k=key: page(database, q, after=k, sort=s),
            )
            watch.ask("a deep page", [later])
    words = [("number 17 fox", lambda: page(database, "number 17 fox"))]
    watch.ask("a page by words", words)
    for query in ("", "sweep:sweep-4", "state:failed", "sweep:sweep-4 scheduler:ddim"):
        watch.ask("--count", [(query, lambda q=query: count(database, q))])
    for by in ("scheduler,steps", "scheduler,steps,guidance", "model"):
        columns = read_columns(by)
        query = "sweep:sweep-4"
        name = f"{query} --group-by {by}"
        call = lambda c=columns, q=query: group(database, q, c)  # noqa: E731
        watch.ask("--group-by", [(name, call)])


def commands(watch: Watch, environ: dict[str, str]) -> None:
    """Time the command from start to end."""
    for words in (["--limit", "20"], ["--count"], ["steps:4", "--limit", "20"]):
        line = [sys.executable, "-m", "nightsweep", "find", *words]

        def call(line: list[str] = line) -> object:
            return subprocess.run(line, env=environ, capture_output=True, check=True)

        watch.ask("the command", [(f"nightsweep find {' '.join(words)}", call)])


def main() -> None:
    """Make the database, ask, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--url", help="an empty database; a SQLite file by default")
    parser.add_argument("--keep", metavar="FOLDER", help="make or reuse the file here")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--append", action="store_true")
    options = parser.parse_args()
    watch = Watch()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(options.keep or temporary)
        home.mkdir(parents=True, exist_ok=True)
        environ = {"NIGHTSWEEP_HOME": str(home), "PATH": "/usr/bin:/bin"}
        if options.url:
            environ["NIGHTSWEEP_DATABASE_URL"] = options.url
        settings = read_settings(environ)
        with closing(open_database(settings.database_url)) as database:
            if not count(database, ""):
                seconds, _ = _seconds(lambda: fill(database, rows=options.rows))
                print(f"made in {seconds:.0f} s", file=sys.stderr)
            measure(database, watch, seed=options.seed)
        commands(watch, environ)
    table = report.table(HEADER, watch.rows)
    print(table)
    if options.append:
        title = f"Questions about {options.rows:,} images"
        report.append(title, report.command_line(), table, notes=NOTES)


if __name__ == "__main__":
    main()
