"""Where the files of a model are: everywhere that it was submitted from.

Equal files have one fingerprint wherever they are, so any place that is there serves.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.errors import ModelError
from storage.job import Model
from storage.models.model_files import Located, locate_here
from storage.sql.database import Database
from storage.sql.rows import model_columns, model_from_row, place_digest
from storage.sql.schema import model_places, models

Answer = TypeVar("Answer")


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
        query = _query().where(models.c.fingerprint == model.fingerprint)
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


def _query() -> sa.Select[Any]:
    return (
        sa.select(*model_columns())
        .join_from(model_places, models, models.c.id == model_places.c.model_id)
        .order_by(models.c.id, model_places.c.last_at.desc(), model_places.c.id.desc())
    )


def in_order(own: Model, others: Sequence[Model]) -> list[Model]:
    """Return the places of a model in the order in which to try them.

    Those on this machine come first, then those that must be fetched or are gone; of
    both, its own place before the others.
    """
    places = list(dict.fromkeys([own, *others]))
    return places if len(places) == 1 else sorted(places, key=_is_away)


def first_whole(places: Sequence[Model], look: Callable[[Model], Answer]) -> Answer:
    """Return what `look` gives for the first place where it finds the model.

    Args:
        places: At least one.
        look: Raises `ModelError` where the model is not, or is another one.

    Raises:
        ModelError: It is in none of the places; the message has a reason for each.
    """
    errors: list[ModelError] = []
    for place in places:
        try:
            return look(place)
        except ModelError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    # Without the way out that each of them names.
    reasons = [str(error).partition("; ")[0] for error in errors]
    listed = "; ".join(f"({number}) {each}" for number, each in enumerate(reasons, 1))
    msg = (
        "a model must be whole in one of the places that it was submitted from, but is"
        f" in none of {len(errors)}: {listed}; restore one of them, or submit the sweep"
        " again from where it is"
    )
    raise ModelError(msg)


def locate_place(place: Model) -> Located:
    """Find a model at one of its places, on this machine.

    Raises:
        ModelError: It is not here, or not whole.
    """
    revision = place.commit or place.revision
    return locate_here(place.name, revision=revision, variant=place.variant)


def places_by_id(connection: Connection, model: Model) -> dict[int, str]:
    """Return the places of a model, those of its former fingerprints among them.

    A former fingerprint may be that of other models too, which differ in files that
    earlier versions did not know. So a place of a former one counts only where it is a
    place of the model itself.

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
    """Return what a place is known by: a commit of the Hub stands for its files."""
    asked = {place.revision, place.commit or place.revision}
    return {(place.name, place.variant, version) for version in asked}


def _is_away(place: Model) -> bool:
    try:
        locate_place(place)
    except ModelError:
        return True
    return False


def ids_of(connection: Connection, places: Collection[Model]) -> dict[Model, int]:
    """Return the rows of the places that are known."""
    digests = {place_digest(place): place for place in places}
    query = sa.select(model_places.c.digest, model_places.c.id)
    found = connection.execute(query.where(model_places.c.digest.in_(digests)))
    return {digests[digest]: place_id for digest, place_id in found}
