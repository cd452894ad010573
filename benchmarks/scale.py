"""PostgreSQL with millions of jobs, and with a hundred hosts of eight GPUs.

    python benchmarks/scale.py [--jobs N] [--submitted N] [--workers N]
        [--only STEP ...] [--url URL] [--append]

Starts a PostgreSQL of its own, with its usual settings for safety, or uses the one at
URL, which must be on this machine and have pg_stat_statements loaded. A sweep is
submitted as people do; with `--submitted`, only so much of it, and SQL makes copies of
that. The steps follow each other on one database:

submit: how long that takes, what it costs both sides, and how large it gets
claims: claims of a fresh sweep, and after a part of it is done
fleet: the calls of all workers and supervisors, one by one
together: the same calls at once, from many connections, in simulated time
answers: what commands and pages ask
changes: a sweep's priority, pause and end, for all of its jobs
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg
import report
import scale_answers
import scale_claims
import scale_copies
import scale_load
import scale_server
import scale_submit
import sqlalchemy as sa

from storage.broker.embedded import stop
from storage.settings import Settings, read_settings

#: Of all jobs, those that are done in the middle of the claims.
DONE = 0.2
NOTES = """\
CPU time is that of the server's processes for this database, and pages are those of
8 kB that statements asked for, in memory or not: neither depends on what else runs.
Seconds and milliseconds by the clock do."""


def submit(settings: Settings, options: argparse.Namespace) -> Iterator[str]:
    """Submit the sweep, and copy it if it is to be larger."""
    submitted = options.submitted or options.jobs
    rows, peak_bytes = scale_submit.measure(settings, submitted)
    yield report.table(scale_submit.HEADER, rows)
    yield f"Peak of the producer's memory: {peak_bytes / 1e6:.0f} MB."
    if options.jobs > submitted:
        with psycopg.connect(_address(settings), autocommit=True) as connection:
            scale_copies.multiply(connection, options.jobs // submitted)
    with closing(scale_server.Observer(settings.database_url)) as observer:
        observer.ask("SELECT 1 FROM pg_stat_statements_reset()")
        tables, indexes = scale_submit.sizes(observer)
    yield report.table(("table", "rows", "MB", "MB of its indexes"), tables)
    yield report.table(("index", "MB", "scans"), indexes)


def claims(settings: Settings, options: argparse.Namespace) -> Iterator[str]:
    """Claim before and after a part of the sweep is done."""
    rows = list(scale_claims.measure(settings, int(DONE * options.jobs)))
    yield report.table(scale_claims.HEADER, rows)


def fleet(settings: Settings, options: argparse.Namespace) -> Iterator[str]:
    """Make the calls of a fleet one by one, while it holds its jobs."""
    held = scale_load.hold_jobs(settings, options.workers)
    yield f"{options.workers} workers hold {held:,} jobs."
    rows = scale_load.costs(settings, options.workers)
    yield report.table(scale_load.HEADER, rows)


def together(settings: Settings, options: argparse.Namespace) -> Iterator[str]:
    """Make them at once."""
    found = scale_load.together(
        settings, options.workers, options.seconds, options.clients_url
    )
    yield report.table(scale_load.CALLS_HEADER, scale_load.describe(found))
    yield scale_load.summary(found, options.seconds)


def answers(settings: Settings, _options: argparse.Namespace) -> Iterator[str]:
    """Ask what people ask."""
    yield report.table(scale_answers.HEADER, scale_answers.ask_all(settings))


def changes(settings: Settings, _options: argparse.Namespace) -> Iterator[str]:
    """Change the sweep."""
    yield report.table(scale_answers.CHANGE_HEADER, scale_answers.change(settings))


STEPS: dict[str, Callable[[Settings, argparse.Namespace], Iterator[str]]] = {
    each.__name__: each for each in (submit, claims, fleet, together, answers, changes)
}


def main() -> None:
    """Take the steps, and print their tables."""
    options = _parse()
    with tempfile.TemporaryDirectory() as home, _database(options.url) as url:
        environ = {"NIGHTSWEEP_HOME": home, "NIGHTSWEEP_DATABASE_URL": url}
        settings = read_settings(environ)
        settings.make_home()
        try:
            for name in options.only or STEPS:
                parts = "\n\n".join(STEPS[name](settings, options))
                print(f"\n## {name}\n\n{parts}", flush=True)
                if options.append:
                    title = f"PostgreSQL with {options.jobs:,} jobs: {name}"
                    report.append(title, report.command_line(), parts, notes=NOTES)
        finally:
            stop(settings)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--submitted", type=int, metavar="N")
    parser.add_argument("--workers", type=int, default=800, metavar="N")
    parser.add_argument("--seconds", type=float, default=10.0, help="simulated")
    parser.add_argument("--only", nargs="+", choices=STEPS)
    parser.add_argument("--url", help="a PostgreSQL database; else a server is started")
    parser.add_argument(
        "--clients-url", default="", help="the same by a pooler, for `together`"
    )
    parser.add_argument("--append", action="store_true")
    return parser.parse_args()


@contextmanager
def _database(url: str | None) -> Iterator[str]:
    if url:
        yield url
        return
    with scale_server.started() as server:
        yield server.make_database("scale")


def _address(settings: Settings) -> str:
    url = sa.make_url(settings.database_url).set(drivername="postgresql")
    return url.render_as_string(hide_password=False)


if __name__ == "__main__":
    main()
