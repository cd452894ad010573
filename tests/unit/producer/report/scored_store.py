"""A real store whose images have scores, with a known answer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from storage.settings import Settings
from storage.sql.database import open_database
from storage.sql.schema import jobs, metrics, prompts, schedulers, scores
from tests.unit.filled_store import finish, make_settings, plan, submit

BY = ("scheduler", "steps")
AXES: Mapping[str, Any] = {
    "prompt": [f"a red circle number {n} on a blue background" for n in range(12)],
    "seed": (0, 1),
    "scheduler": ("ddim", "unipc"),
    "steps": (2, 20),
}
#: The score of each setting, but for what its prompt and seed add. The cheaper unipc
#: is as good as the best by less than seeds differ.
SCORES = {
    ("ddim", 2): 0.2,
    ("unipc", 2): 0.6999,
    ("ddim", 20): 0.7,
    ("unipc", 20): 0.6,
}


def make_scored(folder: Path, **metric: Any) -> Settings:
    """Make the sweep `answer` of 96 images: 93 made and scored, one failed."""
    settings = make_settings(folder)
    planned = plan(AXES)
    submit(settings, "answer", planned)
    finish(settings, planned[:-2], fail={planned[5].job.key})
    add_scores(settings, **metric)
    return settings


def add_scores(settings: Settings, **metric: Any) -> None:
    """Score all images that are done by a metric, `clip` if nothing else is said."""
    row = {
        "digest": "c" * 32,
        "name": "clip",
        "source": "clip",
        "version": "1",
        "model": "builtin:clip",
        "model_fingerprint": "f" * 32,
        "reference": "{}",
        "higher_is_better": True,
        **metric,
    }
    database = open_database(settings.database_url)
    query = (
        sa.select(
            jobs.c.id, prompts.c.text, jobs.c.seed, schedulers.c.name, jobs.c.steps
        )
        .join(prompts, prompts.c.id == jobs.c.prompt_id)
        .join(schedulers, schedulers.c.id == jobs.c.scheduler_id)
        .where(jobs.c.state == "done")
    )
    with database.write() as connection:
        metric_id = connection.execute(sa.insert(metrics), row).inserted_primary_key[0]
        values = [
            {
                "job_id": job_id,
                "metric_id": metric_id,
                "state": "done",
                "value": score_of(text, seed, name=name, steps=steps),
                "attempts": 1,
                "deaths": 0,
            }
            for job_id, text, seed, name, steps in connection.execute(query).all()
        ]
        connection.execute(sa.insert(scores), values)
    database.close()


def score_of(prompt: str, seed: int, *, name: str, steps: int) -> float:
    """The score of an image: its setting's, and what is the image's own."""
    number = int(prompt.split()[4])
    own = 0.0001 * (number * steps % 7)
    return SCORES.get((name, steps), 0.5) + 0.01 * number + 0.05 * seed + own
