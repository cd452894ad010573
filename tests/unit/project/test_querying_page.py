import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from storage.catalogue.schedulers import resolve
from storage.jobs.results import Result, Timings, record_done, record_failure
from storage.sql.database import Database
from storage.sql.schema import JOB_STATES, speeds
from storage.sql.views import (
    select_image_scores,
    select_images,
    select_sweep_images,
)
from tests.builders import (
    ENVIRONMENT,
    make_planned,
    make_result,
    plan_seeds,
    submit,
    take,
    take_these,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "querying.md").read_text()
README = (ROOT / "README.md").read_text()
QUERIES = [
    query
    for page in (PAGE, README)
    for query in re.findall(r"^```sql\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
]
DDIM = {"scheduler_name": "ddim", "scheduler_names": ("ddim",)}
DPMPP = {
    "scheduler_name": "dpmpp_2m",
    "scheduler_names": ("dpmpp_2m",),
    "scheduler_class": resolve("dpmpp_2m").class_name,
    "scheduler_options": resolve("dpmpp_2m").options,
}


def documented(view: str) -> list[str]:
    section = PAGE.partition(f"## The columns of `{view}`\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)


def test_the_page_names_every_column_of_images_in_its_order() -> None:
    assert documented("images") == select_images().selected_columns.keys()


def test_the_page_names_every_column_of_sweep_images_in_its_order() -> None:
    every = [*documented("images"), *documented("sweep_images")]
    assert every == select_sweep_images().selected_columns.keys()


def test_the_page_names_every_column_of_image_scores_in_its_order() -> None:
    assert documented("image_scores") == select_image_scores().selected_columns.keys()


def test_the_page_names_every_column_of_speeds_in_its_order() -> None:
    assert documented("speeds") == speeds.c.keys()


def test_the_page_gives_every_column_a_meaning_and_a_unit() -> None:
    rows = re.findall(r"^\| `\w+` \|.*$", PAGE, flags=re.MULTILINE)
    assert all(len(re.findall(r"(?<!\\)\| [^|\s]", row)) == 3 for row in rows)


def test_the_page_names_every_state() -> None:
    row = re.findall(r"^\| `state` \|.*$", PAGE, flags=re.MULTILINE)[0]
    assert all(f"`{state}`" in row for state in JOB_STATES)


def test_the_page_has_queries() -> None:
    assert len(QUERIES) >= 5


def test_no_page_averages_shares_of_different_batches() -> None:
    statements = [
        text
        for page in (PAGE, README)
        for text in re.findall(r"SELECT .*?(?=[;\"\n]\n|\"\))", page, re.DOTALL)
    ]
    shares = r"(avg|median|sum)\((denoise_s|total_s)\)"
    averaged = [text for text in statements if re.search(shares, text)]
    assert len(statements) > len(QUERIES)
    assert [text for text in averaged if "batch_width" not in text] == []


def fill(database: Database) -> None:
    """Store a night of two sweeps, the second of which wants one job of the first.

    DDIM made seeds 1 and 2, seed 3 while the model warmed up, failed at 4, and has 5 to
    make. DPM++ 2M made seed 1 in a wider batch, with the same pixels as DDIM.
    """
    ddim = plan_seeds(1, 2, 3, 4, 5, **DDIM)
    other = make_planned(seed=1, position=9, **DPMPP)
    submit(database, [*ddim, other], name="first-sweep")
    submit(database, [ddim[3]], name="again")
    seeds = {claim.id: claim.job.seed for claim in take(database, limit=4)}
    made = {
        job_id: result_of(seed, warm_up=seed == 3)
        for job_id, seed in seeds.items()
        if seed < 4
    }
    record_done(database, made, worker="cpu0", environment=ENVIRONMENT)
    failed = next(job_id for job_id, seed in seeds.items() if seed == 4)
    record_failure(database, failed, owner="host:1:1", error="latents are NaN")
    (last,) = take_these(database, [other.job.key])
    fast = result_of(1, path="dpmpp/1.png", evaluations=21, batch_width=8)
    record_done(database, {last.id: fast}, worker="cpu0", environment=ENVIRONMENT)
    measured = {
        "model": "builtin:shapes",
        "model_fingerprint": "f",
        "gpu": "CPU",
        "environment_id": 1,
        "dtype": "float16",
        "width": 512,
        "height": 512,
        "guided": True,
        "guidance": 7.5,
        "scheduler": "ddim",
        "scheduler_class": "DDIMScheduler",
        "scheduler_options": "{}",
        "steps": 20,
        "evaluations": 20,
        "images": 3,
        "median_s": 0.5,
        "least_s": 0.25,
        "most_s": 0.75,
        "measured_at": "2026-01-02",
    }
    with database.write() as connection:
        connection.execute(sa.insert(speeds).values(measured))


def result_of(seed: int, **changes: Any) -> Result:
    times = {"encode_s": 0.25, "decode_s": 0.125, "save_s": 0.125}
    timings = Timings(queue_s=1.0, denoise_s=0.5 * seed, **times)
    values = {"engine": "slots", "batch_width": 4, "path": f"ddim/{seed}.png"}
    hashed = {"pixel_sha256": str(seed) * 64}
    return make_result(timings=timings, **{**values, **hashed, **changes})


#: Of each query of the pages, in their order: what it says of the night of `fill`.
BATCH = ("CPU", "builtin:shapes", 512, 512, "float16")
FAILED = plan_seeds(4, **DDIM)[0].job.key
ANSWERS: Sequence[Sequence[tuple[object, ...]]] = (
    [
        (*BATCH, "slots", 4, "ddim", 20, 2, 20, 0.75, 1.25),
        (*BATCH, "slots", 8, "dpmpp_2m", 20, 1, 21, 0.5, 1.0),
    ],
    [(*BATCH, True, 20, "ddim", 20, 3, 0.5, 0.25, 0.75)],
    [(*BATCH, "slots", 4, 3), (*BATCH, "slots", 8, 1)],
    [(sweep, "latents are NaN", 1, FAILED) for sweep in ("again", "first-sweep")],
    [
        ("ddim/1.png", "ddim", 20, 7.5, 1, 1.0, "a cat"),
        ("dpmpp/1.png", "dpmpp_2m", 20, 7.5, 1, 1.0, "a cat"),
        ("ddim/2.png", "ddim", 20, 7.5, 2, 1.5, "a cat"),
    ],
    [("ddim", 20, 5, 3, 1), ("dpmpp_2m", 20, 1, 1, 0)],
    [("1" * 64, 2, "ddim", "dpmpp_2m", "ddim/1.png", "dpmpp/1.png")],
    [("a cat", 1, 20, "ddim/1.png", "dpmpp/1.png")],
    [("2026-01-02T03", "night3", "CPU", 4)],
    [("ddim", 20, 3, 20), ("dpmpp_2m", 20, 1, 21)],
)


@pytest.mark.parametrize(("query", "answer"), [*zip(QUERIES, ANSWERS, strict=True)])
def test_every_query_of_the_pages_is_answered(
    query: str, answer: Sequence[tuple[object, ...]], database: Database
) -> None:
    fill(database)
    with database.read() as connection:
        rows = map(tuple, connection.exec_driver_sql(query))
        # In any order: some rows are equal in what a query sorts by.
        assert Counter(rows) == Counter(answer)
