"""A database of an older nightsweep, with one finished image, or of a newer one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from storage.sql import migrations
from storage.sql.database import HEAD, Database
from storage.sql.upgrading import LAST_WITH_VIEWS
from storage.sql.views import drop_views

#: What the first schema held; the same on every server.
ROWS = """
INSERT INTO models VALUES (1, 'f', 'builtin:shapes', NULL, NULL, NULL, 'sd', FALSE);
INSERT INTO prompts VALUES (1, 'd', 'a cat', '', NULL, NULL);
INSERT INTO schedulers VALUES (1, 'DDIMScheduler', '{}', 'ddim');
INSERT INTO environments VALUES (1, 'e', 'CPU', 'night3', '{}');
INSERT INTO sweeps VALUES (1, 'night', 1, 'd', 'one', '{}', 'active', 5, '2026-01-02');
INSERT INTO jobs VALUES (
    1, 'k', 1, 1, 1, 1, 8, 20, 7.5, 512, 512, 'float16', 'torch', 'cpu', '{}', 'g',
    7, 20, 5, 'done', 1, 0, NULL, NULL, NULL, '2026-01-02'
);
INSERT INTO results VALUES (
    1, 1, 'cpu0', 'ab/k.png', 1000, 'h', 1, 0, 20, NULL, 0, 0.25, 1, 0.125, 0.125, 1.5,
    NULL, FALSE, '2026-01-02'
);
INSERT INTO sweep_jobs VALUES (1, 1, 7, NULL, '{}', 1);
INSERT INTO scores VALUES (1, 'clip', 'small', 0.25)
"""


def make_old(url: str, revision: str = "0001") -> None:
    """Make a database of an older revision, with `ROWS` in it."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in ROWS.split(";"):
            connection.exec_driver_sql(statement)
        command.upgrade(config, min(revision, LAST_WITH_VIEWS))
        if revision > LAST_WITH_VIEWS:
            drop_views(connection)
            command.upgrade(config, revision)
    engine.dispose()


def read_old(database: Database) -> list[dict[str, Any]]:
    """Read the image of `ROWS` from `images`, then from `sweep_images`."""
    queries = ("SELECT * FROM images", "SELECT * FROM sweep_images")
    with database.read() as connection:
        return [
            dict(row)
            for query in queries
            for row in connection.exec_driver_sql(query).mappings()
        ]


def read_scores(database: Database) -> list[tuple[Any, ...]]:
    """Read the scores of `ROWS`: key, metric, version, model, state and value."""
    columns = "key, metric, version, model, reference, better, state, value"
    with database.read() as connection:
        found = connection.exec_driver_sql(f"SELECT {columns} FROM image_scores")  # noqa: S608
        return [tuple(row) for row in found]


@contextmanager
def with_other_schema(database: Database, revision: str) -> Iterator[None]:
    """Have the schema changed by another nightsweep; undone at the end."""
    note = f"UPDATE alembic_version SET version_num = '{revision}'"  # noqa: S608
    rename = "ALTER TABLE jobs RENAME COLUMN {} TO {}"
    with database.write() as connection:
        connection.exec_driver_sql(rename.format("extras", "more"))
        connection.exec_driver_sql(note)
    try:
        yield
    finally:
        with database.engine.begin() as connection:
            connection.exec_driver_sql(rename.format("more", "extras"))
            connection.exec_driver_sql(note.replace(revision, HEAD))
