"""How commands open the database and wake workers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from producer.display.messages import talk
from producer.options import program
from producer.running.backends import describe_unserved, find_unserved
from storage.broker.embedded import is_running, socket_url
from storage.broker.queue import make_app, send, send_scores, waiting
from storage.errors import QueueError, UsageError
from storage.fleet import registry
from storage.host.worker_ids import my_host
from storage.job import PlannedJob
from storage.scores.score_counts import pending_metrics
from storage.settings import Settings
from storage.sql.database import Database, open_existing, open_for_reading

if TYPE_CHECKING:
    from celery import Celery


@contextmanager
def opened_to_read(settings: Settings) -> Iterator[Database]:
    """Open the database to read from it.

    Raises:
        UsageError: There is no database yet.
        DatabaseError: It cannot be reached.
    """
    database = open_for_reading(settings.database_url)
    if database is None:
        raise UsageError(_no_sweep(settings))
    with closing(database):
        yield database


@contextmanager
def opened_to_write(settings: Settings) -> Iterator[Database]:
    """Open an existing database to change what it holds.

    Raises:
        UsageError: There is no database yet.
        DatabaseError: It cannot be reached.
    """
    database = open_existing(settings.database_url)
    if database is None:
        raise UsageError(_no_sweep(settings))
    with closing(database):
        yield database


def wake(
    settings: Settings, groups: Mapping[str, Sequence[str]], *, priority: int
) -> None:
    """Tell the workers which jobs can be made now.

    If Redis is away, nothing is lost: supervisors of workers send such messages too.

    Args:
        settings: Where Redis is; the embedded one is not started for this.
        groups: Batch group to keys.
        priority: 0, first, to 9, last.
    """
    _tell_workers(settings, groups, lambda app: send(app, groups, priority=priority))


def by_group(planned: Iterable[PlannedJob]) -> dict[str, list[str]]:
    """Return the keys of jobs by their batch group, as `wake` takes them."""
    groups: dict[str, list[str]] = {}
    for one in planned:
        groups.setdefault(one.job.group, []).append(one.job.key)
    return groups


def wake_for_scores(settings: Settings, database: Database) -> None:
    """Tell the workers which scores can be computed now; likewise."""
    waiting_now = pending_metrics(database, host=my_host())
    copies = {each.digest: each.messages for each in waiting_now}
    _tell_workers(settings, copies, lambda app: send_scores(app, copies))


def tell_who_works(database: Database, name: str | None) -> None:
    """Say what to start if no worker is alive to make the waiting jobs.

    Args:
        database: Where workers write their signs of life.
        name: A sweep with unmade jobs; None where there may be several.
    """
    for sentence in say_who_works(database, name):
        talk(sentence)


def say_who_works(database: Database, name: str | None) -> Iterator[str]:
    """Yield the sentences of `tell_who_works`."""
    if not registry.living_backends(database):
        here = f"{program()} run {name or 'NAME'}"
        yield (
            "Nobody works on it yet: no worker is alive on any host; start "
            f"`{program()} worker`, or make it here with `{here}`."
        )
    yield from map(describe_unserved, find_unserved(database))


def _tell_workers(
    settings: Settings, what: Sized, tell: "Callable[[Celery], object]"
) -> None:
    if not what or not (settings.redis_url or is_running(settings)):
        return
    url = settings.redis_url or socket_url(settings)
    with closing(make_app(url)) as app:
        try:
            waiting(app)  # fails sooner than sending if Redis is away
            tell(app)
        except QueueError:
            talk("Redis cannot be reached; workers find these jobs when it can.")


def _no_sweep(settings: Settings) -> str:
    return (
        "There must be a sweep to ask about, but none was submitted yet in "
        f"{settings.home}; start with `nightsweep run`."
    )
