"""The models of jobs, hashed again: which have changed, and which are gone.

`storage.files.verification` looks at the images. Nothing is changed here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import sqlalchemy as sa

from storage.errors import ModelError
from storage.job import Model
from storage.jobs.sweeps import Sweep
from storage.models.fingerprint import Digests, Fingerprints, Seal, fingerprints
from storage.models.located import Located, in_folder
from storage.models.model_files import is_hub_id
from storage.models.part_files import find_file, fingerprint_part, is_part
from storage.models.places import locate_place
from storage.sql.database import Database
from storage.sql.model_places import parts_named, places_of
from storage.sql.rows import place_digest
from storage.sql.schema import jobs, model_places, results, sweep_jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFinding:
    """Something that is wrong with a model.

    Attributes:
        problem: What is wrong.
        place: Name of the model at the place where it was looked for.
        detail: What was found, as a phrase.
    """

    problem: Literal["model_differs", "model_missing"]
    place: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedModel:
    """What the check of one model found.

    Attributes:
        whole: The number of places where it is as it was planned.
        findings: What is wrong.
    """

    whole: int
    findings: Sequence[ModelFinding]


def check_models(
    database: Database, *, sweep: Sweep | None, digests: Digests
) -> Iterator[CheckedModel]:
    """Hash the files that jobs name: of models, ControlNets, LoRAs and embeddings.

    Those on this machine are meant. A model of the Hub that is not in the cache is
    passed over: it can be fetched.

    Args:
        database: Where the jobs are.
        sweep: Check its models only; None for all.
        digests: Should be made with `afresh`.
    """
    for places in places_of(database, _named(database, sweep)):
        yield _check(database, places, digests=digests)


def _named(database: Database, sweep: Sweep | None) -> set[int]:
    query = sa.select(jobs.c.model_id).distinct()
    if sweep:
        query = query.join(sweep_jobs, sweep_jobs.c.job_id == jobs.c.id)
        query = query.where(sweep_jobs.c.sweep_id == sweep.id)
    with database.read() as connection:
        own = set(connection.execute(query).scalars())
        return own | parts_named(connection, query)


def _check(
    database: Database, places: Sequence[Model], *, digests: Digests
) -> CheckedModel:
    whole, findings, missing = 0, list[ModelFinding](), list[ModelFinding]()
    for place in places:
        try:
            located = _locate(place)
            seal = Seal(located)
            found = _hash(place, located, digests)
        except ModelError as error:
            missing.append(_missing(place, error))
            continue
        if place.fingerprint in found:
            whole += 1
        else:
            findings.append(_differs(database, place, found.current, seal=seal))
    # One place is enough, and all may be empty as long as the Hub has the model.
    is_to_be_had = whole or any(is_hub_id(place.name) for place in places)
    return CheckedModel(
        whole=whole, findings=findings if is_to_be_had else [*findings, *missing]
    )


def _locate(place: Model) -> Located:
    """Find a model, or the one file of a LoRA or textual inversion."""
    if not is_part(place):
        return locate_place(place)
    file = find_file(place, download=False)
    return in_folder(place.name, file.parent, {}, (file.name,))


def _hash(place: Model, located: Located, digests: Digests) -> Fingerprints:
    if not is_part(place):
        return fingerprints(located, digests)
    [name] = located.files
    found = fingerprint_part(located.path(name), digests)
    return Fingerprints(current=found, former=())


def _missing(place: Model, error: ModelError) -> ModelFinding:
    return ModelFinding(problem="model_missing", place=place.name, detail=str(error))


def _differs(
    database: Database, place: Model, found: str, *, seal: Seal
) -> ModelFinding:
    detail = f"fingerprint {found} instead of {place.fingerprint}"
    changed = datetime.fromtimestamp(seal.changed_at_ns / 1e9, UTC)
    when = changed.isoformat(timespec="microseconds")
    if later := _count_made(database, place, after=when):
        detail += f"; {later:,} of its images were finished after that change"
    return ModelFinding(problem="model_differs", place=place.name, detail=detail)


def _count_made(database: Database, place: Model, *, after: str) -> int:
    """Count the images that were made from a place after a moment."""
    made_at = sa.func.coalesce(results.c.place_id, jobs.c.place_id)
    query = (
        sa.select(sa.func.count())
        .select_from(results)
        .join(jobs, jobs.c.id == results.c.job_id)
        .join(model_places, model_places.c.id == made_at)
        .where(model_places.c.digest == place_digest(place))
        .where(results.c.finished_at > after)
    )
    with database.read() as connection:
        return int(connection.execute(query).scalar_one())
