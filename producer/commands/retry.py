"""The command `nightsweep retry`: failed jobs are tried again."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from producer.commands.find import filter_options, read_filter
from producer.display.amounts import images
from producer.display.messages import talk
from producer.options import program, sweeps_argument
from producer.submission.opening import opened_to_write, tell_who_works, wake
from storage.errors import UsageError
from storage.jobs import sweeps
from storage.jobs.sweeps import FAILED
from storage.settings import read_settings
from storage.sql.filters import Filter


@click.command(
    epilog="Example: nightsweep retry first-sweep --scheduler ddim --steps 8..20"
)
@sweeps_argument
@filter_options
@click.option(
    "--state",
    metavar="STATE",
    help=f"{' or '.join(FAILED)}; both with a comma.  [default: both]",
)
def retry(names: Sequence[str], **asked: Any) -> None:
    """Try a sweep's failed and quarantined jobs again.

    The options are those of `nightsweep find`, joined by "and". A job that is tried
    again is as if it had never begun. Several names may be given.
    """
    among = _read(asked)
    settings = read_settings()
    waiting: list[str] = []
    with opened_to_write(settings) as database:
        for sweep in sweeps.require_sweeps(database, names):
            groups = sweeps.retry(database, sweep, among=among)
            if sweep.state == "active":
                wake(settings, groups, priority=sweep.priority)
            count = sum(map(len, groups.values()))
            talk(_say(sweep.name, sweep.state, count))
            if count and sweep.state == "active":
                waiting.append(sweep.name)
        if waiting:
            tell_who_works(database, waiting[0])


def _read(asked: Mapping[str, Any]) -> Filter:
    among = read_filter({"sweep": None, **asked})
    for state in among.states:
        if state not in FAILED:
            msg = (
                f"--state must be {' or '.join(FAILED)}, got {state!r}; other jobs "
                "need no second try."
            )
            raise UsageError(msg)
    return among


def _say(name: str, state: str, count: int) -> str:
    if not count:
        return (
            f"{name}: no failed job matches; `{program()} find --sweep {name} --state "
            f"{','.join(FAILED)}` lists them."
        )
    waits = "" if state == "active" else f" once `{program()} resume {name}` is given"
    tried = "is tried" if count == 1 else "are tried"
    return f"{name}: {images(count)} that failed {tried} again{waits}."
