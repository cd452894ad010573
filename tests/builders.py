"""Builders of the jobs, sweeps and results that tests need."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from storage.files.images import ImageFolder
from storage.host.environment import Environment
from storage.job import Job, Model, PlannedJob
from storage.jobs import claims
from storage.jobs.claims import Claim
from storage.jobs.lifecycle import set_priority
from storage.jobs.membership import BEST, add_jobs
from storage.jobs.results import Result, Timings
from storage.jobs.runnable_groups import IN_ORDER
from storage.jobs.sweeps import NORMAL_PRIORITY, Sweep, save_sweep
from storage.sql.database import Database
from storage.sql.schema import jobs

#: The scheduler config of Stable Diffusion 1.5, as in its JSON file.
SD15 = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}
SD3 = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "num_train_timesteps": 1000,
    "shift": 3.0,
}
#: As in many community models: Karras sigmas and the stochastic equation.
KARRAS_SDE = {
    **SD15,
    "_class_name": "DPMSolverMultistepScheduler",
    "algorithm_type": "sde-dpmsolver++",
    "lower_order_final": True,
    "solver_order": 2,
    "solver_type": "midpoint",
    "timestep_spacing": "leading",
    "use_karras_sigmas": True,
}
#: As in old models that were released with DEIS.
DEIS = {
    **SD15,
    "_class_name": "DEISMultistepScheduler",
    "algorithm_type": "deis",
    "lower_order_final": True,
    "solver_order": 2,
    "solver_type": "logrho",
}
TRAILING = {
    **SD15,
    "_class_name": "EulerDiscreteScheduler",
    "timestep_spacing": "trailing",
}
ZERO_SNR = {
    **TRAILING,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
}

SHAPES = Model(fingerprint="0" * 32, name="builtin:shapes")
ENVIRONMENT = Environment(gpu="CPU", host="night3", details={"torch": "2.13.0"})


def make_job(**changes: Any) -> Job:
    """Make a job; `changes` are fields of `Job`."""
    return replace(
        Job(
            model=SHAPES,
            dtype="float16",
            width=512,
            height=512,
            prompt="a cat",
            seed=8,
            scheduler_class="DDIMScheduler",
            steps=20,
            guidance=7.5,
        ),
        **changes,
    )


def make_planned(**changes: Any) -> PlannedJob:
    """Make a planned job; `changes` are fields of `PlannedJob` or of `Job`."""
    names = {field.name for field in fields(PlannedJob)}
    of_job = {name: changes.pop(name) for name in set(changes) - names}
    planned = PlannedJob(
        job=make_job(**of_job), position=0, evaluations=20, scheduler_name="ddim"
    )
    return replace(planned, **changes)


def plan_seeds(*seeds: int, **changes: Any) -> list[PlannedJob]:
    """Make a planned job for each seed, to be executed in this order."""
    return [
        make_planned(seed=seed, position=position, **changes)
        for position, seed in enumerate(seeds)
    ]


def submit(
    database: Database,
    planned: Sequence[PlannedJob],
    *,
    name: str = "night",
    spec: str = "one",
    priority: int = NORMAL_PRIORITY,
    axes: Mapping[str, Any] | None = None,
    owner: str = "",
) -> Sweep:
    """Store a sweep and its jobs."""
    sweep = save_sweep(database, name, spec=spec, axes=axes or {}, owner=owner)
    if sweep.priority != priority:
        set_priority(database, sweep, priority)
    add_jobs(database, sweep, planned)
    return sweep


def take(database: Database, owner: str = "host:1:1", **changes: Any) -> list[Claim]:
    """Claim jobs of the group of `make_job`; `changes` are arguments of `claim`."""
    values = {"lease_s": 90.0, "limit": 4, "group": make_job().group}
    return claims.claim(database, owner=owner, **{**values, **changes})


def take_these(
    database: Database, keys: Sequence[str], owner: str = "host:1:1"
) -> list[Claim]:
    """Claim those of these jobs that are runnable."""
    named = jobs.c.key.in_(keys)
    with database.write() as connection:
        found = claims._lock_runnable(connection, named, len(keys), order=IN_ORDER)
        return claims._claim(connection, found, owner=owner, lease_s=90.0)


def job_rows(database: Database) -> Sequence[Any]:
    """Return the rows of the table of jobs, by id."""
    with database.read() as connection:
        return connection.execute(sa.select(jobs).order_by(jobs.c.id)).all()


def states(database: Database) -> dict[int, str]:
    """Return the state of each job by its seed."""
    return {row.seed: row.state for row in job_rows(database)}


def untold(database: Database) -> list[int]:
    """Return the seeds of unmade jobs whose priority is not what their sweeps want."""
    query = (
        sa.select(jobs.c.seed)
        .where(jobs.c.state != "done", jobs.c.priority.is_distinct_from(BEST))
        .order_by(jobs.c.seed)
    )
    with database.read() as connection:
        return list(connection.execute(query).scalars())


def make_result(**changes: Any) -> Result:
    """Make a result; `changes` are fields of `Result`."""
    timings = Timings(
        queue_s=1.5, encode_s=0.25, denoise_s=0.5, decode_s=0.125, save_s=0.125
    )
    result = Result(
        path="ab/cd/abcd.png",
        size_bytes=1000,
        evaluations=20,
        pixel_sha256="0" * 64,
        timings=timings,
        finished_at="2026-01-02T03:04:05.678901+00:00",
    )
    return replace(result, **changes)


def save_image(
    images: ImageFolder, key: str, content: bytes, thumbnail: bytes | None = None
) -> Path:
    """Save an image; return its file."""
    images.save(key, content, thumbnail)
    return images.path(key)
