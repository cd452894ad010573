"""A real store whose images have distances, with known limits."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from storage.job import PlannedJob
from storage.jobs.companions import companion_of
from storage.jobs.membership import add_jobs
from storage.settings import Settings
from storage.sql.database import Database, open_database
from storage.sql.schema import jobs, metrics, scores
from tests.unit.filled_store import finish, make_settings, plan, submit

REFERENCE = 32
#: Distances as shares of that between two seeds; at 16 steps they are the floor.
SHARES: Mapping[str, Mapping[int, float]] = {
    "ddim": {2: 0.5, 4: 0.25, 8: 0.03, 16: 0.01},
    "unipc": {2: 0.3, 4: 0.03, 8: 0.02, 16: 0.004},
    "heun": {2: 0.6, 4: 0.4, 8: 0.2, 16: 0.1},
}
#: Distance between two seeds of a prompt.
UNIT = 0.2


def make_measured(
    folder: Path,
    *,
    prompts: int = 12,
    seeds: Sequence[int] = (0, 1),
    guidance: Sequence[float] = (2.5,),
    between_seeds: bool = True,
) -> Settings:
    """Make the sweep `limits`: each scheduler of `SHARES` and one that draws noise.

    Args:
        folder: Where everything is.
        prompts: How many.
        seeds: Of each prompt.
        guidance: With the second one, all distances are half as large.
        between_seeds: Whether references are held against those of another seed.
    """
    settings = make_settings(folder)
    axes: dict[str, Sequence[Any]] = {
        "prompt": [f"a red circle number {n} on a blue one" for n in range(prompts)],
        "seed": seeds,
        "guidance": guidance,
    }
    planned = plan({**axes, "scheduler": (*SHARES, "euler_a"), "steps": (2, 4, 8)})
    sweep = submit(settings, "limits", planned)
    references = plan({**axes, "scheduler": (*SHARES,), "steps": (16, REFERENCE)})
    database = open_database(settings.database_url)
    add_jobs(database, companion_of(database, sweep), references)
    finish(settings, [*planned, *references])
    _add_distances(database, [*planned, *references])
    if between_seeds:
        _add_units(database, references)
    database.close()
    return settings


def _add_distances(database: Database, planned: Sequence[PlannedJob]) -> None:
    full = {_place(one): one for one in planned if one.job.steps == REFERENCE}
    values = {}
    for one in planned:
        share = SHARES.get(one.scheduler_name, {}).get(one.job.steps)
        if share is not None:
            number = int(one.job.prompt.split()[4])
            share *= (1 + 0.01 * (number % 5)) * (2.5 / one.job.guidance)
            values[one.job.key] = (UNIT * share, full[_place(one)].job.key)
    _add_scores(database, values, steps=REFERENCE)


def _add_units(database: Database, references: Sequence[PlannedJob]) -> None:
    full = [one for one in references if one.job.steps == REFERENCE]
    first = {_place(one)[1:]: one for one in reversed(full)}
    values = {}
    for one in full:
        other = first[_place(one)[1:]]
        if other is not one:
            values[one.job.key] = (UNIT, other.job.key)
    _add_scores(database, values, seed=0)


def _place(one: PlannedJob) -> tuple[Any, ...]:
    return one.job.seed, one.job.prompt, one.scheduler_name, one.job.guidance


def _add_scores(
    database: Database, values: Mapping[str, tuple[float, str]], **reference: int
) -> None:
    """Add scores of images, each with the key of what it is compared with."""
    row = {
        "digest": f"{reference}".ljust(32, "0")[:32],
        "name": "rmse",
        "source": "rmse",
        "version": "1",
        "model": "",
        "model_fingerprint": "",
        "reference": json.dumps(reference, separators=(",", ":")),
        "higher_is_better": False,
    }
    with database.write() as connection:
        metric_id = connection.execute(sa.insert(metrics), row).inserted_primary_key[0]
        query = sa.select(jobs.c.key, jobs.c.id)
        ids = dict(connection.execute(query).all())
        rows = [
            {
                "job_id": ids[key],
                "metric_id": metric_id,
                "reference_id": ids[other],
                "state": "done",
                "value": value,
                "attempts": 1,
                "deaths": 0,
            }
            for key, (value, other) in values.items()
        ]
        if rows:
            connection.execute(sa.insert(scores), rows)
