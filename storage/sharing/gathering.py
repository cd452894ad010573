"""What an export says of images: from SQL to the lines of a manifest, page by page."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.catalogue.control_pipelines import controls_of
from storage.host.environment import Environment
from storage.job import Model
from storage.jobs.owners import OWNER_NAME
from storage.jobs.records import job_where_made
from storage.jobs.sweeps import BEHIND
from storage.ratings.rating import read_ratings
from storage.scores.identities import ResolvedMetric
from storage.sharing.gathered_rows import (
    METRIC,
    RESULT,
    SCORE,
    read_names,
    read_scores,
    select_images,
)
from storage.sharing.manifest import OF_JOB, line_of
from storage.sharing.shared_items import SharedSweep, SharedVote
from storage.sql.database import Database
from storage.sql.model_places import DatabasePlaces
from storage.sql.rows import place_digest
from storage.sql.schema import (
    MADE_STATES,
    jobs,
    sweep_jobs,
    sweeps,
    templates,
    votes,
)

Line = dict[str, Any]


class Gatherer:
    """Reads images for a manifest, and remembers what the lines so far have.

    Attributes:
        keys: Of the images that it read.
        inputs: Digests of their input images.
    """

    def __init__(self, database: Database, sweep_names: Collection[str]) -> None:
        """Read nothing yet.

        Args:
            database: Where the images are.
            sweep_names: The sweeps that are told; empty for all.
        """
        self.keys: set[str] = set()
        self.inputs: set[str] = set()
        self._database = database
        self._told = sweep_names
        self._places = DatabasePlaces(database)
        self._parts: dict[str, list[Model]] = {}
        self._said: set[str] = set()
        self._sweep_ids: set[int] = set()
        self._referenced: set[str] = set()

    @property
    def references(self) -> list[str]:
        """Keys of the images that scores were compared with, and that were not read."""
        return sorted(self._referenced - self.keys)

    def read(self, keys: Sequence[str]) -> Iterator[Line]:
        """Yield the lines of some images, each after those that it refers to.

        Args:
            keys: Whole keys, a page of them; unknown ones have no line.
        """
        ratings = read_ratings(self._database, keys)
        with self._database.read() as connection:
            rows = {row.key: row for row in connection.execute(select_images(keys))}
            ids = [row.id for row in rows.values()]
            members = self._read_members(connection, ids)
            scored = read_scores(connection, ids)
            names = read_names(connection, rows.values())
        for key in keys:
            if (row := rows.get(key)) is None:
                continue
            self.keys.add(key)
            found = members.get(row.id) or [self._first_member(row)]
            yield from self._image(
                row,
                {
                    "members": found,
                    "scheduler_names": names.get((row.model_id, row.scheduler_id), []),
                    "ratings": ratings.get(key, []),
                },
                scored.get(row.id, []),
            )

    def votes(self) -> Iterator[Line]:
        """Yield the lines of the votes between images that were read."""
        a, b = jobs.alias(), jobs.alias()
        names = ("who", "axis", "winner", "query", "voted_at")
        query = (
            sa.select(
                *(votes.c[name] for name in names),
                a.c.key.label("a"),
                b.c.key.label("b"),
            )
            .join(a, a.c.id == votes.c.job_a)
            .join(b, b.c.id == votes.c.job_b)
            .order_by(votes.c.id)
        )
        with self._database.read() as connection:
            for row in connection.execute(query):
                if row.a in self.keys and row.b in self.keys:
                    yield line_of("vote", SharedVote(**row._mapping))

    def sweeps(self) -> list[SharedSweep]:
        """Return the sweeps of the images that were read, and those with references."""
        leader = sweeps.alias()
        count = (
            sa.select(sa.func.count())
            .where(
                sweep_jobs.c.sweep_id == sweeps.c.id,
                sweep_jobs.c.revision == sweeps.c.revision,
            )
            .scalar_subquery()
        )
        wanted = sa.func.coalesce(sweeps.c.submitting, count)
        names = ("name", "digest", "spec", "axes", "state", "priority")
        columns = (*(sweeps.c[name] for name in names), sweeps.c.min_free_bytes)
        of = leader.c.name.label("reference_of")
        owner = OWNER_NAME.label("owner")
        query = sa.select(*columns, wanted.label("jobs"), of, owner)
        query = query.outerjoin(leader, leader.c.id == sweeps.c.reference_of)
        leaders = sa.select(sweeps.c.reference_of).where(
            sweeps.c.id.in_(self._sweep_ids), sweeps.c.reference_of.is_not(None)
        )
        told = sa.or_(sweeps.c.id.in_(self._sweep_ids), sweeps.c.id.in_(leaders))
        with self._database.read() as connection:
            rows = connection.execute(query.where(told).order_by(sweeps.c.id))
            return [
                SharedSweep(**{**row._mapping, "axes": json.loads(row.axes)})
                for row in rows
            ]

    def _image(self, row: Any, more: Line, scored: Sequence[Any]) -> Iterator[Line]:
        job = job_where_made(row)
        model = place_digest(job.model)
        yield from self._define("model", model, job.model)
        parts = []
        for part in self._parts_of(job.part_fingerprints):
            parts.append(place_digest(part))
            yield from self._define("model", parts[-1], part)
        begins_with = job.extras.get("image")
        followed = [control.image for control in controls_of(job.extras)]
        self.inputs.update(filter(None, [begins_with, *followed]))
        made = None
        if row.state in MADE_STATES and row.made_size_bytes is not None:
            details = json.loads(row.details)
            where = Environment(gpu=row.gpu, host=row.host, details=details)
            yield from self._define("environment", row.environment, where)
            made = {name: getattr(row, f"made_{name}") for name in RESULT}
            made["environment"] = row.environment
        for each in scored:
            metric = ResolvedMetric(
                **{name: getattr(each, f"of_{name}") for name in METRIC}
                | {"reference": json.loads(each.of_reference)}
            )
            yield from self._define("metric", each.digest, metric)
            if each.reference:
                self._referenced.add(each.reference)
        yield line_of(
            "image",
            {
                "key": row.key,
                "state": row.state,
                "file": None,
                "job": {name: getattr(job, name) for name in OF_JOB},
                "model": model,
                "parts": parts,
                "scheduler": row.stored_name,
                "evaluations": row.evaluations,
                "result": made,
                "scores": [
                    {
                        **{name: getattr(each, name) for name in SCORE},
                        "metric": each.digest,
                        "reference": each.reference,
                    }
                    for each in scored
                ],
                **more,
            },
        )

    def _define(self, kind: str, label: str, said: Any) -> Iterator[Line]:
        """Yield the line that says what a label means, once."""
        if (name := f"{kind} {label}") not in self._said:
            self._said.add(name)
            yield line_of(kind, said, label=label)

    def _parts_of(self, fingerprints: Sequence[str]) -> Iterator[Model]:
        """Yield the weights besides the model, each at all of its places."""
        for each in fingerprints:
            if each not in self._parts:
                self._parts[each] = self._places.of_fingerprint(each)
            yield from self._parts[each]

    def _read_members(
        self, connection: Connection, ids: Sequence[int]
    ) -> dict[int, list[Line]]:
        query = (
            sa.select(
                sweep_jobs,
                sweeps.c.name,
                templates.c.text,
                (sweep_jobs.c.revision == sweeps.c.revision).label("is_current"),
            )
            .join(sweeps, sweeps.c.id == sweep_jobs.c.sweep_id)
            .outerjoin(templates, templates.c.id == sweep_jobs.c.template_id)
            .where(sweep_jobs.c.job_id.in_(ids))
            .order_by(sweep_jobs.c.job_id, sweep_jobs.c.sweep_id)
        )
        if self._told:
            leader = sweeps.alias()
            told = sa.select(leader.c.id).where(leader.c.name.in_(self._told))
            query = query.where(
                sa.or_(sweeps.c.id.in_(told), sweeps.c.reference_of.in_(told))
            )
        else:
            query = query.where(sweeps.c.state != "removed")
        found = defaultdict(list)
        for row in connection.execute(query):
            self._sweep_ids.add(row.sweep_id)
            found[row.job_id].append(
                {
                    "sweep": row.name,
                    "position": row.position,
                    "label": row.scheduler_label,
                    "template": row.text,
                    "cell": json.loads(row.cell),
                    "is_current": bool(row.is_current),
                }
            )
        return found

    def _first_member(self, row: Any) -> Line:
        """Return the place of an image that no told sweep has in its first sweep."""
        self._sweep_ids.add(row.sweep_id)
        return {
            "sweep": row.first_sweep,
            "position": row.position % BEHIND,
            "label": None,
            "template": None,
            "cell": {},
            "is_current": False,
        }
