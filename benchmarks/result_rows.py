"""A database full of results, by plain inserts: sweeps that differ as real ones do."""

import hashlib
import itertools
import json
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from storage.catalogue.schedulers import NAMES
from storage.sql.database import Database
from storage.sql.job_settings import note_settings
from storage.sql.schema import (
    environments,
    jobs,
    model_places,
    models,
    prompts,
    results,
    schedulers,
    sweep_jobs,
    sweeps,
)

SWEEPS = 10
MODELS = ("org/sd15", "org/sdxl", "org/sd3", "org/flux")
STEPS = (4, 8, 10, 15, 20, 30, 40, 50)
GUIDANCE = (1.0, 2.0, 3.5, 5.0, 6.0, 7.5)
CHUNK = 20_000
#: Of 25 jobs, one is not done.
UNDONE_EVERY = 25
START = datetime(2026, 11, 1, tzinfo=UTC)
THINGS = ("fox", "boat", "tree", "car", "cat", "tower", "lamp", "bird")


def fill(database: Database, *, rows: int) -> None:
    """Store sweeps with together `rows` results and 4 % more jobs that have none."""
    total = rows * UNDONE_EVERY // (UNDONE_EVERY - 1)
    _dimensions(database, rows=total)
    with database.write() as connection:
        made: dict[sa.Table, list[dict[str, Any]]] = {
            jobs: [],
            sweep_jobs: [],
            results: [],
        }
        for job, member, result in itertools.islice(_rows(total), total):
            made[jobs].append(job)
            made[sweep_jobs].append(member)
            if result:
                made[results].append(result)
            if len(made[jobs]) == CHUNK:
                _insert(connection, made)
        _insert(connection, made)
        note_settings(connection, sa.true())


def _insert(connection: sa.Connection, made: dict[sa.Table, list[Any]]) -> None:
    for table, some in made.items():
        if some:
            connection.execute(sa.insert(table), some)
            some.clear()


def _dimensions(database: Database, *, rows: int) -> None:
    now = START.isoformat(timespec="microseconds")
    with database.write() as connection:
        for number, name in enumerate(MODELS, 1):
            row = {"id": number, "fingerprint": f"{number:032x}", "family": "sd"}
            connection.execute(sa.insert(models).values(**row, embeds_guidance=False))
            place = {"id": number, "model_id": number, "digest": f"{number:032x}"}
            place |= {"name": name, "first_at": now, "last_at": now}
            connection.execute(sa.insert(model_places).values(place))
        for number in range(25 * SWEEPS):
            text = f"number {number}: a red {THINGS[number % len(THINGS)]} in the snow"
            row = {"id": number + 1, "digest": f"{number:032x}", "text": text}
            connection.execute(sa.insert(prompts).values(**row, negative=""))
        for number, entry in enumerate(NAMES.values(), 1):
            row = {"id": number, "class_name": entry.class_name, "name": entry.name}
            options = json.dumps(dict(entry.options))
            connection.execute(sa.insert(schedulers).values(**row, options=options))
        for number, gpu in enumerate(("NVIDIA H100", "NVIDIA A100"), 1):
            row = {
                "id": number,
                "digest": f"{number:032x}",
                "gpu": gpu,
                "host": "night",
            }
            connection.execute(sa.insert(environments).values(**row, details="{}"))
        for number in range(SWEEPS):
            row = {"id": number + 1, "name": f"sweep-{number}", "revision": 1}
            row |= {"digest": "0" * 32, "spec": "", "state": "active"}
            row |= {"priority": 5, "created_at": now}
            axes = json.dumps(_axes(number, rows))
            connection.execute(sa.insert(sweeps).values(**row, axes=axes))


def _rows(total: int) -> Iterator[tuple[dict[str, Any], dict[str, Any], Any]]:
    chance = random.Random(1)  # noqa: S311 - a benchmark
    each, job_id = math.ceil(total / SWEEPS), 0
    for sweep in range(SWEEPS):
        for position, cell in enumerate(itertools.islice(_cells(sweep), each)):
            job_id += 1
            yield _row(chance, job_id, sweep, position=position, cell=cell)


def _cells(sweep: int) -> Iterator[tuple[int, int, int, int, float]]:
    """Yield prompt, seed, scheduler, steps and guidance, the last axis fastest."""
    first = (0, 0, 0, 3000, 0, 0, 0, 7000, 0, 0)[sweep]
    names = [(sweep * 3 + number) % len(NAMES) + 1 for number in range(20)]
    steps = [STEPS[(sweep + number) % len(STEPS)] for number in range(5)]
    guidance = (GUIDANCE[sweep % len(GUIDANCE)], GUIDANCE[(sweep + 2) % len(GUIDANCE)])
    texts = range(25 * sweep + 1, 25 * sweep + 26)
    return (
        (prompt, first + seed, name, count, scale)
        for seed in itertools.count()
        for prompt in texts
        for name in names
        for count in steps
        for scale in guidance
    )


def _axes(sweep: int, rows: int) -> dict[str, list[str]]:
    """Return the labels of a sweep on each axis, in the order of its cells."""
    cells = itertools.islice(_cells(sweep), math.ceil(rows / SWEEPS))
    labels: dict[str, dict[str, None]] = {}
    for cell in cells:
        for axis, label in _labels(*cell).items():
            labels.setdefault(axis, {})[label] = None
    return {axis: list(known) for axis, known in labels.items()}


def _labels(
    prompt: int, seed: int, scheduler: int, steps: int, guidance: float
) -> dict[str, str]:
    labels = {"prompt": f"number {prompt}", "seed": str(seed), "steps": str(steps)}
    return labels | {"scheduler": str(scheduler), "guidance": str(guidance)}


def _row(
    chance: random.Random, job_id: int, sweep: int, *, position: int, cell: Any
) -> tuple[dict[str, Any], dict[str, Any], Any]:
    prompt, seed, scheduler, steps, guidance = cell
    model = sweep % len(MODELS) + 1
    is_done = job_id % UNDONE_EVERY != 7
    state = "done" if is_done else ("failed", "pending")[job_id // UNDONE_EVERY % 2]
    total_s = steps * model * 0.02 * chance.lognormvariate(0, 0.2)
    key = hashlib.sha256(str(job_id).encode()).hexdigest()
    at = (START + timedelta(seconds=job_id / 10)).isoformat(timespec="microseconds")
    job = {
        "id": job_id,
        "key": key[:32],
        "sweep_id": sweep + 1,
        "model_id": model,
        "prompt_id": prompt,
        "scheduler_id": scheduler,
        "seed": seed,
        "steps": steps,
        "guidance": guidance,
        "width": 512,
        "height": 512,
        "dtype": "float16",
        "backend": "torch",
        "generator": "cpu",
        "extras": "{}",
        "group_key": f"{model:016x}",
        "position": job_id,
        "evaluations": steps,
        "priority": 5,
        "state": state,
        "attempts": 1,
        "deaths": 0,
        "error": "latents are NaN" if state == "failed" else None,
        "created_at": START.isoformat(timespec="microseconds"),
        "place_id": model,
        "total_s": total_s if is_done else None,
    }
    member = {
        "sweep_id": sweep + 1,
        "job_id": job_id,
        "position": position,
        "cell": json.dumps(_labels(*cell)),
        "revision": 1,
    }
    result = {
        "job_id": job_id,
        "environment_id": 1 + (sweep == 9),
        "worker": "gpu0",
        "path": f"{key[:2]}/{key[2:4]}/{key[:32]}.png",
        "size_bytes": 400_000,
        "pixel_sha256": key,
        "batch_width": 16,
        "slot": job_id % 16,
        "evaluations": steps,
        "queue_s": 1.0,
        "load_s": 0.0,
        "encode_s": 0.01,
        "denoise_s": total_s * 0.9,
        "decode_s": 0.05,
        "save_s": 0.05,
        "warm_up": job_id % 500 == 0,
        "finished_at": at,
    }
    return job, member, result if is_done else None
