"""A job as rows, and back: its columns, dimensions and extras."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.job import Job, Model, PlannedJob, canonical_json
from storage.sql import leases
from storage.sql.schema import (
    jobs,
    model_places,
    models,
    prompts,
    scheduler_names,
    schedulers,
    sweep_jobs,
)

#: The name by which a job's first sweep asked for its scheduler, if that is one of its
#: names on the model; else the name that it is stored under.
_ASKED = sa.func.coalesce(scheduler_names.c.name, schedulers.c.name)
_IN_FIRST_SWEEP = sa.and_(
    sweep_jobs.c.job_id == jobs.c.id, sweep_jobs.c.sweep_id == jobs.c.sweep_id
)
_CALLED_SO = sa.and_(
    scheduler_names.c.model_id == jobs.c.model_id,
    scheduler_names.c.scheduler_id == jobs.c.scheduler_id,
    scheduler_names.c.name == sweep_jobs.c.scheduler_label,
)

#: Encodes what people read, in the order of display.
_SHOWN = json.JSONEncoder(ensure_ascii=False)


def job_columns() -> sa.Select[Any]:
    """Return the query from which `job_from_row` builds jobs; add a `where` to it."""
    return sa.select(
        jobs,
        *model_columns(),
        prompts.c.text,
        prompts.c.negative,
        schedulers.c.class_name,
        schedulers.c.options,
        _ASKED.label("scheduler_name"),
    ).select_from(
        jobs.join(models, models.c.id == jobs.c.model_id)
        .join(model_places, model_places.c.id == jobs.c.place_id)
        .join(prompts, prompts.c.id == jobs.c.prompt_id)
        .join(schedulers, schedulers.c.id == jobs.c.scheduler_id)
        .outerjoin(sweep_jobs, _IN_FIRST_SWEEP)
        .outerjoin(scheduler_names, _CALLED_SO)
    )


def job_from_row(row: Any) -> Job:
    """Build the job of a row of `job_columns`; its key is the row's key."""
    return Job(
        model=model_from_row(row),
        backend=row.backend,
        dtype=row.dtype,
        width=row.width,
        height=row.height,
        prompt=row.text,
        negative_prompt=row.negative,
        seed=row.seed,
        generator=row.generator,
        scheduler_class=row.class_name,
        scheduler_options=json.loads(row.options),
        steps=row.steps,
        guidance=row.guidance,
        extras=json.loads(row.extras),
    )


def model_columns() -> list[sa.Label[Any]]:
    """Return the columns from which `model_from_row` builds a model at a place."""
    of_model = (
        models.c.fingerprint,
        models.c.family,
        models.c.embeds_guidance,
        models.c.pipeline,
    )
    of_place = (
        model_places.c.name,
        model_places.c.revision,
        model_places.c.variant,
        model_places.c.commit_sha,
    )
    return [each.label(f"model_{each.name}") for each in (*of_model, *of_place)]


def model_from_row(row: Any) -> Model:
    """Build the model of a row of `model_columns`."""
    return Model(
        fingerprint=row.model_fingerprint,
        name=row.model_name,
        revision=row.model_revision,
        variant=row.model_variant,
        commit=row.model_commit_sha,
        family=row.model_family,
        embeds_guidance=row.model_embeds_guidance,
        pipeline=row.model_pipeline,
    )


def model_row(model: Model) -> dict[str, Any]:
    """Return the row of `models` for a model."""
    return {
        "fingerprint": model.fingerprint,
        "family": model.family,
        "embeds_guidance": model.embeds_guidance,
        "pipeline": model.pipeline,
    }


def place_row(model: Model) -> dict[str, Any]:
    """Return the row of `model_places` for a model, without its ids and times."""
    return {
        "digest": place_digest(model),
        "name": model.name,
        "revision": model.revision,
        "variant": model.variant,
        "commit_sha": model.commit,
    }


@lru_cache
def place_digest(model: Model) -> str:
    """Return the digest that identifies a model's row of `model_places`."""
    place = [
        model.fingerprint,
        model.name,
        model.revision,
        model.variant,
        model.commit,
    ]
    return hashlib.sha256(canonical_json(place).encode()).hexdigest()[:32]


def prompt_row(one: PlannedJob) -> dict[str, Any]:
    """Return the row of `prompts` for a job's pair of prompt and negative prompt."""
    both = canonical_json([one.job.prompt, one.job.negative_prompt])
    return {
        "digest": hashlib.sha256(both.encode()).hexdigest()[:32],
        "text": one.job.prompt,
        "negative": one.job.negative_prompt,
    }


def template_row(text: str) -> dict[str, Any]:
    """Return the row of `templates` for a prompt as a sweep writes it."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return {"digest": digest, "text": text}


def scheduler_identity(one: PlannedJob) -> tuple[str, str, str]:
    """Return what identifies a job's row of `schedulers`: class, options, name."""
    return (
        one.job.scheduler_class,
        _json_of(one.job.scheduler_options),
        one.scheduler_name,
    )


def job_row(one: PlannedJob) -> dict[str, Any]:
    """Return the columns of `jobs` for a new job, without its ids."""
    job = one.job
    return {
        "key": job.key,
        "group_key": job.group,
        "seed": job.seed,
        "steps": job.steps,
        "guidance": job.guidance,
        "width": job.width,
        "height": job.height,
        "dtype": job.dtype,
        "backend": job.backend,
        "generator": job.generator,
        "extras": _json_of(job.extras),
        "position": one.place,
        "evaluations": one.evaluations,
        "state": "pending",
        "attempts": 0,
        "deaths": 0,
    }


def member_row(one: PlannedJob, *, sweep_id: int, revision: int) -> dict[str, Any]:
    """Return the columns of `sweep_jobs` for a job; its key stands for its id."""
    return {
        "key": one.job.key,
        "sweep_id": sweep_id,
        "revision": revision,
        "position": one.position,
        "scheduler_label": one.scheduler_label,
        "cell": _SHOWN.encode(one.cell),
    }


def insert_rows(
    connection: Connection, insert: Any, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Execute an INSERT for each of many rows of the same columns, fast.

    SQLAlchemy's own way takes longer for the parameters than SQLite for the rows. Here,
    the values go to the driver as they are: numbers, text and None.
    """
    columns = [name for name in rows[0] if name in insert.table.c]
    # Inline: else SQLAlchemy adds RETURNING with the primary keys, which nobody reads,
    # and which sqlite3 refuses for many rows since Python 3.12.
    statement = insert.inline()
    compiled = statement.compile(dialect=connection.dialect, column_keys=columns)
    values: Sequence[Any] = rows
    if compiled.positional:
        values = [*map(itemgetter(*compiled.positiontup), rows)]
    connection.exec_driver_sql(str(compiled), values)


def lock_jobs(
    connection: Connection, which: sa.ColumnElement[bool]
) -> sa.ColumnElement[bool]:
    """Lock jobs until the transaction ends; see `leases.lock`."""
    return leases.lock(connection, jobs, which)


def _json_of(values: Mapping[str, Any]) -> str:
    # Most mappings are empty.
    return canonical_json(values) if values else "{}"
