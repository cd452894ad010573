"""Databases on a PostgreSQL server, and supervisors with real workers."""

import threading
from collections.abc import Callable, Iterator

import pytest
from celery import Celery

from storage.settings import LEASE_S
from storage.sql.database import Database
from tests.postgresql import Server
from tests.processes import PATIENCE_S, children
from workers.devices.placements import Placement
from workers.supervision.reconciler import Reconciler
from workers.supervision.supervisor import Supervisor


@pytest.fixture
def url(server: Server) -> str:
    """Give the URL of a new database on PostgreSQL, with nothing in it."""
    return server.make_database()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Have torch use one thread in a file: small networks gain nothing by more."""
    import torch  # not there with `--bare`

    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)


@pytest.fixture
def serving(database: Database, app: Celery) -> Iterator[Callable[..., Supervisor]]:
    """Give what starts a supervisor in a thread; its workers end with the test."""
    begun: list[tuple[Supervisor, threading.Thread]] = []

    def serve(*placements: Placement, give_up_after: int | None = None) -> Supervisor:
        made = Supervisor(
            placements or [Placement(name="cpu0", device="cpu")],
            database=database,
            repair=Reconciler(database, app, lease_s=LEASE_S),
            give_up_after=give_up_after,
        )
        thread = threading.Thread(target=made.run)
        thread.start()
        begun.append((made, thread))
        return made

    yield serve
    for made, thread in begun:
        made.stop()
        thread.join(PATIENCE_S)
    assert not children()
