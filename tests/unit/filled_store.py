"""A real database and real image files, as a sweep leaves them; no torch, no Redis."""

import hashlib
import io
import itertools
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageColor, ImageDraw

from storage.catalogue.schedulers import resolve, short_name
from storage.files.images import ImageFolder, relative_path
from storage.job import Job, Model, PlannedJob
from storage.jobs.membership import add_jobs
from storage.jobs.results import (
    Environment,
    Result,
    Timings,
    record_done,
    record_failure,
)
from storage.jobs.sweeps import Sweep, save_sweep
from storage.settings import Settings, read_settings
from storage.sql.database import open_database
from tests.builders import take_these
from tests.databases import open_new

PROMPTS = ("a red circle on a blue background", "a green star on a pink background")
#: Axis names to values; a scheduler by any name of the catalogue.
AXES: Mapping[str, Sequence[Any]] = {
    "prompt": PROMPTS,
    "scheduler": ("ddim", "dpmpp_2m_karras"),
    "steps": (2, 20),
}
ENVIRONMENT = Environment(gpu="CPU", host="night3", details={"torch": "2.13.0"})
MODEL = Model(fingerprint="5ba9e5" * 5 + "00", name="builtin:shapes")


def make_settings(folder: Path) -> Settings:
    """Settings with all files in `folder`."""
    settings = read_settings({**os.environ, "NIGHTSWEEP_HOME": str(folder)})
    settings.make_home()
    return settings


def make_job(**changes: Any) -> Job:
    """A job of the demo model's size; `scheduler` is a name of the catalogue."""
    asked = resolve(changes.pop("scheduler", "ddim"))
    values: dict[str, Any] = {
        "model": MODEL,
        "dtype": "float32",
        "width": 64,
        "height": 64,
        "prompt": PROMPTS[0],
        "scheduler_class": asked.class_name,
        "scheduler_options": asked.options,
        "steps": 20,
        "guidance": 2.5,
    }
    return Job(**{**values, **changes})


def plan(axes: Mapping[str, Sequence[Any]], **base: Any) -> list[PlannedJob]:
    """Every combination of the axes' values, as a planner gives them."""
    planned = []
    for position, values in enumerate(itertools.product(*axes.values())):
        chosen = dict(zip(axes, values, strict=True))
        job = make_job(**{**base, **chosen})
        planned.append(
            PlannedJob(
                job=job,
                position=position,
                evaluations=job.steps,
                scheduler_name=short_name(
                    job.scheduler_class,
                    job.scheduler_options,
                    job.extras,
                    config={},
                ),
                cell={name: str(value) for name, value in chosen.items()},
            )
        )
    return planned


def submit(
    settings: Settings, name: str, planned: Sequence[PlannedJob], **axes: Sequence[str]
) -> Sweep:
    """Store a sweep; where no axes are given, they are those of the cells."""
    labels: dict[str, dict[str, None]] = {}
    for one in planned:
        for axis, label in one.cell.items():
            labels.setdefault(axis, {})[label] = None
    known = axes or {
        axis: list(found) for axis, found in labels.items() if "." not in axis
    }
    database = open_new(settings.database_url)
    sweep = save_sweep(database, name, spec=repr((known, len(planned))), axes=known)
    add_jobs(database, sweep, planned)
    database.close()
    return sweep


def paint(job: Job) -> Image.Image:
    """A picture that tells its job: the prompt's colours, a ring for each step."""
    colours = [word for word in job.prompt.split() if word in ImageColor.colormap]
    picture = Image.new("RGB", (job.width, job.height), colours[-1])
    pen = ImageDraw.Draw(picture)
    rings = min(job.steps, 8)
    digest = hashlib.sha256(job.scheduler_class.encode()).digest()
    shift = digest[0] % 9 - 4 + job.seed % 3
    for ring in range(rings):
        inset = job.width * (ring + 2) // (2 * rings + 8)
        box = (inset + shift, inset, job.width - inset + shift, job.height - inset)
        pen.ellipse(box, outline=colours[0], width=max(job.width // 32, 1))
    return picture


def finish(
    settings: Settings,
    planned: Sequence[PlannedJob],
    *,
    fail: Collection[str] = (),
    paint: Callable[[Job], Image.Image] = paint,
) -> None:
    """Claim the jobs and make their images; those whose key is in `fail` fail."""
    database = open_database(settings.database_url)
    keys = [one.job.key for one in planned]
    claims = take_these(database, keys, "w:1:1")
    folder, done = ImageFolder(settings.images), {}
    for each in claims:
        if each.job.key in fail:
            record_failure(database, each.id, owner="w:1:1", error="latents are NaN")
        else:
            done[each.id] = _save(folder, each.job, paint(each.job))
    record_done(database, done, worker="cpu0", environment=ENVIRONMENT)
    database.close()


def filled(folder: Path) -> tuple[Settings, list[PlannedJob]]:
    """A store with the sweep `shapes` of 8 images: 6 made, one failed, one pending."""
    settings = make_settings(folder)
    planned = plan(AXES)
    submit(settings, "shapes", planned)
    finish(settings, planned[:7], fail={planned[6].job.key})
    return settings, planned


def _save(folder: ImageFolder, job: Job, picture: Image.Image) -> Result:
    out = io.BytesIO()
    picture.save(out, "PNG")
    folder.save(job.key, out.getvalue())
    return Result(
        path=relative_path(job.key),
        size_bytes=len(out.getvalue()),
        evaluations=job.steps,
        pixel_sha256=hashlib.sha256(picture.tobytes()).hexdigest(),
        timings=Timings(
            queue_s=1.5, encode_s=0.25, denoise_s=0.5, decode_s=0.125, save_s=0.125
        ),
        finished_at="2026-01-02T03:04:05.678901+00:00",
    )
