"""The flat views that people query, as queries that the code uses itself.

Their columns are listed only here: after the last migration, the views are made from
these queries.
"""

from typing import Any

from sqlalchemy import ColumnElement, FromClause, Join, Select, case, func, select
from sqlalchemy.engine import Connection

from storage.sql.schema import (
    environments,
    jobs,
    metrics,
    model_places,
    models,
    owners,
    prompts,
    ratings,
    results,
    schedulers,
    scores,
    sweep_jobs,
    sweeps,
    templates,
)


def select_images() -> Select[Any]:
    """Return the query of the view `images`: one flat row per job."""
    first = sweeps.alias("first_sweep")
    template = (
        select(templates.c.text)
        .join(sweep_jobs, sweep_jobs.c.template_id == templates.c.id)
        .where(
            sweep_jobs.c.sweep_id == jobs.c.sweep_id, sweep_jobs.c.job_id == jobs.c.id
        )
        .correlate(jobs)
    )
    named = (first.c.name, _owner_of(first))
    return select(*_flat_columns(*named, template)).select_from(
        _facts().join(first, first.c.id == jobs.c.sweep_id)
    )


def select_sweep_images() -> Select[Any]:
    """Return the query of the view `sweep_images`: one flat row per sweep and job."""
    membership = [
        sweep_jobs.c.position,
        sweep_jobs.c.scheduler_label,
        sweep_jobs.c.cell,
    ]
    template = select(templates.c.text).where(
        templates.c.id == sweep_jobs.c.template_id
    )
    template = template.correlate(sweep_jobs)
    named = (sweeps.c.name, _owner_of(sweeps))
    return select(*_flat_columns(*named, template), *membership).select_from(
        _facts()
        .join(sweep_jobs, sweep_jobs.c.job_id == jobs.c.id)
        .join(sweeps, sweeps.c.id == sweep_jobs.c.sweep_id)
    )


def select_image_scores() -> Select[Any]:
    """Return the query of the view `image_scores`: one row per image and metric."""
    return select(
        jobs.c.key,
        metrics.c.name.label("metric"),
        metrics.c.version,
        metrics.c.model,
        metrics.c.reference,
        case((metrics.c.higher_is_better, "higher"), else_="lower").label("better"),
        scores.c.state,
        scores.c.value,
        scores.c.error,
        scores.c.scored_at,
    ).select_from(
        scores.join(jobs, jobs.c.id == scores.c.job_id).join(
            metrics, metrics.c.id == scores.c.metric_id
        )
    )


def select_image_ratings() -> Select[Any]:
    """Return the query of the view `image_ratings`: one row per image and person."""
    return select(
        jobs.c.key,
        ratings.c.who,
        ratings.c.stars,
        ratings.c.verdict,
        ratings.c.rated_at,
    ).select_from(ratings.join(jobs, jobs.c.id == ratings.c.job_id))


def drop_views(connection: Connection) -> None:
    """Drop the views, so that migrations can change what they depend on."""
    for name in VIEWS:
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")


def make_views(connection: Connection) -> None:
    """Make the views anew."""
    for name, query in VIEWS.items():
        text = query().compile(connection, compile_kwargs={"literal_binds": True})
        connection.exec_driver_sql(f"CREATE VIEW {name} AS {text}")


def _facts() -> Join:
    return (
        jobs.join(models, models.c.id == jobs.c.model_id)
        .join(prompts, prompts.c.id == jobs.c.prompt_id)
        .join(schedulers, schedulers.c.id == jobs.c.scheduler_id)
        .outerjoin(results, results.c.job_id == jobs.c.id)
        .outerjoin(environments, environments.c.id == results.c.environment_id)
        .join(
            model_places,
            model_places.c.id == func.coalesce(results.c.place_id, jobs.c.place_id),
        )
    )


def _owner_of(sweep: FromClause) -> ColumnElement[str]:
    query = select(owners.c.name).where(owners.c.id == sweep.c.owner_id)
    return query.correlate(sweep).scalar_subquery()


def _flat_columns(
    sweep_name: ColumnElement[str],
    owner: ColumnElement[str],
    template: Select[tuple[str]],
) -> list[ColumnElement[Any]]:
    # No join: most queries want no template, and the others look it up.
    return [
        jobs.c.key,
        sweep_name.label("sweep"),
        owner.label("owner"),
        model_places.c.name.label("model"),
        model_places.c.commit_sha.label("model_revision"),
        models.c.fingerprint.label("model_fingerprint"),
        models.c.pipeline,
        prompts.c.text.label("prompt"),
        prompts.c.negative.label("negative_prompt"),
        template.scalar_subquery().label("prompt_template"),
        jobs.c.seed,
        schedulers.c.name.label("scheduler"),
        schedulers.c.class_name.label("scheduler_class"),
        schedulers.c.options.label("scheduler_options"),
        jobs.c.steps,
        jobs.c.guidance,
        jobs.c.width,
        jobs.c.height,
        jobs.c.dtype,
        jobs.c.backend,
        jobs.c.generator,
        jobs.c.extras,
        jobs.c.state,
        jobs.c.attempts,
        jobs.c.error,
        case((jobs.c.state != "evicted", results.c.path)).label("path"),
        results.c.size_bytes,
        results.c.pixel_sha256,
        func.coalesce(results.c.evaluations, jobs.c.evaluations).label("evaluations"),
        results.c.engine,
        results.c.batch_width,
        results.c.slot,
        results.c.decode_dtype,
        results.c.queue_s,
        results.c.load_s,
        results.c.encode_s,
        results.c.denoise_s,
        results.c.decode_s,
        results.c.save_s,
        jobs.c.total_s,
        results.c.peak_bytes,
        results.c.warm_up,
        environments.c.gpu,
        environments.c.host,
        results.c.worker,
        results.c.finished_at,
        jobs.c.created_at,
    ]


#: The views by name, each with its query.
VIEWS = {
    "images": select_images,
    "sweep_images": select_sweep_images,
    "image_scores": select_image_scores,
    "image_ratings": select_image_ratings,
}
