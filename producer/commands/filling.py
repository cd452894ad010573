"""Holes in a grid are filled: by the commands that do that for sweeps."""

from collections.abc import Iterator, Sequence

from gallery.actions import Filled
from producer.commands.lifecycle import change_state
from producer.commands.retry import say_retried
from producer.display.amounts import images
from producer.submission.opening import opened_to_write, say_who_works, wake
from storage.fleet import registry
from storage.jobs import sweeps
from storage.jobs.holes import Holes, find_holes
from storage.settings import Settings
from storage.sql.database import Database


def fill(settings: Settings, query: str, keys: Sequence[str]) -> Filled:
    """Ask for images that are not made.

    Failed jobs are tried again, as `retry` does. Sweeps that are paused or cancelled
    go on, as by `resume`, if nobody else wants a waiting job of theirs.

    Args:
        settings: Where the jobs are.
        query: Which images, if there are no keys.
        keys: Whole keys of jobs.

    Raises:
        UsageError: The query cannot be read, or there is no database.
        DatabaseError: SQL cannot be reached.
    """
    with opened_to_write(settings) as database:
        found = find_holes(database, query, keys)
        said = [*_retry(settings, database, found)]
        # What was tried again may belong to sweeps that are paused.
        now = find_holes(database, query, keys)
        said += _describe(now)
        idle = _idle(database, now)
        if now.waiting and not (idle or now.stopped):  # to resume says it, too
            said += say_who_works(database, None)
    if now.stopped:
        said += change_state(settings, now.stopped, verb="resume")
    return Filled(said=" ".join(said), idle=tuple(idle))


def _idle(database: Database, now: Holes) -> Sequence[str]:
    """Return the sweeps whose jobs wait, or soon will, while no worker is alive."""
    alive = registry.living_backends(database)
    return [] if alive else [*now.wanted_by, *now.stopped]


def _retry(settings: Settings, database: Database, found: Holes) -> Iterator[str]:
    known = {sweep.name: sweep for sweep in sweeps.list_sweeps(database)}
    for name, keys in found.failed.items():
        groups = sweeps.retry_keys(database, keys)
        if sweep := known.get(name):
            if sweep.state == "active":
                wake(settings, groups, priority=sweep.priority)
            yield say_retried(sweep, sum(map(len, groups.values())))


def _describe(now: Holes) -> Iterator[str]:
    if now.leased:
        yield f"Workers are making {images(now.leased)}."
    if now.waiting:
        yield f"{_capital(images(now.waiting))} {_s(now.waiting)} for a worker."
    if now.unwanted:
        is_one = now.unwanted == 1
        yield (
            f"No sweep wants {images(now.unwanted)} of these any more; submit one that "
            f"has {'it' if is_one else 'them'}."
        )
    if not (now.leased or now.waiting or now.unwanted or now.stopped):
        yield "Nothing is left to make: every one of these images is there."


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _s(count: int) -> str:
    return "waits" if count == 1 else "wait"
