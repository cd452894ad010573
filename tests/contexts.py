"""The context of a worker process, for tests that act as one."""

from typing import Any

from storage.files.images import ImageFolder
from storage.settings import Settings
from storage.sql.database import Database
from workers.execution.context import Context
from workers.execution.heartbeat import Heartbeat

OWNER = "host:7:7"


def make_context(database: Database, settings: Settings, **changes: Any) -> Context:
    """Make a context; `changes` are fields of `Context`."""
    values = {
        "database": database,
        "images": ImageFolder(settings.images),
        "heartbeat": Heartbeat(database, owner=OWNER, lease_s=90),
        "owner": OWNER,
        "worker": "cpu0",
        "lease_s": 90.0,
        "should_stop": lambda: False,
    }
    return Context(**{**values, **changes})
