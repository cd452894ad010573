"""A store with something of everything, to be copied and shared."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa
from click.testing import CliRunner, Result
from PIL import Image

from producer.cli import cli
from storage.files.folders import take_folder
from storage.files.inputs import InputFolder
from storage.files.removals import remove_files
from storage.fleet.registry import Entry, note
from storage.job import Model
from storage.jobs import blocked_groups
from storage.jobs.companions import companion_of
from storage.jobs.eviction import evict
from storage.jobs.membership import add_jobs
from storage.jobs.sweeps import find_sweep
from storage.ratings.rating import rate
from storage.ratings.voting import vote
from storage.scores import asking, score_claims
from storage.scores.identities import ResolvedMetric, find_metric
from storage.scores.score_claims import Outcome
from storage.settings import Settings, read_settings
from storage.sql.database import Database
from storage.sql.schema import (
    budgets,
    compilations,
    jobs,
    removals,
    speeds,
    widths,
    workers,
)
from storage.store import Store
from tests.databases import open_new
from tests.unit.filled_store import finish, make_settings, plan, submit

LORA = Model(fingerprint="10a" * 10 + "00", name="/weights/ink.safetensors")
#: A distance to the image of 50 steps, and a score of the image alone.
RMSE = ResolvedMetric(
    name="rmse",
    source="rmse",
    version="1",
    reference={"steps": 50},
    higher_is_better=False,
)
CLIP = ResolvedMetric(
    name="clip",
    source="clip",
    version="1",
    model="openai/clip-vit-base-patch32",
    model_fingerprint="c" * 32,
    higher_is_better=True,
)
OWN = ResolvedMetric(
    name="mine", source="/home/ann/mine.py:Mine", version="3", higher_is_better=True
)


def fill(folder: Path) -> Settings:
    """Fill a home: the sweep `shapes` of 12 images, one of each kind, and `other`.

    Nine of `shapes` are made, one of these has a LoRA and one an input image; one is
    evicted, one has failed and one is pending. Two are in `other`, too. One image is
    compared with a reference of 50 steps. There are scores, ratings and a vote.
    """
    settings = make_settings(folder)
    database = open_new(settings.database_url)
    digest = InputFolder(settings.images).save(Image.new("RGB", (8, 8), "teal"))
    axes = {"seed": range(5), "scheduler": ("ddim", "dpmpp_2m_karras")}
    more = {"loras": [[LORA.fingerprint, 0.5]]}
    drawn = {"image": digest, "strength": 0.5, "resize": "stretch"}
    planned = [
        *plan(axes, steps=4),
        *plan({"seed": [7]}, extras=more, parts=(LORA,)),
        *plan({"seed": [8]}, extras=drawn),
    ]
    planned = [
        replace(one, template="a {red|green} shape", scheduler_names=("ddim", "own"))
        for one in planned
    ]
    submit(settings, "shapes", planned, seed=["0"], scheduler=["ddim"])
    finish(settings, planned[:11], fail={planned[9].job.key})
    submit(settings, "other", [*planned[:2], *plan({"seed": [90]})])
    _compare(settings, database, planned[0].job.key)
    keys = [one.job.key for one in planned]
    _score(database, CLIP, keys[:3])
    _score(database, OWN, keys[:1])
    rate(database, keys[:2], who="ann", stars=4)
    rate(database, keys[1:2], who="bo", verdict="rejected")
    vote(database, keys[0], keys[1], winner="b", by="scheduler", who="ann")
    folder = take_folder(database, settings.images)
    (gone,) = ids_of(database, keys[8:9])
    sum(evict(database, [gone], folder_id=folder.id, still=sa.true()))
    sum(remove_files(database, folder.path, folder_id=folder.id))
    database.close()
    return settings


def fill_the_rest(database: Database) -> None:
    """Add rows of the tables that only this machine cares for."""
    where = {"host": "w", "worker": "cpu0"}
    blocked_groups.block(database, "0123456789abcdef", **where, reason="no such folder")
    at = "2026-01-02T03:04:05.678901+00:00"
    begun = {"phase": "idle", "started_at": at, "phase_at": at}
    note(database, Entry(owner="w:1:1", name="cpu0", host="w", gpu="CPU", **begun))
    kind = {"model_fingerprint": "5" * 32, "dtype": "float16", "width": 8, "height": 8}
    of = {**kind, "guided": True, "gpu": "CPU"}
    named = {"scheduler": "ddim", "scheduler_class": "DDIM", "scheduler_options": "{}"}
    took = {"median_s": 0.1, "least_s": 1 / 3, "most_s": 2e-7, "measured_at": at}
    counts = {"guidance": 2.5, "steps": 4, "evaluations": 8, "images": 3}
    speed = {**of, **named, **took, **counts, "model": "a", "environment_id": 1}
    decided = {"model_fingerprint": "5" * 32, "gpu": "CPU", "decided_at": at}
    decided |= {"compiled": False, "reason": "few", "sweep_id": 1, "revision": 1}
    with database.write() as connection:
        add = connection.execute
        width = {**of, "batch_width": 4, "reason": "memory", "noted_at": at}
        add(sa.insert(widths).values(width))
        add(sa.insert(compilations).values(group_key="g" * 16, cost_s=None, **decided))
        add(sa.insert(speeds).values(speed))
        add(sa.update(workers).values(seen_at=at))
        add(sa.insert(removals).values(job_id=1, folder_id=1))
        limits = {"gpu_s": 1 / 3, "until": 2e9 + 1 / 7, "images": 30, "reached": None}
        add(sa.insert(budgets).values(sweep_id=1, used_s=0.1, made=3, **limits))


def _compare(settings: Settings, database: Database, key: str) -> None:
    """Score an image by its distance to a reference of 50 steps, which is made."""
    shapes = find_sweep(database, "shapes")
    assert shapes is not None
    reference = plan({"seed": [0]}, scheduler="ddim", steps=50)
    add_jobs(database, companion_of(database, shapes), reference)
    finish(settings, reference)
    _score(database, RMSE, [key], reference[0].job.key)


def _score(
    database: Database,
    metric: ResolvedMetric,
    keys: Sequence[str],
    reference: str | None = None,
) -> None:
    ids = ids_of(database, keys)
    other = ids_of(database, [reference])[0] if reference else None
    asking.ask(database, metric, dict.fromkeys(ids, other))
    found = find_metric(database, metric.digest)
    assert found is not None
    claimed = score_claims.claim(
        database, found[0], owner="w:1:1", lease_s=90.0, limit=len(ids), folder_id=None
    )
    done = [(each, Outcome(value=each.job_id / 7)) for each in claimed]
    assert score_claims.record(database, found[0], done, owner="w:1:1") == len(ids)


def ids_of(database: Database, keys: Sequence[str]) -> list[int]:
    """Return the rows of some jobs."""
    with database.read() as connection:
        query = sa.select(jobs.c.id).where(jobs.c.key.in_(keys))
        return list(connection.execute(query).scalars())


def give(home: Path, *words: object) -> Result:
    """Run a command in a home."""
    env = {"NIGHTSWEEP_HOME": str(home), "NIGHTSWEEP_IMAGES": None}
    return CliRunner().invoke(cli, [str(word) for word in words], env=env)


def done(home: Path, *words: object) -> str:
    """Run a command that must do well; return what it said, on one line."""
    said = give(home, *words)
    assert said.exit_code == 0, said.output
    return " ".join(said.output.split())


def refused(home: Path, *words: object) -> str:
    """Run a command that must be refused; return what it said, on one line."""
    said = give(home, *words)
    assert said.exit_code == 2, said.output
    return " ".join(said.output.split())


def store(home: Path) -> Store:
    return Store(read_settings({**os.environ, "NIGHTSWEEP_HOME": str(home)}))
