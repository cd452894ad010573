"""Copies of input images that jobs name, and that are missing or have other pixels."""

import json
from collections.abc import Iterator

import sqlalchemy as sa

from storage.catalogue.control_pipelines import Control
from storage.files.inputs import InputFolder, path_of_input
from storage.files.verification import Checked, Finding
from storage.image_address import ImageAddress
from storage.sql.database import Database
from storage.sql.extras import value_of
from storage.sql.schema import jobs


def check_inputs(database: Database, images: ImageAddress) -> Iterator[Checked]:
    """Look at the copy of each input image that a job names, one at a time.

    Args:
        database: Where the rows are.
        images: Where images are.

    Raises:
        DatabaseError: SQL cannot be reached.
    """
    folder = InputFolder(images)
    for digest in _list_named(database):
        if fault := folder.fault(digest):
            path = path_of_input(digest)
            detail = f"{fault}; submit its sweep again from where the image is"
            found = Finding(problem="lost_input", path=path, detail=detail)
            yield Checked(images=0, findings=[found])


def _list_named(database: Database) -> list[str]:
    with database.read() as connection:
        begun, followed = (
            connection.execute(
                sa.select(value_of(connection, name))
                .where(jobs.c.extras.contains(f'"{name}"'))
                .distinct()
            ).scalars()
            for name in ("image", "controlnet")
        )
        rows = (row for text in followed for row in json.loads(text or "[]"))
        return sorted({*filter(None, begun), *(Control(*row).image for row in rows)})
