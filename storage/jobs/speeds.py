"""What calibrations measured: seconds per image, by scheduler, steps and the rest."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import sqlalchemy as sa

from storage.host.environment import Environment
from storage.job import canonical_json
from storage.jobs.results import keep_environment
from storage.sql.database import Database, insert_into
from storage.sql.schema import speeds
from storage.sql.searching import contains


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Seconds that one image takes, alone, with one scheduler and step count.

    Attributes:
        model: Its name, as jobs have it.
        model_fingerprint: Hash of the model's files, 32 hex digits.
        gpu: Name of the GPU, or of the processor.
        dtype: `float32`, `float16` or `bfloat16`.
        width: Pixels.
        height: Pixels.
        guidance: Scale that was used; it only matters whether it is above 1, since
            the model then has two rows to evaluate for each image.
        scheduler: Short name, as the catalogue gives it.
        scheduler_class: Class name in diffusers.
        scheduler_options: Options that differ from the model's own config.
        steps: As asked.
        evaluations: Calls of the model for one image.
        images: How many were measured, 1 or more.
        median_s: Median of their seconds, from the prompt to the pixels.
        least_s: The fastest.
        most_s: The slowest.
        measured_at: When they were complete; ISO 8601, UTC.
    """

    model: str
    model_fingerprint: str
    gpu: str
    dtype: str
    width: int
    height: int
    guidance: float
    scheduler: str
    scheduler_class: str
    scheduler_options: Mapping[str, Any] = field(default_factory=dict)
    steps: int
    evaluations: int
    images: int
    median_s: float
    least_s: float
    most_s: float
    measured_at: str


def record(
    database: Database, measured: Sequence[Speed], *, environment: Environment
) -> None:
    """Store speeds; each replaces the one with the same conditions, if any.

    The conditions are model, environment, dtype, size, scheduler and steps, with or
    without guidance. Other versions of the packages are another environment, so both
    measurements stay.

    Args:
        database: Where they go.
        measured: Speeds of one machine.
        environment: That machine; its `gpu` is the one in `measured`.

    Raises:
        DatabaseError: The database cannot be written.
    """
    if not measured:
        return
    with database.write() as connection:
        environment_id = keep_environment(connection, environment)
        rows = [_row(speed) | {"environment_id": environment_id} for speed in measured]
        statement = insert_into(connection, speeds)
        newer = {
            column.name: statement.excluded[column.name]
            for column in speeds.c
            if not column.primary_key
        }
        same = list(speeds.primary_key.columns)
        connection.execute(
            statement.on_conflict_do_update(index_elements=same, set_=newer), rows
        )


def read(
    database: Database, *, model: str | None = None, gpu: str | None = None
) -> list[Speed]:
    """Return the speeds that were measured, by model, GPU, size, scheduler and steps.

    What was measured in several environments appears several times, newest last.

    Args:
        database: Where they are.
        model: Part of the model's name.
        gpu: Part of the GPU's name.

    Raises:
        DatabaseError: The database cannot be read.
    """
    columns = speeds.c
    query = sa.select(*(columns[each.name] for each in fields(Speed))).order_by(
        *(columns.model, columns.gpu, columns.dtype, columns.width, columns.height),
        *(columns.guided, columns.scheduler, columns.steps, columns.measured_at),
    )
    if model:
        query = query.where(contains(columns.model, model))
    if gpu:
        query = query.where(contains(columns.gpu, gpu))
    with database.read() as connection:
        return [_speed(row) for row in connection.execute(query).mappings()]


def _row(speed: Speed) -> dict[str, Any]:
    return {
        **asdict(speed),
        "scheduler_options": canonical_json(speed.scheduler_options),
        "guided": speed.guidance > 1,
    }


def _speed(row: Mapping[Any, Any]) -> Speed:
    options = json.loads(row["scheduler_options"])
    return Speed(**{**row, "scheduler_options": options})
