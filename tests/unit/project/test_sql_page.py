"""The questions of `docs/sql.md`: each is answered as the page says."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from producer.expansion.expand import expand
from producer.models.cards import describe
from producer.spec.sweepfile import read_spec
from storage.host.environment import Environment
from storage.job import PlannedJob
from storage.jobs.results import Result, Timings, record_done, record_failure
from storage.sql.database import Database
from storage.sql.schema import environments, metrics, scores, speeds
from tests.builders import make_result, submit, take_these

pytestmark = pytest.mark.databases("sqlite", "postgresql")

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "sql.md").read_text()
README = (ROOT / "README.md").read_text()
HERE = Environment(gpu="CPU", host="night3", details={"torch": "2.13.0"})
OWNER = "night3:1:1"
#: Seconds that an image takes, by phase, and for each call of the model: all made up.
ENCODE_S, DECODE_S, SAVE_S, CALL_S = 0.25, 0.125, 0.0625, 0.03125


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def questions() -> Iterator[tuple[str, str, str]]:
    """Title, query and answer of each question."""
    for section in PAGE.split("\n## ")[1:]:
        title, _, rest = section.partition("\n")
        (query,) = re.findall(r"^```sql\n(.*?)^```", rest, re.MULTILINE | re.DOTALL)
        answer = "".join(re.findall(r"^\|.*\n", rest, re.MULTILINE))
        yield title, query, answer


QUESTIONS = list(questions())


@cache
def plan(text: str, folder: Path) -> Sequence[PlannedJob]:
    """The jobs of a sweep of the page."""
    file = folder / "sweep.yaml"
    file.write_text(text)
    return list(expand(read_spec(file), describe).jobs())


def fill(database: Database, folder: Path) -> None:
    """Store the sweeps of the page, and a night that ended before all was made.

    The first two images are a warm-up. Heun fails at 24 steps with the circle, and has
    the square to make. DDIM and DPM++ 2M give the same circle at 4 steps.
    """
    sweeps = [plan(text, folder) for text in blocks("yaml")]
    for name, planned in zip(("first-sweep", "more-steps"), sweeps, strict=True):
        submit(database, planned, name=name)
    every = {one.job.key: one for planned in sweeps for one in planned}
    left = [key for key, one in every.items() if _is_heun_at(24, one)]
    failing = next(key for key in left if "circle" in every[key].job.prompt)
    done = [key for key in every if key not in left]
    taken = take_these(database, [*done, failing], OWNER)
    claims = {one.job.key: one.id for one in taken}
    made = {claims[key]: _result(every[key], number) for number, key in enumerate(done)}
    record_done(database, made, worker="cpu0", environment=HERE)
    record_failure(database, claims[failing], owner=OWNER, error="latents are NaN")
    with database.write() as connection:
        environment = connection.execute(sa.select(environments.c.id)).scalar_one()
        rows = [_speed(one, environment) for one in sweeps[0] if _is_measured(one)]
        connection.execute(sa.insert(speeds), rows)
        _score(connection, [claims[key] for key in done])


def _score(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Judge images: each is worse than the one before."""
    metric = {
        "id": 1,
        "digest": "0" * 32,
        "name": "clip",
        "source": "clip",
        "version": "1",
        "model": "builtin:clip",
        "model_fingerprint": "",
        "reference": "{}",
        "higher_is_better": True,
    }
    connection.execute(sa.insert(metrics).values(metric))
    rows = [
        {
            "job_id": job_id,
            "metric_id": 1,
            "state": "done",
            "attempts": 1,
            "deaths": 0,
            "value": 0.5 - number / 64,
        }
        for number, job_id in enumerate(ids)
    ]
    connection.execute(sa.insert(scores), rows)


def _is_heun_at(steps: int, one: PlannedJob) -> bool:
    return one.scheduler_name == "heun" and one.job.steps == steps


def _is_measured(one: PlannedJob) -> bool:
    return "circle" in one.job.prompt


def _result(one: PlannedJob, number: int) -> Result:
    same = one.job.steps == 4 and one.scheduler_name != "heun"
    shown = "circle" if same and "circle" in one.job.prompt else one.job.key
    timings = Timings(
        queue_s=1.0,
        load_s=2.5 if number == 0 else 0.0,
        encode_s=ENCODE_S if number < 2 else 0.0,
        denoise_s=one.evaluations * CALL_S,
        decode_s=DECODE_S,
        save_s=SAVE_S,
    )
    return make_result(
        path=f"{one.job.key[:2]}/{one.job.key[2:4]}/{one.job.key}.png",
        evaluations=one.evaluations,
        timings=timings,
        engine="slots",
        batch_width=4,
        slot=number % 4,
        warm_up=number < 2,
        pixel_sha256=_hash(shown),
        finished_at=f"2026-01-02T{22 + number // 8}:15:00.000000+00:00",
    )


def _hash(text: str) -> str:
    return (text.encode().hex() * 64)[:64]


def _speed(one: PlannedJob, environment: int) -> dict[str, Any]:
    seconds = one.evaluations * CALL_S * 2
    return {
        "model": one.job.model.name,
        "model_fingerprint": one.job.model.fingerprint,
        "gpu": HERE.gpu,
        "environment_id": environment,
        "dtype": one.job.dtype,
        "width": one.job.width,
        "height": one.job.height,
        "guided": True,
        "guidance": one.job.guidance,
        "scheduler": one.scheduler_name,
        "scheduler_class": one.job.scheduler_class,
        "scheduler_options": "{}",
        "steps": one.job.steps,
        "evaluations": one.evaluations,
        "images": 5,
        "median_s": seconds + (0.0625 if one.scheduler_name == "dpmpp_2m" else 0.0),
        "least_s": seconds,
        "most_s": seconds + 0.125,
        "measured_at": "2026-01-02",
    }


def table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """An answer as the page has it."""
    shown = [[_shown(each) for each in row] for row in rows]
    lines = [names, ["---"] * len(names), *shown]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _shown(value: object) -> str:
    if value is None or isinstance(value, str | int):
        return str("" if value is None else value)
    return f"{float(value):.4g}"  # type: ignore[arg-type]


def test_the_page_numbers_its_questions() -> None:
    numbers = [int(title.partition(".")[0]) for title, _, _ in QUESTIONS]
    assert numbers == list(range(1, len(QUESTIONS) + 1))
    assert len(numbers) >= 10


def ask(database: Database, query: str) -> str:
    with database.read() as connection:
        result = connection.exec_driver_sql(query)
        return table(list(result.keys()), [tuple(row) for row in result])


@pytest.mark.parametrize(
    ("query", "answer"), [each[1:] for each in QUESTIONS], ids=[q[0] for q in QUESTIONS]
)
def test_a_question_is_answered_as_the_page_says(
    query: str, answer: str, database: Database, tmp_path: Path
) -> None:
    fill(database, tmp_path)
    assert ask(database, query) == answer


def test_the_query_of_the_readme_is_answered(
    database: Database, tmp_path: Path
) -> None:
    fill(database, tmp_path)
    (query,) = re.findall(r"^```sql\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    names = ["scheduler", "steps", "images", "evaluations"]
    calls = {"ddim": {4: 4, 12: 12, 24: 24}, "dpmpp_2m": {4: 4, 12: 12}}
    every = {**calls, "heun": {4: 7, 12: 23}}
    rows = [
        (scheduler, steps, 2, count)
        for scheduler, counts in every.items()
        for steps, count in counts.items()
    ]
    assert ask(database, query) == table(names, rows)
