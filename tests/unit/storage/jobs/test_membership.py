"""Membership: overlapping sweeps share their jobs, and each job knows who wants it."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from producer.expansion.expand import read_jobs
from producer.models.cards import describe
from storage.job import PlannedJob
from storage.jobs import sweeps
from storage.jobs.membership import MEMBER_ROWS, add_jobs, drop_absent, find_known
from storage.jobs.results import record_done, record_failure
from storage.jobs.sweep_counts import count_states
from storage.jobs.sweeps import BEHIND, Sweep, save_sweep
from storage.sql.database import Database
from storage.sql.model_places import DatabasePlaces
from storage.sql.rows import job_columns, job_from_row
from storage.sql.schema import jobs, models, prompts, schedulers, sweep_jobs
from storage.sql.schema import sweeps as sweeps_table
from tests.builders import (
    ENVIRONMENT,
    SHAPES,
    job_rows,
    make_job,
    make_planned,
    make_result,
    plan_seeds,
    states,
    submit,
    take,
    take_these,
)
from tests.unit.storage.test_job import GOLDEN
from tests.unit.tiny_folders import make_folder, write

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def finish(database: Database, *wanted: int) -> None:
    keys = [make_job(seed=seed).key for seed in wanted]
    done = {one.id: make_result() for one in take_these(database, keys)}
    assert len(done) == len(wanted)
    record_done(database, done, worker="cpu0", environment=ENVIRONMENT)


def members(database: Database, sweep: Sweep) -> list[int]:
    query = sa.text("SELECT seed FROM sweep_images WHERE sweep = :name ORDER BY seed")
    with database.read() as connection:
        return list(connection.execute(query, {"name": sweep.name}).scalars())


def priorities(database: Database) -> dict[int, int | None]:
    return {row.seed: row.priority for row in job_rows(database)}


def templates_of(database: Database) -> dict[str, list[str | None]]:
    """Give the templates that each sweep shows, and the view of all images."""
    shown: dict[str, list[str | None]] = {"images": []}
    with database.read() as connection:
        for view in ("images", "sweep_images"):
            query = sa.text(f"SELECT sweep, prompt_template FROM {view} ORDER BY seed")  # noqa: S608
            for row in connection.execute(query):
                name = view if view == "images" else row.sweep
                shown.setdefault(name, []).append(row.prompt_template)
    return shown


@pytest.mark.parametrize(("changes", "key"), GOLDEN)
def test_a_golden_job_is_built_from_its_row_with_the_same_key(
    database: Database, changes: dict[str, Any], key: str
) -> None:
    planned = make_planned(**changes)
    submit(database, [planned])
    with database.read() as connection:
        row = connection.execute(job_columns()).one()
    assert job_from_row(row) == planned.job
    assert job_from_row(row).key == row.key == key


def test_no_statement_for_many_rows_returns_any(database: Database) -> None:
    # Since Python 3.12, sqlite3 refuses that.
    seen: list[str] = []

    def note(*told: Any) -> None:
        _connection, _cursor, statement, _values, _context, is_many = told
        if is_many:
            seen.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", note)
    submit(database, plan_seeds(1, 2, 3))
    assert {text.split("(")[0].strip() for text in seen} >= {
        "INSERT INTO jobs",
        "INSERT INTO sweep_jobs",
    }
    assert [text for text in seen if "RETURNING" in text] == []


def test_all_golden_jobs_live_side_by_side(database: Database) -> None:
    submit(database, [make_planned(**changes) for changes, _ in GOLDEN])
    with database.read() as connection:
        found = [job_from_row(row).key for row in connection.execute(job_columns())]
    assert sorted(found) == sorted(key for _, key in GOLDEN)


def test_a_model_is_built_from_its_row_in_full(database: Database) -> None:
    model = replace(
        SHAPES,
        name="org/name",
        revision="main",
        variant="fp16",
        commit="c" * 40,
        family="flux",
        pipeline="FluxPipeline",
        embeds_guidance=True,
    )
    submit(database, [make_planned(model=model)])
    assert take(database, group=make_job(model=model).group)[0].job.model == model


def test_the_pipeline_of_an_older_model_is_noted_at_its_next_submission(
    database: Database,
) -> None:
    submit(database, plan_seeds(1), name="before")
    known = replace(SHAPES, pipeline="StableDiffusionPipeline")
    submit(database, plan_seeds(1, model=known), name="after")
    with database.read() as connection:
        rows = connection.execute(sa.select(models.c.pipeline)).scalars().all()
    assert rows == ["StableDiffusionPipeline"]


def test_adding_jobs_again_changes_nothing(database: Database) -> None:
    planned = plan_seeds(1, 2)
    sweep = submit(database, planned)
    before = job_rows(database)
    added = add_jobs(database, sweep, planned)
    assert job_rows(database) == before
    assert members(database, sweep) == [1, 2]
    assert (len(added.fresh), added.existing) == (0, {"pending": 2})


def test_sweeps_that_overlap_share_their_jobs(database: Database) -> None:
    one = submit(database, plan_seeds(1, 2), name="one")
    other = save_sweep(database, "other", spec="two", axes={})
    added = add_jobs(database, other, plan_seeds(2, 3))
    assert (len(added.fresh), added.existing) == (1, {"pending": 1})
    assert states(database) == {1: "pending", 2: "pending", 3: "pending"}
    assert members(database, one) == [1, 2]
    assert members(database, other) == [2, 3]


def test_what_repeats_is_stored_once(database: Database) -> None:
    submit(database, plan_seeds(1, 2, 3), name="one")
    submit(database, plan_seeds(3, 4, prompt="a dog"), name="other")
    with database.read() as connection:
        counts = [
            connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()
            for table in (models, schedulers, prompts)
        ]
    assert counts == [1, 1, 2]


def test_every_state_of_a_known_job_is_counted(database: Database) -> None:
    planned = plan_seeds(1, 2, 3, 4)
    sweep = submit(database, planned)
    finish(database, 1)
    one, *_ = take(database, limit=2)
    record_failure(database, one.id, owner="host:1:1", error="latents are NaN")
    added = add_jobs(database, sweep, [*planned, *plan_seeds(5)])
    assert len(added.fresh) == 1
    assert added.existing == {"done": 1, "failed": 1, "leased": 1, "pending": 1}


def test_the_first_sweep_that_asked_is_shown(database: Database) -> None:
    submit(database, plan_seeds(1), name="first")
    submit(database, plan_seeds(1, 2), name="second")
    with database.read() as connection:
        query = sa.text("SELECT seed, sweep FROM images ORDER BY seed")
        assert connection.execute(query).all() == [(1, "first"), (2, "second")]


def test_what_varied_is_kept_in_order_of_display(database: Database) -> None:
    cell = {"steps": "20", "prompt": "ein Kätzchen"}
    submit(database, [make_planned(cell=cell, scheduler_label="mine", position=7)])
    query = sa.text("SELECT cell, scheduler_label, position FROM sweep_images")
    with database.read() as connection:
        row = connection.execute(query).one()
    assert row == ('{"steps": "20", "prompt": "ein Kätzchen"}', "mine", 7)


def test_the_sweeps_own_name_for_a_scheduler_may_change(database: Database) -> None:
    submit(database, [make_planned(scheduler_label="old")])
    submit(database, [make_planned(scheduler_label="new")], spec="two")
    with database.read() as connection:
        found = connection.execute(sa.select(sweep_jobs.c.scheduler_label)).scalars()
        assert list(found) == ["new"]


@pytest.mark.parametrize(
    "moved",
    [
        {"name": "/models/copy", "revision": None, "commit": None},
        {"name": "org/name", "revision": "main", "commit": "d" * 40},
        {"name": "org/copy", "revision": "v2", "variant": "fp16", "commit": "d" * 40},
    ],
)
def test_a_model_in_another_place_makes_nothing_again_and_is_found_in_both(
    database: Database, moved: dict[str, Any]
) -> None:
    model = replace(SHAPES, name="org/name", revision="main", commit="c" * 40)
    submit(database, plan_seeds(1, 2, model=model))
    copy = replace(model, **moved)
    sweep = save_sweep(database, "other", spec="two", axes={})
    added = add_jobs(database, sweep, plan_seeds(2, 3, model=copy))
    assert (len(added.fresh), added.existing) == (1, {"pending": 1})
    claimed = {claim.job.seed: claim.job.model for claim in take(database)}
    assert claimed == {1: model, 2: model, 3: copy}
    places = DatabasePlaces(database)
    assert places.of(model) == places.of(copy) == [copy, model]
    submit(database, plan_seeds(1, model=model))
    assert places.of(copy) == [model, copy]


def plan_model(folder: Path) -> list[PlannedJob]:
    """Plan two jobs of the model in a folder."""
    spec = folder.with_suffix(".yaml")
    spec.write_text(
        f"name: s\nbase: {{model: {folder}, prompt: a}}\naxes: {{seed: [1, 2]}}\n"
    )
    return list(read_jobs(spec, describe).jobs())


def make_first(database: Database, planned: Sequence[PlannedJob]) -> None:
    """Store jobs, and an image of the first."""
    submit(database, planned, name="s")
    claim = take_these(database, [planned[0].job.key])[0]
    made = {claim.id: make_result()}
    record_done(database, made, worker="cpu0", environment=ENVIRONMENT)


def test_images_of_a_models_former_fingerprint_are_not_made_again(
    database: Database, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "one")
    first, second = old = plan_model(folder)
    make_first(database, old)
    # As if an earlier version had not known that this is read.
    write(folder, "tokenizer/chat_template.jinja", "{{ messages }}")
    copy = tmp_path / "two"
    shutil.copytree(folder, copy)
    for place in (folder, copy):
        planned = plan_model(place)
        keys = {one.job.key for one in planned}
        assert keys.isdisjoint({first.job.key, second.job.key})
        sweep = save_sweep(database, "s", spec=str(place), axes={})
        added = add_jobs(database, sweep, planned)
        assert (added.fresh, added.existing) == ([], {"done": 1, "pending": 1})
        assert drop_absent(database, sweep) == 0
    # The pending one can be made from both places.
    names = [place.name for place in DatabasePlaces(database).of(second.job.model)]
    assert names == [str(copy), str(folder)]


def test_images_of_another_model_with_the_same_former_fingerprint_are_not_taken(
    database: Database, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "one")
    old = plan_model(folder)
    other = shutil.copytree(folder, tmp_path / "two")
    make_first(database, old)
    write(folder, "tokenizer/chat_template.jinja", "{{ messages }}")
    write(other, "tokenizer/chat_template.jinja", "{{ others }}")
    for _ in range(2):
        planned = plan_model(other)
        assert set(planned[0].former_keys) == {old[0].job.key}
        sweep = save_sweep(database, "other", spec="one", axes={})
        added = add_jobs(database, sweep, planned)
        assert set(added.existing) <= {"pending"}
        assert members(database, sweep) == [1, 2]
    assert len(job_rows(database)) == 4
    places = DatabasePlaces(database)
    assert [place.name for place in places.of(old[0].job.model)] == [str(folder)]
    assert [place.name for place in places.of(planned[0].job.model)] == [str(other)]
    # The other way round, nothing is made again.
    again = add_jobs(
        database, save_sweep(database, "s", spec="new", axes={}), plan_model(folder)
    )
    assert (again.fresh, again.existing) == ([], {"done": 1, "pending": 1})


@pytest.mark.parametrize(
    ("moved", "is_taken"),
    [
        ({}, True),
        ({"commit": "d" * 40}, True),
        ({"revision": "c" * 40}, True),
        ({"revision": "v2", "commit": "d" * 40}, False),
        ({"name": "org/other"}, False),
        ({"variant": "fp16"}, False),
    ],
)
def test_images_of_a_former_fingerprint_are_known_by_their_version_of_the_hub(
    database: Database, moved: dict[str, Any], *, is_taken: bool
) -> None:
    model = replace(SHAPES, name="org/name", revision="main", commit="c" * 40)
    old = plan_seeds(1, 2, model=model)
    make_first(database, old)
    former = (model.fingerprint,)
    now = replace(model, fingerprint="f" * 32, former_fingerprints=former, **moved)
    planned = [
        replace(one, former_keys=one.job.former_keys)
        for one in plan_seeds(1, 2, model=now)
    ]
    with database.read() as connection:
        known = find_known(connection, planned)
    taken = [row.key for row in known.values()]
    assert taken == ([one.job.key for one in old] if is_taken else [])


def test_an_image_is_shown_with_the_place_that_it_was_made_from(
    database: Database,
) -> None:
    model = replace(SHAPES, name="/models/one")
    copy = replace(SHAPES, name="org/copy", commit="c" * 40)
    submit(database, plan_seeds(1, 2, model=model))
    submit(database, plan_seeds(1, model=copy), name="other")
    claim = take(database, limit=1)[0]
    made = {claim.id: make_result(place=copy)}
    record_done(database, made, worker="cpu0", environment=ENVIRONMENT)
    submit(database, plan_seeds(1, 2, model=model), name="third")
    query = "SELECT DISTINCT seed, model, model_revision FROM {} ORDER BY seed"
    with database.read() as connection:
        for view in ("images", "sweep_images"):
            rows = connection.exec_driver_sql(query.format(view)).all()
            assert rows == [(1, "org/copy", "c" * 40), (2, "/models/one", None)]


@pytest.mark.parametrize(
    ("label", "name"),
    [("plms", "plms"), ("mine", "pndm"), ("ddim", "pndm"), (None, "pndm")],
)
def test_a_claim_has_the_scheduler_name_that_the_first_sweep_asked_for(
    database: Database, label: str | None, name: str
) -> None:
    changes = {"scheduler_name": "pndm", "scheduler_names": ("pndm", "plms")}
    submit(database, [make_planned(scheduler_label=label, **changes)])
    submit(database, [make_planned(scheduler_label="plms", **changes)], name="later")
    assert [claim.scheduler for claim in take(database)] == [name]


def test_what_a_newer_version_reads_from_the_same_files_is_noted(
    database: Database,
) -> None:
    submit(database, plan_seeds(1, model=replace(SHAPES, family="other")))
    submit(database, plan_seeds(1, model=replace(SHAPES, family="flux")))
    assert [claim.job.model.family for claim in take(database)] == ["flux"]


def test_a_slower_producer_of_an_older_revision_takes_nothing_back(
    database: Database,
) -> None:
    older = submit(database, plan_seeds(1, 2))
    newer = submit(database, plan_seeds(1, 2, 3), spec="two")
    add_jobs(database, older, plan_seeds(1, 2))
    assert drop_absent(database, newer) == 0
    assert members(database, newer) == [1, 2, 3]


def test_other_prompts_or_weights_under_the_same_text_are_a_new_revision(
    database: Database,
) -> None:
    values: dict[str, Any] = {"spec": "one", "axes": {"prompt": ["a"]}}
    assert sweeps.save_sweep(database, "night", **values).revision == 1
    assert sweeps.save_sweep(database, "night", **values).revision == 1
    values["axes"] = {"prompt": ["a", "b"]}
    assert sweeps.save_sweep(database, "night", **values).revision == 2
    values["meanings"] = ["f" * 32]
    assert sweeps.save_sweep(database, "night", **values).revision == 3


def test_a_job_is_as_urgent_as_the_most_urgent_of_its_sweeps(
    database: Database,
) -> None:
    submit(database, plan_seeds(1, 2), name="one", priority=5)
    submit(database, plan_seeds(2, 3), name="other", priority=2)
    submit(database, plan_seeds(3, 4), name="third", priority=8)
    assert priorities(database) == {1: 5, 2: 2, 3: 2, 4: 8}


def test_a_sweep_may_become_less_urgent(database: Database) -> None:
    submit(database, plan_seeds(1, 2), name="one", priority=2)
    submit(database, plan_seeds(2), name="other", priority=4)
    submit(database, plan_seeds(1, 2), name="one", priority=7)
    assert priorities(database) == {1: 7, 2: 4}


def test_a_cancelled_sweep_wants_nothing(database: Database) -> None:
    submit(database, plan_seeds(1, 2), name="one", priority=2)
    with database.write() as connection:
        connection.execute(sa.update(sweeps_table).values(state="cancelled"))
    submit(database, plan_seeds(2), name="other", priority=7)
    assert priorities(database)[2] == 7


def test_a_changed_spec_lets_its_unmade_jobs_go_and_keeps_images(
    database: Database,
) -> None:
    submit(database, plan_seeds(1, 2, 3))
    finish(database, 1)
    sweep = submit(database, plan_seeds(3, 4), spec="two")
    assert drop_absent(database, sweep) == 1
    assert members(database, sweep) == [1, 3, 4]
    assert states(database)[2] == "pending"
    assert {claim.job.seed for claim in take(database)} == {3, 4}


def test_what_another_sweep_wants_stays_runnable(database: Database) -> None:
    submit(database, plan_seeds(1, 2), name="one", priority=2)
    submit(database, plan_seeds(1), name="other", priority=7)
    changed = submit(database, plan_seeds(3), name="one", spec="two", priority=2)
    assert drop_absent(database, changed) == 2
    assert priorities(database) == {1: 7, 2: None, 3: 2}


def test_a_job_that_was_let_go_can_be_wanted_again(database: Database) -> None:
    submit(database, plan_seeds(1))
    drop_absent(database, submit(database, plan_seeds(2), spec="two"))
    again = save_sweep(database, "night", spec="one", axes={})
    added = add_jobs(database, again, plan_seeds(1))
    assert added.fresh == []
    assert priorities(database)[1] == 5


def test_an_unchanged_sweep_lets_nothing_go(database: Database) -> None:
    submit(database, plan_seeds(1, 2))
    sweep = submit(database, plan_seeds(1, 2))
    assert drop_absent(database, sweep) == 0
    assert members(database, sweep) == [1, 2]


def test_thousands_of_jobs_can_be_let_go(database: Database) -> None:
    planned = plan_seeds(*range(2 * MEMBER_ROWS + 2))
    first = save_sweep(database, "night", spec="one", axes={})
    for start in range(0, len(planned), MEMBER_ROWS):
        add_jobs(database, first, planned[start : start + MEMBER_ROWS])
    finish(database, 0, MEMBER_ROWS + 1)
    sweep = submit(database, planned[:1], spec="two")
    assert drop_absent(database, sweep) == 2 * MEMBER_ROWS
    assert members(database, sweep) == [0, MEMBER_ROWS + 1]
    assert take(database) == []
    assert count_states(database, sweep) == {"done": 2}


def test_failed_jobs_are_tried_again_when_asked(database: Database) -> None:
    sweep = submit(database, plan_seeds(1, 2))
    one, _ = take(database)
    record_failure(database, one.id, owner="host:1:1", error="latents are NaN")
    keys = [make_job(seed=1).key]
    assert sweeps.retry(database, sweep) == {make_job().group: keys}
    (row, _) = job_rows(database)
    assert (row.state, row.error, row.attempts) == ("pending", None, 0)


def test_the_failed_jobs_of_other_sweeps_are_left_alone(database: Database) -> None:
    submit(database, plan_seeds(1), name="one")
    (claim,) = take(database)
    record_failure(database, claim.id, owner="host:1:1", error="latents are NaN")
    other = submit(database, plan_seeds(2), name="other")
    assert sweeps.retry(database, other) == {}
    assert states(database)[1] == "failed"


def test_each_sweep_shows_its_own_template_of_a_prompt(database: Database) -> None:
    submit(database, plan_seeds(1, 2, template="a {cat|dog}"), name="first")
    submit(database, plan_seeds(1, 2, template="a {cat|fox}"), name="second")
    submit(database, plan_seeds(1, 3), name="plain")
    submit(database, plan_seeds(3, template="{a|the} cat"), name="later")
    assert templates_of(database) == {
        "first": ["a {cat|dog}"] * 2,
        "second": ["a {cat|fox}"] * 2,
        "plain": [None, None],
        "later": ["{a|the} cat"],
        "images": ["a {cat|dog}", "a {cat|dog}", None],
    }


def test_a_sweep_that_is_submitted_again_shows_its_new_template(
    database: Database,
) -> None:
    submit(database, plan_seeds(1, template="a {cat|dog}"))
    submit(database, plan_seeds(1, template="a {cat|fox}"), spec="two")
    assert templates_of(database)["night"] == ["a {cat|fox}"]
    submit(database, plan_seeds(1), spec="three")
    assert templates_of(database)["night"] == [None]


def test_an_image_of_a_sweep_that_wants_it_no_more_has_no_template_of_it(
    database: Database,
) -> None:
    submit(database, plan_seeds(1, template="a {cat|dog}"))
    submit(database, plan_seeds(1, template="a {cat|fox}"), name="other")
    drop_absent(database, save_sweep(database, "night", spec="two", axes={}))
    assert templates_of(database) == {"other": ["a {cat|fox}"], "images": [None]}


def test_a_job_has_its_rank_and_gets_another_while_it_waits(
    database: Database,
) -> None:
    planned = plan_seeds(1, 2, 3)
    sweep = submit(database, [replace(one, rank=9 - one.position) for one in planned])
    (claim,) = take(database, limit=1)
    assert claim.job.seed == 3
    with database.write() as connection:
        behind = jobs.c.position + BEHIND
        connection.execute(
            sa.update(jobs).where(jobs.c.seed == 2).values(position=behind)
        )
    submit(database, planned, name="other")
    add_jobs(database, sweep, planned)
    places = {row.seed: row.position for row in job_rows(database)}
    assert places == {1: 0, 2: 1 + BEHIND, 3: 7}
