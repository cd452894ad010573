"""Metrics as rows: what tells a score of one from a score of another."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.job import canonical_json
from storage.sql.database import Database, insert_into
from storage.sql.schema import metrics

#: Characters of a digest that stand for a metric in the table `blocks`.
BLOCK_KEY_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedMetric:
    """A metric for the images of a model, with all that decides its scores.

    Attributes:
        name: What it is called: `clip`.
        source: What loads it: the name of a built-in metric, or where the class of a
            user's own metric is; not part of what it is.
        version: The metric's own; another version gives other scores.
        model: The network that judges; empty for none.
        model_fingerprint: The fingerprint of its files; empty for none.
        reference: How the image that it is compared with differs from the one that is
            scored: `{"steps": 200}`; empty where the metric compares with none.
        higher_is_better: The direction; it follows from name and version.
    """

    name: str
    source: str
    version: str
    model: str = ""
    model_fingerprint: str = ""
    reference: Mapping[str, Any] = field(default_factory=dict)
    higher_is_better: bool

    @property
    def digest(self) -> str:
        """Its name in messages: 32 hex digits of a hash of what it is."""
        # The fingerprint says which files; where they are does not matter then.
        model = "" if self.model_fingerprint else self.model
        files, reference = self.model_fingerprint, dict(self.reference)
        text = canonical_json([self.name, self.version, model, files, reference])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def block_key(self) -> str:
        """What stands for it in the table `blocks`."""
        return block_key_of(self.digest)


def block_key_of(digest: str) -> str:
    """Return what stands for a metric in the table `blocks`, as a group does."""
    return digest[:BLOCK_KEY_LENGTH]


def store_metric(connection: Connection, metric: ResolvedMetric) -> int:
    """Store a metric if it is new, and return the id of its row.

    Where it was found last, its class and its network, is noted each time.
    """
    values = {
        "digest": metric.digest,
        "name": metric.name,
        "source": metric.source,
        "version": metric.version,
        "model": metric.model,
        "model_fingerprint": metric.model_fingerprint,
        "reference": canonical_json(dict(metric.reference)),
        "higher_is_better": metric.higher_is_better,
    }
    places = {name: values[name] for name in ("source", "model")}
    statement = insert_into(connection, metrics).values(values)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["digest"], set_=places)
    )
    query = sa.select(metrics.c.id).where(metrics.c.digest == metric.digest)
    return int(connection.execute(query).scalar_one())


def find_metric(database: Database, digest: str) -> tuple[int, ResolvedMetric] | None:
    """Return the row and the metric of a digest; None if nobody asked for it."""
    query = sa.select(metrics).where(metrics.c.digest == digest)
    with database.read() as connection:
        row = connection.execute(query).first()
    return (row.id, _metric(row)) if row else None


def _metric(row: Any) -> ResolvedMetric:
    return ResolvedMetric(
        name=row.name,
        source=row.source,
        version=row.version,
        model=row.model,
        model_fingerprint=row.model_fingerprint,
        reference=json.loads(row.reference),
        higher_is_better=row.higher_is_better,
    )
