"""Images made again by the process of `nightsweep reproduce`, with the demo model."""

import base64
import io
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from storage.job import Job
from storage.models.model_files import BUILTIN_FOLDERS
from tests.batches import make_job, make_various
from workers.engine.reproduction import Wanted, batches_of, reproduce

NAMES = ("ddim", "euler_a", "heun", "dpmpp_2m_karras", "unipc")
#: Rows of the batches.
WIDTH = 4

pytestmark = pytest.mark.usefixtures("settings")


def strict(job: Job) -> dict[str, Any]:
    return {"job": asdict(replace(job, extras={**job.extras, "strict": True}))}


def as_made(job: Job, *, width: int, slot: int) -> dict[str, Any]:
    how = {"width": width, "slot": slot, "threads": 1, "compiled": False}
    return {"job": asdict(job), **how}


def ask(*images: Any, places: Any = None) -> list[dict[str, Any]]:
    """Have images made again; return the answers in their order."""
    sent: list[Any] = []
    # As it crosses to the process.
    wish = json.dumps({"images": images, "places": places or {}, "device": "cpu"})
    usual = torch.get_num_threads()
    reproduce(json.loads(wish), sent.append)
    torch.set_num_threads(usual)
    assert sent[0].keys() == {"gpu"}
    return sorted(sent[1:], key=lambda answer: answer["image"])


def pixels(answer: dict[str, Any]) -> bytes:
    return Image.open(io.BytesIO(base64.b64decode(answer["png"]))).tobytes()


def test_each_row_of_a_batch_gets_its_own_image_and_gaps_none() -> None:
    jobs = make_various([*NAMES, "lms"])
    rows = [0, 2, 2, 0, 1]
    wanted = [
        Wanted(index=index, job=job, width=3 if index < 4 else 2, slot=slot)
        for index, (job, slot) in enumerate(zip(jobs, rows, strict=False))
    ]
    planned = [[each and each.index for each in batch] for batch in batches_of(wanted)]
    assert planned == [[0, None, 1], [3, None, 2], [None, 4]]


def test_a_model_is_finished_before_the_next() -> None:
    one, other = make_job(), make_job()
    other = replace(other, model=replace(other.model, fingerprint="f" * 32))
    jobs = [one, other, one, other]
    wanted = [Wanted(index=index, job=job) for index, job in enumerate(jobs)]
    planned = [batch[0].index for batch in batches_of(wanted) if batch[0]]
    assert sorted([planned[:2], planned[2:]]) == [[0, 2], [1, 3]]


@pytest.mark.long
def test_an_image_is_made_alone_or_in_its_row() -> None:
    jobs = make_various(NAMES[:3])
    slots = (3, 0, 1)
    both = zip(jobs, slots, strict=True)
    rows = [as_made(job, width=WIDTH, slot=slot) for job, slot in both]
    answers = ask(*rows, strict(jobs[0]))
    where = [(one["engine"], one["batch_width"], one["slot"]) for one in answers]
    assert where == [*(("slots", WIDTH, slot) for slot in slots), ("plain", 1, 0)]
    assert {one["details"]["threads"] for one in answers[:3]} == {"1"}
    # The same rows with other neighbours.
    again = ask(rows[0], rows[2])
    assert [pixels(one) for one in again] == [pixels(answers[0]), pixels(answers[2])]


def test_a_model_that_is_gone_or_changed_fails_its_images_only(tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(BUILTIN_FOLDERS["builtin:shapes"], copy)
    good = make_job(steps=1)
    gone = replace(
        good, model=replace(good.model, fingerprint="1" * 32, name=str(tmp_path / "no"))
    )
    changed = replace(
        good, model=replace(good.model, fingerprint="2" * 32, name=str(copy))
    )
    answers = ask(strict(gone), strict(good), strict(changed), strict(gone))
    failures = [one.get("failure", "") for one in answers]
    no = (
        "a model is a folder with a model_index.json, as `save_pretrained` of diffusers"
    )
    assert failures[0].startswith(no)
    assert failures[3] == failures[0]
    assert failures[1] == ""
    assert "must have the files that were planned" in failures[2]


def test_another_place_of_the_model_serves(tmp_path: Path) -> None:
    job = make_job(steps=1)
    gone = replace(job, model=replace(job.model, name=str(tmp_path / "no")))
    places = {job.model.fingerprint: [asdict(gone.model), asdict(job.model)]}
    moved, usual = ask(strict(gone), strict(job), places=places)
    assert pixels(moved) == pixels(usual)


def test_noise_of_a_gpu_is_not_drawn_on_a_cpu() -> None:
    (answer,) = ask(strict(make_job(generator="cuda")))
    assert answer["failure"].startswith("this worker has no CUDA device")


def test_an_image_of_another_back_end_is_not_made_with_torch() -> None:
    (answer,) = ask(strict(make_job(backend="flax", generator="numpy")))
    assert answer["failure"] == (
        "torch cannot make an image of `backend: flax`; a worker of that back end can"
    )


def test_a_job_that_fails_leaves_the_others() -> None:
    both = {"use_karras_sigmas": True, "use_beta_sigmas": True}
    bad = make_job("euler", scheduler_options=both, steps=2)
    good = make_job("ddim", steps=2)
    answers = ask(
        as_made(bad, width=2, slot=0), as_made(good, width=2, slot=1), strict(bad)
    )
    assert "Only one of" in answers[0]["failure"]
    assert "png" in answers[1]
    assert "Only one of" in answers[2]["failure"]
