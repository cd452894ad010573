"""A job as rows, and back: what is a column, what a dimension, what an extra."""

import hashlib
import json
from typing import Any

import sqlalchemy as sa

from storage.job import Job, Model, canonical_json
from storage.schema import jobs, models, prompts, schedulers


def job_columns() -> sa.Select[Any]:
    """Give the query from which `job_from_row` builds jobs; add a `where` to it."""
    return sa.select(
        jobs,
        *(column.label(f"model_{column.name}") for column in models.c),
        prompts.c.text,
        prompts.c.negative,
        schedulers.c.class_name,
        schedulers.c.options,
    ).select_from(
        jobs.join(models, models.c.id == jobs.c.model_id)
        .join(prompts, prompts.c.id == jobs.c.prompt_id)
        .join(schedulers, schedulers.c.id == jobs.c.scheduler_id)
    )


def job_from_row(row: Any) -> Job:
    """Build the job of a row of `job_columns`; its key is the row's key."""
    return Job(
        model=Model(
            fingerprint=row.model_fingerprint,
            name=row.model_name,
            revision=row.model_revision,
            variant=row.model_variant,
            commit=row.model_commit_sha,
            family=row.model_family,
            embeds_guidance=row.model_embeds_guidance,
        ),
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


def model_row(model: Model) -> dict[str, Any]:
    """Give the row of `models` for a model."""
    return {
        "fingerprint": model.fingerprint,
        "name": model.name,
        "revision": model.revision,
        "variant": model.variant,
        "commit_sha": model.commit,
        "family": model.family,
        "embeds_guidance": model.embeds_guidance,
    }


def prompt_digest(job: Job) -> str:
    """Name a pair of prompt and negative prompt: 32 hex digits."""
    both = canonical_json([job.prompt, job.negative_prompt])
    return hashlib.sha256(both.encode()).hexdigest()[:32]


def job_row(job: Job) -> dict[str, Any]:
    """Give the columns of `jobs` that come from the job itself, without its ids."""
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
        "extras": canonical_json(job.extras),
    }
