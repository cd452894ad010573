"""The commands `pause`, `resume`, `cancel` and `priority`: the life of a sweep.

Each changes what the sweep wants. A job that another active sweep wants too goes on, at
the most urgent priority of the sweeps that want it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import click

from producer.completion import complete_sweep
from producer.display.amounts import images
from producer.display.messages import talk
from producer.options import program, stop_options, sweeps_argument
from producer.running.budget_text import describe_budget
from producer.running.quota_text import warn_of_quota
from producer.running.sweep_state import describe_incomplete
from producer.spec.stopping import (
    StopRules,
    read_gpu_hours,
    read_image_count,
    read_until,
)
from producer.submission.opening import (
    opened_to_write,
    say_who_works,
    wake,
)
from storage.errors import UsageError
from storage.jobs import lifecycle, sweep_counts, sweeps
from storage.jobs.budgets import Limits, find_budget
from storage.jobs.completeness import find_incomplete
from storage.jobs.lifecycle import Told
from storage.jobs.sweeps import PRIORITIES, Sweep
from storage.settings import Settings, read_settings
from storage.sql.database import Database

#: Changes a sweep, and returns what became of its jobs.
Change = Callable[[Database, Sweep], Told]
#: Says what a sweep is now, from its name and its jobs by state.
Say = Callable[[str, dict[str, int]], str]


@click.command(epilog="Example: nightsweep pause first-sweep")
@sweeps_argument
def pause(names: Sequence[str]) -> None:
    """Make no more of a sweep until it is resumed.

    Workers hand back jobs in progress at the end of their step. Jobs that another sweep
    wants too are still made. Several names may be given.
    """
    _tell(change_state(read_settings(), names, verb="pause"))


@click.command(epilog="Example: nightsweep resume first-sweep")
@sweeps_argument
@stop_options
def resume(
    names: Sequence[str],
    until: str | None,
    gpu_hours: str | None,
    stop_after: str | None,
) -> None:
    """Go on with a sweep that was paused or cancelled.

    A sweep that stopped at a limit goes on without limits, or with those that the
    options name. Several names may be given.
    """
    limits = _read_limits(until, gpu_hours, stop_after).limits()
    _tell(change_state(read_settings(), names, verb="resume", limits=limits))


def _read_limits(
    until: str | None, gpu_hours: str | None, stop_after: str | None
) -> StopRules:
    try:
        return StopRules(
            gpu_hours=read_gpu_hours(gpu_hours) if gpu_hours else None,
            until=read_until(until) if until else None,
            stop_after_jobs=read_image_count(stop_after) if stop_after else None,
        )
    except UsageError as exc:
        # In a sweep file, such messages are parts of a list.
        msg = f"{exc}."
        raise UsageError(msg) from exc


@click.command(epilog="Example: nightsweep cancel first-sweep")
@sweeps_argument
def cancel(names: Sequence[str]) -> None:
    """Make no more of a sweep; its images stay.

    Workers hand back jobs in progress at the end of their step. Jobs that another sweep
    wants too are still made. Submitting the sweep again, or `resume`, undoes this.
    Several names may be given.
    """
    _tell(change_state(read_settings(), names, verb="cancel"))


@click.command(epilog="Example: nightsweep priority first-sweep 2")
@click.argument(
    "words",
    metavar="NAME... N",
    nargs=-1,
    required=True,
    shell_complete=complete_sweep,
)
def priority(words: Sequence[str]) -> None:
    """Make a sweep more or less urgent than others.

    N is 0, first, to 9, last; a new sweep has 5. Workers turn to more urgent jobs
    within seconds. Several names may be given.
    """
    *names, last = words
    if not names or last not in map(str, PRIORITIES):
        msg = (
            "priority must end in a number from 0, first, to 9, last, got "
            f"{' '.join(words)!r}; write `nightsweep priority NAME 2`."
        )
        raise UsageError(msg)
    number = int(last)
    settings = read_settings()
    with opened_to_write(settings) as database:
        for sweep in sweeps.require_sweeps(database, names):
            _tell(
                _change(
                    settings,
                    database,
                    sweep,
                    change=lambda on, one: lifecycle.set_priority(on, one, number),
                    say=lambda name, jobs: (
                        f"{name} has priority {number}: {_unmade(jobs)} to make."
                    ),
                )
            )


def change_state(
    settings: Settings,
    names: Sequence[str],
    *,
    verb: Literal["pause", "resume", "cancel"],
    limits: Limits | None = None,
) -> Iterator[str]:
    """Pause, resume or cancel sweeps; yield what there is to say of each.

    Args:
        settings: Where they are stored.
        names: Their names.
        verb: What to do.
        limits: What stops them from now on, where they are resumed; see `set_state`.

    Raises:
        UsageError: There is no such sweep.
        DatabaseError: SQL cannot be reached.
    """
    state, say = _VERBS[verb]
    given = limits if limits and limits.are_set else None
    unmade: list[str] = []
    with opened_to_write(settings) as database:
        for sweep in sweeps.require_sweeps(database, names):
            yield from _change(
                settings,
                database,
                sweep,
                change=lambda on, one: lifecycle.set_state(
                    on, one, state, limits=given
                ),
                say=say,
            )
            budget = find_budget(database, sweep.id)
            if verb == "resume" and budget:
                yield f"{sweep.name} stops {describe_budget(budget)}."
            if verb == "resume":
                for warning in warn_of_quota(database, sweep.owner, needed_s=None):
                    yield f"Warning: {warning}."
            if _count_unmade(sweep_counts.count_states(database, sweep)):
                unmade.append(sweep.name)
        if verb == "resume" and unmade:
            yield from say_who_works(database, unmade[0])


def _tell(sentences: Iterator[str]) -> None:
    for sentence in sentences:
        talk(sentence)


def _change(
    settings: Settings, database: Database, sweep: Sweep, *, change: Change, say: Say
) -> Iterator[str]:
    told = change(database, sweep)
    now = sweeps.read_again(database, sweep)
    wake(settings, told.woken, priority=now.priority)
    yield say(sweep.name, sweep_counts.count_states(database, sweep))
    found = find_incomplete(database, sweep)
    if found and now.state != "cancelled":
        yield describe_incomplete(sweep.name, found)


def _say_paused(name: str, jobs: dict[str, int]) -> str:
    return (
        f"{name} is paused: {_unmade(jobs)} to make; go on with `{program()} resume "
        f"{name}`."
    )


def _say_resumed(name: str, jobs: dict[str, int]) -> str:
    failed = sum(jobs.get(state, 0) for state in sweeps.FAILED)
    more = f"; {failed:,} failed, `{program()} retry {name}` tries them again"
    return f"{name} is active: {_unmade(jobs)} to make{more if failed else ''}."


def _say_cancelled(name: str, jobs: dict[str, int]) -> str:
    return (
        f"{name} is cancelled: {images(jobs.get('done', 0))} made, {_unmade(jobs)} "
        "left out unless another sweep wants them."
    )


#: The command to the state that it gives a sweep, and what it says then.
_VERBS: Mapping[str, tuple[str, Say]] = {
    "pause": ("paused", _say_paused),
    "resume": ("active", _say_resumed),
    "cancel": ("cancelled", _say_cancelled),
}


def _unmade(jobs: dict[str, int]) -> str:
    return images(_count_unmade(jobs))


def _count_unmade(jobs: dict[str, int]) -> int:
    return jobs.get("pending", 0) + jobs.get("leased", 0)
