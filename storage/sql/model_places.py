"""The places of models in SQL: everywhere that each was submitted from."""

import json
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.job import PARTS, Model
from storage.sql.database import Database
from storage.sql.rows import model_columns, model_from_row, place_digest
from storage.sql.schema import jobs, model_places, models


class DatabasePlaces:
    """The places of models, as SQL has them."""

    def __init__(self, database: Database) -> None:
        """Read the places from `database`."""
        self._database = database

    def of(self, model: Model) -> list[Model]:
        """Return a model at each of its places, the last submitted first.

        Raises:
            DatabaseError: The database cannot be read.
        """
        return self.of_fingerprint(model.fingerprint)

    def of_fingerprint(self, fingerprint: str) -> list[Model]:
        """Return the weights of a fingerprint at each place, the last submitted first.

        Raises:
            DatabaseError: The database cannot be read.
        """
        query = _query().where(models.c.fingerprint == fingerprint)
        with self._database.read() as connection:
            return [model_from_row(row) for row in connection.execute(query)]


def places_of(database: Database, ids: Collection[int]) -> list[list[Model]]:
    """Return some models, each at all of its places, the last submitted first.

    Args:
        database: Where the models are.
        ids: Their rows.
    """
    query = _query().where(models.c.id.in_(ids))
    found: dict[str, list[Model]] = {}
    with database.read() as connection:
        for row in connection.execute(query):
            found.setdefault(row.model_fingerprint, []).append(model_from_row(row))
    return list(found.values())


def parts_named(connection: Connection, query: sa.Select[Any]) -> set[int]:
    """Return the rows of the weights besides the model that jobs name, such as LoRAs.

    Args:
        connection: In a transaction.
        query: Selects the jobs; its columns do not matter.
    """
    extras = query.with_only_columns(jobs.c.extras).where(jobs.c.extras != "{}")
    named: set[str] = set()
    for text in connection.execute(extras.distinct()).scalars():
        has = json.loads(text)
        named.update(row[0] for name in PARTS for row in has.get(name, ()))
    found = sa.select(models.c.id).where(models.c.fingerprint.in_(named))
    return set(connection.execute(found).scalars())


def _query() -> sa.Select[Any]:
    return (
        sa.select(*model_columns())
        .join_from(model_places, models, models.c.id == model_places.c.model_id)
        .order_by(models.c.id, model_places.c.last_at.desc(), model_places.c.id.desc())
    )


def places_by_id(connection: Connection, model: Model) -> dict[int, str]:
    """Return the places of a model, including those of its former fingerprints.

    Other models, which differ in files that earlier versions did not know, may share a
    former fingerprint. So a place of one counts only if it is a place of the model
    itself.

    Args:
        connection: In a transaction.
        model: As it was planned.

    Returns:
        The rows of the places, each with its fingerprint.
    """
    of = (model.fingerprint, *model.former_fingerprints)
    query = _query().add_columns(model_places.c.id).where(models.c.fingerprint.in_(of))
    found = [(row.id, model_from_row(row)) for row in connection.execute(query)]
    own = _versions(model)
    for _, place in found:
        if place.fingerprint == model.fingerprint:
            own |= _versions(place)
    return {
        place_id: place.fingerprint
        for place_id, place in found
        if own & _versions(place)
    }


def _versions(place: Model) -> set[tuple[str | None, ...]]:
    """Return the versions of a place: a commit of the Hub stands for its files."""
    asked = {place.revision, place.commit or place.revision}
    return {(place.name, place.variant, version) for version in asked}


def ids_of(connection: Connection, places: Collection[Model]) -> dict[Model, int]:
    """Return the rows of the places that are known."""
    digests = {place_digest(place): place for place in places}
    query = sa.select(model_places.c.digest, model_places.c.id)
    found = connection.execute(query.where(model_places.c.digest.in_(digests)))
    return {digests[digest]: place_id for digest, place_id in found}
