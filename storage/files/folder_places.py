"""Where each host has an image folder: its path there, as the host noted it last.

A bucket has the same place for all hosts. Its scheme stands for the host, and the rest
of its URL for the path: `s3` and `//bucket/prefix`.

A folder that all hosts share has a place on each of them. Only a host's own places say
whether it still has the folder that it had: its disk may not be mounted.
"""

import logging
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.host.worker_ids import my_host
from storage.image_address import ImageAddress
from storage.sql.database import Database, insert_into, utc_now
from storage.sql.schema import folder_places, folders, results

log = logging.getLogger(__name__)


def place_of(images: ImageAddress) -> str:
    """Return the name of a place, for people: this host and the path, or the URL."""
    return ":".join(_place(images))


def place_names(connection: Connection) -> dict[int, str]:
    """Return the name of each folder's place, by the folder's row.

    It is the place on this host, if the folder has one here, else the one that was
    noted last.
    """
    columns = (folder_places.c.folder_id, folder_places.c.host, folder_places.c.path)
    query = sa.select(*columns).order_by(folder_places.c.noted_at)
    rows = sorted(connection.execute(query), key=lambda row: row.host == my_host())
    return {row.folder_id: f"{row.host}:{row.path}" for row in rows}


def note_place(database: Database, images: ImageAddress, mark: str) -> int:
    """Note that this host has the folder with this mark at a place; return its row.

    Log a warning if it is in the place of another folder that has images.

    Raises:
        DatabaseError: SQL cannot be reached.
    """
    mine = sa.select(folders.c.id).where(folders.c.mark == mark)
    with database.read() as connection:
        before = next(iter(ids_at(connection, images)), None)
        if before is not None and before == connection.scalar(mine):
            return before
        is_missed = before is not None and _has_images(connection, before)
    if is_missed:
        log.warning(
            "The image folder %s is not the one that was there before, to which images "
            "were written; see that the right disk is mounted.",
            images,
            extra={"action": "folder_replaced"},
        )
    with database.write() as connection:
        folder = insert_into(connection, folders).values(mark=mark)
        connection.execute(folder.on_conflict_do_nothing(index_elements=["mark"]))
        row_id: int = connection.execute(mine).scalar_one()
        host, path = _place(images)
        place = {"path": path, "noted_at": utc_now()}
        statement = insert_into(connection, folder_places)
        connection.execute(
            statement.values(folder_id=row_id, host=host, **place)
            # A folder that was moved on this host left its old place.
            .on_conflict_do_update(index_elements=["folder_id", "host"], set_=place)
        )
    return row_id


def ids_at(connection: Connection, images: ImageAddress) -> list[int]:
    """Return the folders that this host noted at a place, the last one first."""
    host, path = _place(images)
    query = (
        sa.select(folder_places.c.folder_id)
        .where(folder_places.c.host == host, folder_places.c.path == path)
        .order_by(folder_places.c.noted_at.desc())
    )
    return list(connection.execute(query).scalars())


def _place(images: ImageAddress) -> tuple[str, str]:
    if isinstance(images, Path):
        return my_host(), str(images)
    return images.scheme, str(images).removeprefix(f"{images.scheme}:")


def _has_images(connection: Connection, folder_id: int) -> bool:
    query = sa.select(results.c.job_id).where(results.c.folder_id == folder_id).limit(1)
    return connection.execute(query).first() is not None
