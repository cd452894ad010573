"""However a page is found, it has the rows that a look at every row finds."""

import itertools
from dataclasses import replace

import pytest
import sqlalchemy as sa

from storage.queries import answers
from storage.queries.answers import Wanted, count, find, read_wanted
from storage.sql.database import open_database
from storage.sql.schema import job_settings, jobs, results
from tests.unit.filled_store import MODEL, PROMPTS, finish, make_settings, plan, submit

pytestmark = pytest.mark.databases("sqlite", "postgresql")

OTHER = replace(MODEL, name="other", fingerprint="ab" * 16)
TERMS = (
    "sweep:first",
    "sweep:second",
    "model:other",
    "scheduler:ddim",
    "scheduler:heun,ddim",
    "steps:8",
    "steps:..8",
    "guidance:5..",
    "seed:3",
    "seed:2..4",
    "state:failed",
    "state:pending,failed",
    "state:done",
    "-state:done",
    "time:..3",
    "!time:..3",
    "after:2026-01-01",
    "circle",
)
SORTS = ("time", "-time,steps", "scheduler,-seed", "-key")
MIXES = [
    *TERMS,
    *(" ".join(pair) for pair in [*itertools.combinations(TERMS, 2)][::8]),
    "sweep:second steps:8 seed:3 time:..3",
    "model:other scheduler:ddim steps:8 guidance:5 seed:3",
    "",
]


@pytest.fixture
def database(tmp_path, database_url):
    settings = make_settings(tmp_path)
    axes = {"seed": range(6), "scheduler": ("ddim", "heun"), "steps": (4, 8)}
    first = plan(axes)
    second = plan({**axes, "guidance": (2.5, 5.0)}, model=OTHER, prompt=PROMPTS[1])
    submit(settings, "first", first)
    submit(settings, "second", [*first[:3], *second])
    finish(settings, first[:20], fail={first[4].job.key, first[9].job.key})
    finish(settings, second[5:40], fail={second[20].job.key})
    opened = open_database(settings.database_url)
    with opened.write() as connection:
        for job_id in connection.execute(sa.select(results.c.job_id)).scalars().all():
            this = sa.update(jobs).where(jobs.c.id == job_id)
            connection.execute(this.values(total_s=job_id % 7))
    yield opened
    opened.close()


def keys(database, query, wanted=None):
    return [row["key"] for row in find(database, query, wanted)]


def next_page(sort, after):
    return read_wanted(sort=sort, limit=4, after=after)


@pytest.mark.long
def test_every_way_to_a_page_finds_the_same_rows(database, monkeypatch):
    every = {mix: keys(database, mix) for mix in MIXES}
    assert len({len(found) for found in every.values()}) > 10
    monkeypatch.setattr("storage.queries.zones.GAP", 0)
    for window, spared in ((1, 1000), (1, 4), (2, 0.001)):
        monkeypatch.setattr("storage.queries.paths.WINDOW", window)
        monkeypatch.setattr("storage.queries.paths.SPARED", spared)
        for mix, expected in every.items():
            told = (window, spared, mix)
            assert keys(database, mix, Wanted(limit=100)) == expected, told
            assert count(database, mix) == len(expected), told
            if len(expected) > 3:
                wanted = Wanted(limit=2, after=expected[1])
                assert keys(database, mix, wanted) == expected[2:4], told


def test_a_sorted_answer_is_the_same_in_pages_of_any_size(database, monkeypatch):
    usual = answers.PAGE_ROWS
    for query, sort in itertools.product(("sweep:second", "!time:..3"), SORTS):
        monkeypatch.setattr(answers, "PAGE_ROWS", usual)
        every = keys(database, query, read_wanted(sort=sort))
        assert sorted(every) == sorted(keys(database, query)), (query, sort)
        monkeypatch.setattr(answers, "PAGE_ROWS", 3)
        assert keys(database, query, read_wanted(sort=sort)) == every, (query, sort)

        paged, after = [], ""
        while page := keys(database, query, next_page(sort, after)):
            paged += page
            after = page[-1]
        assert paged == every, (query, sort)


def test_images_without_a_value_come_last_whichever_way_they_are_sorted(database):
    for sort in ("time", "-time"):
        rows = find(database, "", read_wanted(sort=sort, columns="time"))
        times = [row["time"] for row in rows]
        made = [time for time in times if time is not None]
        assert made == sorted(made, reverse=sort == "-time")
        assert times == made + [None] * (len(times) - len(made))


def test_a_job_without_an_image_took_no_time(database):
    for mix in ("state:pending time:..9", "state:failed,pending gpu:*", "time:9.."):
        assert keys(database, mix) == []
        assert count(database, mix) == 0
    assert keys(database, "state:pending -time:..9") == keys(database, "state:pending")


def test_rows_that_are_far_apart_in_a_large_sweep_are_found(database, monkeypatch):
    monkeypatch.setattr("storage.queries.paths.WINDOW", 1)
    monkeypatch.setattr("storage.queries.paths.SPARED", 1000)
    one, *_, other = keys(database, "seed:5 steps:8")
    assert keys(database, "seed:5 steps:8", Wanted(limit=1)) == [one]
    assert keys(database, "seed:5 steps:8", Wanted(after=one))[-1] == other


def test_the_settings_of_all_jobs_are_noted_with_their_first_and_last(database):
    columns = [jobs.c[name] for name in job_settings.c.keys()[:-2]]
    ends = (sa.func.min(jobs.c.id), sa.func.max(jobs.c.id))
    with database.read() as connection:
        noted = connection.execute(sa.select(job_settings)).all()
        known = connection.execute(sa.select(*columns, *ends).group_by(*columns)).all()
    assert sorted(noted) == sorted(known)
    assert len(noted) == 12
