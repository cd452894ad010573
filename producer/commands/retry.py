"""The command `nightsweep retry`: failed jobs are tried again."""

from collections.abc import Iterator, Sequence

import click

from producer.display.amounts import images
from producer.display.messages import talk
from producer.options import program
from producer.query_options import QueryCommand, query_options
from producer.submission.opening import opened_to_write, say_who_works, wake
from storage.errors import UsageError
from storage.jobs import sweeps
from storage.jobs.eviction import restore
from storage.jobs.sweeps import FAILED, Sweep
from storage.queries.answers import read_meaning
from storage.queries.terms import Query
from storage.settings import Settings, read_settings
from storage.sql.database import Database

#: The states of jobs that `--evicted` is about.
EVICTED = ("evicted",)


@click.command(
    cls=QueryCommand,
    epilog="Example: nightsweep retry first-sweep scheduler:ddim steps:8..20",
)
@query_options()
@click.option(
    "--evicted",
    is_flag=True,
    help="Instead, make images again whose files rm or prune removed.",
)
def retry(query: Query, *, evicted: bool) -> None:
    """Try a sweep's failed and quarantined jobs again.

    QUERY and options are those of `nightsweep find`; they may name several sweeps, or
    none: `nightsweep retry state:failed` tries everything again that failed. A job that
    is tried again is as if it had never begun.
    """
    _check(query, EVICTED if evicted else FAILED)
    for sentence in retry_jobs(read_settings(), query, evicted=evicted):
        talk(sentence)


def retry_jobs(
    settings: Settings, query: Query, *, evicted: bool = False
) -> Iterator[str]:
    """Try the failed jobs of a query again; yield what there is to say of each sweep.

    Args:
        settings: Where the database and Redis are.
        query: Which jobs.
        evicted: Whether evicted images are made again, instead of failed jobs.

    Raises:
        UsageError: A name in the query does not exist.
        DatabaseError: SQL cannot be reached.
    """
    begin, say = (restore, say_restored) if evicted else (sweeps.retry, say_retried)
    waiting: list[str] = []
    found = 0
    with opened_to_write(settings) as database:
        named, others = _sweeps(database, query)
        for sweep in [*named, *others]:
            groups = begin(database, sweep, among=query)
            if sweep.state == "active":
                wake(settings, groups, priority=sweep.priority)
            count = sum(map(len, groups.values()))
            found += count
            if count or sweep in named:
                yield say(sweep, count)
            if count and sweep.state == "active":
                waiting.append(sweep.name)
        if waiting:
            yield from say_who_works(database, waiting[0])
        elif not (named or found):
            state = "evicted image" if evicted else "failed job"
            yield f"No {state} matches; `{program()} find QUERY` shows what does."


def _check(query: Query, states: Sequence[str]) -> None:
    if not query.terms:
        msg = (
            "retry must say which jobs, got nothing; write `nightsweep retry NAME`, or "
            "`nightsweep retry state:failed,quarantined` for those of all sweeps."
        )
        raise UsageError(msg)
    for term in query.of("state"):
        for value in () if term.is_negated else term.values:
            if value.asked not in states:
                msg = (
                    f"state must be {' or '.join(states)}, got {value.text!r}; other "
                    "jobs need no second try."
                )
                raise query.refuse(msg, start=value.start, end=value.end)


def _sweeps(database: Database, query: Query) -> tuple[list[Sweep], list[Sweep]]:
    """Return the sweeps that a query names; if it names none, also all others."""
    named = read_meaning(database, query).sweeps
    if named:
        return sweeps.require_sweeps(database, named), []
    return [], sweeps.list_sweeps(database)


def say_retried(sweep: Sweep, count: int) -> str:
    """Say in a sentence how many jobs of a sweep are tried again."""
    name = sweep.name
    if not count:
        return (
            f"{name}: no failed job matches; `{program()} find --sweep {name} --state "
            f"{','.join(FAILED)}` lists them."
        )
    tried = "is tried" if count == 1 else "are tried"
    return f"{name}: {images(count)} that failed {tried} again{_waits(sweep)}."


def say_restored(sweep: Sweep, count: int) -> str:
    """Say in a sentence how many removed images of a sweep are made again."""
    if not count:
        return (
            f"{sweep.name}: no evicted image matches; `{program()} find --sweep "
            f"{sweep.name} --state evicted` lists them."
        )
    made = "is made" if count == 1 else "are made"
    removed = "1 removed image" if count == 1 else f"{count:,} removed images"
    return f"{sweep.name}: {removed} {made} again{_waits(sweep)}."


def _waits(sweep: Sweep) -> str:
    if sweep.state == "active":
        return ""
    return f" once `{program()} resume {sweep.name}` is given"
