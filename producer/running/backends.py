"""Back ends whose jobs wait for a worker: what to say, and what this machine can do."""

from collections.abc import Collection
from importlib.util import find_spec

from producer.display.messages import talk
from producer.options import program
from storage.fleet.registry import (
    blocked_by_all,
    living_backends,
    unserved_backends,
)
from storage.host.worker_ids import my_host
from storage.job import FLAX, TORCH
from storage.jobs import sweep_counts
from storage.jobs.companions import find_companion
from storage.jobs.runnable_groups import runnable_groups
from storage.jobs.sweeps import Sweep
from storage.sql.database import Database

#: Packages that workers of a back end import, besides those that every command needs.
_PACKAGES = {TORCH: ("torch",), FLAX: ("jax", "flax")}


def missing_package(backend: str) -> str | None:
    """Return a package that workers of a back end need, but that is not installed."""
    return next((name for name in _PACKAGES[backend] if not find_spec(name)), None)


def find_unserved(database: Database) -> list[str]:
    """Return the back ends whose jobs wait though only workers of others are alive.

    Torch is left out where no worker is alive at all, which is usual before `run`.
    """
    is_alone = not living_backends(database)
    unserved = unserved_backends(database)
    return [each for each in unserved if each != TORCH or not is_alone]


def describe_unserved(backend: str) -> str:
    """Say in a sentence that jobs of a back end wait, and which worker to start."""
    return (
        f"Jobs of `backend: {backend}` wait, but no worker of it is alive; "
        f"{start_worker(backend)}."
    )


def start_worker(backend: str) -> str:
    """Say how to start a worker of a back end, as the end of a sentence."""
    return (
        f"start `{program()} worker --backend {backend}` where `nightsweep[{backend}]`"
        " is installed"
    )


def choose_backends(database: Database, sweep: Sweep, *, has_scores: bool) -> list[str]:
    """Return the back ends whose workers `run` starts; say which it cannot start.

    Torch is started without its packages too: its worker says what to install.

    Args:
        database: Where the jobs are.
        sweep: The sweep.
        has_scores: Whether scores are to be computed, which torch workers do.
    """
    both = filter(None, (sweep, find_companion(database, sweep)))
    needed = {TORCH} if has_scores else set[str]()
    for each in both:
        needed |= sweep_counts.unmade_backends(database, each)
    needed = needed or {TORCH}
    for backend in sorted(needed - {TORCH}):
        if package := missing_package(backend):
            needed.remove(backend)
            talk(
                f"Jobs of `backend: {backend}` are left to other workers, since "
                f"{package} is not installed here; {start_worker(backend)}."
            )
    return sorted(needed, reverse=True)


def hopeless_groups(database: Database, *, served: Collection[str]) -> set[str]:
    """Return the groups, and what stands for metrics, that `run` does not wait for.

    No worker of this host could make them: workers of other hosts may manage, or not.
    Or no worker of any host is alive for their back end.

    Args:
        database: Where the jobs are.
        served: Back ends whose workers `run` keeps alive.
    """
    groups = blocked_by_all(database, my_host())
    if unserved := unserved_backends(database, served):
        waiting = runnable_groups(database)
        groups |= {group.key for group in waiting if group.backend in unserved}
    return groups
