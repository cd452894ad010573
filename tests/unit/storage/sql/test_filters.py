import json
import re
import sqlite3
from dataclasses import replace

import pytest
import sqlalchemy as sa

from storage.errors import UsageError
from storage.jobs.sweeps import save_sweep
from storage.sql.database import open_database
from storage.sql.filters import (
    PAGE_ROWS,
    Filter,
    find,
    find_differing,
    find_memberships,
    find_one,
    read_states,
)
from storage.sql.ranges import Range, read_numbers
from storage.store import Store
from tests.unit.filled_store import AXES, MODEL, PROMPTS, filled, plan, submit

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def store(tmp_path, database_url):
    settings, planned = filled(tmp_path)
    database = open_database(settings.database_url)
    yield settings, planned, database
    database.close()


def keys(rows):
    return [row["key"] for row in rows]


@pytest.mark.parametrize(
    ("asked", "read"),
    [
        ("4", [4]),
        ("4, 8", [4, 8]),
        (20, [20]),
        (2.5, [2.5]),
        ([4, "8", "10..20"], [4, 8, Range(low=10, high=20)]),
        ("10..20", [Range(low=10, high=20)]),
        ("2.5..7.5", [Range(low=2.5, high=7.5)]),
        ("..8,30..", [Range(low=None, high=8), Range(low=30, high=None)]),
        (None, []),
        (str(2**63 - 1), [2**63 - 1]),
    ],
)
def test_numbers_are_read_as_people_write_them(asked, read):
    assert read_numbers(asked, name="steps") == read


@pytest.mark.parametrize("text", ["", "x", "4,", "1..x", "nan", "inf", str(2**63)])
def test_what_is_no_number_is_refused_with_the_way_out(text):
    with pytest.raises(UsageError, match=r"steps must be .* such as 10\.\.20.* got"):
        read_numbers(text, name="steps")


def test_a_range_that_runs_backwards_is_refused():
    with pytest.raises(UsageError, match=r"low to high, got '20\.\.10'"):
        read_numbers("20..10", name="steps")


def test_a_range_holds_both_of_its_ends():
    assert 8 in Range(low=8, high=10)
    assert 10 in Range(low=8, high=10)
    assert 7 not in Range(low=8, high=None)
    assert 11 not in Range(low=None, high=10)


def test_an_unknown_state_is_refused_with_those_that_exist():
    assert read_states("done, failed") == ["done", "failed"]
    assert read_states(["done"]) == ["done"]
    with pytest.raises(
        UsageError, match=r"one of pending, leased, done, .* got 'made'"
    ):
        read_states("done,made")


@pytest.mark.parametrize(
    ("which", "count"),
    [
        (Filter(), 8),
        (Filter(sweep="shapes"), 8),
        (Filter(steps=[2]), 4),
        (Filter(steps=[Range(low=3, high=30)]), 4),
        (Filter(steps=[2, Range(low=10, high=None)]), 8),
        (Filter(seed=[1]), 0),
        (Filter(guidance=[2.5]), 8),
        (Filter(prompt="GREEN star"), 4),
        (Filter(prompt="100%"), 0),
        (Filter(model="shapes"), 8),
        (Filter(model="flux"), 0),
        (Filter(states=["done"]), 6),
        (Filter(states=["failed", "pending"]), 2),
        (Filter(steps=[2], prompt="red", states=["done"]), 2),
    ],
)
def test_conditions_join_by_and_values_by_or(store, which, count):
    assert len(list(find(store[2], which))) == count


@pytest.mark.parametrize(
    "name",
    [
        *("dpmpp_2m_karras", "DPM++ 2M Karras", "dpmpp_2m_k"),
        "DPMSolverMultistepScheduler",
    ],
)
def test_a_scheduler_is_found_by_each_of_its_names(store, name):
    found = list(find(store[2], Filter(schedulers=[name])))

    assert {row["scheduler"] for row in found} == {"dpmpp_2m_karras"}
    assert len(found) == 4


def test_a_class_name_finds_every_variant_and_a_short_name_only_its_own(store):
    settings, _, database = store
    variants = ({}, {"clip_sample": True})
    planned = [
        one for options in variants for one in plan({}, scheduler_options=options)
    ]
    submit(settings, "variants", planned)

    by_class = Filter(sweep="variants", schedulers=["DDIMScheduler"])
    by_name = Filter(sweep="variants", schedulers=["ddim"])
    by_options = Filter(schedulers=["ddim(clip_sample=true)"])

    assert len(list(find(database, by_class))) == 2
    assert keys(find(database, by_name)) == [planned[0].job.key]
    assert keys(find(database, by_options)) == [planned[1].job.key]


def test_a_label_of_the_sweep_is_a_name_within_it(store):
    settings, _, database = store
    (one,) = plan({}, seed=5)
    submit(settings, "labelled", [_labelled(one, "3M")])

    found = list(find(database, Filter(sweep="labelled", schedulers=["3M"])))

    assert keys(found) == [one.job.key]
    assert found[0]["scheduler_label"] == "3M"


@pytest.mark.parametrize("sweep", [None, "shapes"])
def test_a_misspelt_scheduler_is_refused_with_the_nearest_name(store, sweep):
    with pytest.raises(UsageError, match=r"did you mean .*ddim"):
        list(find(store[2], Filter(sweep=sweep, schedulers=["ddimm"])))


def test_a_scheduler_that_made_nothing_finds_nothing(store):
    assert list(find(store[2], Filter(schedulers=["heun"]))) == []


def test_an_unknown_sweep_is_refused_with_those_that_exist(store):
    with pytest.raises(UsageError, match=r"submitted \(shapes\), got 'shape'"):
        list(find(store[2], Filter(sweep="shape")))


def test_rows_come_page_by_page_in_the_order_of_submission(store, monkeypatch):
    _, planned, database = store
    monkeypatch.setattr("storage.sql.filters.PAGE_ROWS", 3)
    wanted = [one.job.key for one in planned]

    assert keys(find(database, Filter())) == wanted
    assert keys(find(database, Filter(sweep="shapes"))) == wanted
    assert keys(find(database, Filter(), limit=5)) == wanted[:5]
    assert keys(find(database, Filter(), limit=6)) == wanted[:6]
    assert list(find(database, Filter(), limit=0)) == []


def test_a_shared_image_belongs_to_both_sweeps_and_was_asked_for_by_the_first(store):
    settings, planned, database = store
    submit(settings, "later", planned[:2])

    found = list(find(database, Filter(sweep="later")))
    key = planned[0].job.key
    memberships = find_memberships(database, key)

    assert keys(found) == [one.job.key for one in planned[:2]]
    assert {row["sweep"] for row in found} == {"later"}
    assert find_one(database, key)["sweep"] == "shapes"
    assert [row["sweep"] for row in memberships] == ["shapes", "later"]


def test_only_what_the_newest_revision_wants_is_current(store):
    settings, planned, database = store
    fewer = plan({**AXES, "steps": [20]})
    submit(settings, "shapes", fewer)

    current = find(database, Filter(sweep="shapes", is_current=True))

    assert sorted(keys(current)) == sorted(one.job.key for one in fewer)
    assert len(list(find(database, Filter(sweep="shapes")))) == len(planned)


def test_a_key_is_found_by_its_beginning_in_either_case(store):
    _, planned, database = store
    key = planned[3].job.key

    assert find_one(database, key)["key"] == key
    assert find_one(database, f" {key[:12].upper()}")["key"] == key


def test_a_beginning_that_several_keys_share_is_refused_with_all_of_them(store):
    settings, _, database = store
    submit(settings, "many", plan({"seed": range(100, 140)}))
    first = {row["key"][0]: row["key"] for row in find(database, Filter())}
    digit = max(first, key=lambda each: len(list(find(database, Filter(keys=[each])))))

    with pytest.raises(UsageError, match=r"begins several: .*give more of its digits"):
        find_one(database, digit)


@pytest.mark.parametrize("key", ["", "xyz", "../../etc", "%", "0" * 33])
def test_what_cannot_be_a_key_is_refused(store, key):
    with pytest.raises(UsageError, match=re.escape(f"hex digits, got {key!r}")):
        find_one(store[2], key)


def test_a_key_of_no_job_is_refused(store):
    with pytest.raises(UsageError, match="`nightsweep find` lists the keys"):
        find_one(store[2], "0" * 32)


@pytest.mark.parametrize(
    ("prompt", "part"),
    [
        ("ein Café am Meer", "CAFÉ"),
        ("EIN CAFÉ AM MEER", "café"),
        ("ein Cafe\u0301 am Meer", "CAFÉ AM"),
        ("ein Café am Meer", "CAFE\u0301"),
        ("ΟΔΟΣ στην πόλη", "οδοσ"),
        ("οδος στην πόλη", "ΟΔΟΣ"),
        ("красный круг", "КРАСНЫЙ"),
        ("Straße", "STRAẞE"),
        ("ǅungla", "ǆUNGLA"),
        ("ÄÖ (100%) [x] \\d+ a_b^$|", "äö (100%) [x] \\d+ a_b^$|"),
        ("猫が好き", "猫が"),
    ],
)
def test_a_prompt_is_found_in_any_case_of_any_alphabet(store, prompt, part):
    settings, _, database = store
    submit(settings, "letters", plan({"prompt": [prompt]}))
    assert [row["prompt"] for row in find(database, Filter(prompt=part))] == [prompt]


def test_signs_of_a_pattern_are_looked_for_as_they_stand(store):
    settings, _, database = store
    submit(settings, "letters", plan({"prompt": ["é.", "éa"]}))
    assert len(list(find(database, Filter(prompt="É.")))) == 1
    assert list(find(database, Filter(prompt="É[a]"))) == []


def test_a_model_is_found_in_any_case_of_any_alphabet(store):
    settings, planned, database = store
    copy = replace(MODEL, name="/modèles/sd", fingerprint="1" * 32)
    again = [replace(one, job=replace(one.job, model=copy)) for one in planned[:2]]
    submit(settings, "copied", again)
    assert len(keys(find(database, Filter(model="MODÈLES")))) == 2


def test_of_many_prompts_that_hold_a_text_all_are_found(store):
    settings, _, database = store
    prompts = [f"number {number} É" for number in range(PAGE_ROWS + 2)]
    submit(settings, "many", plan({"prompt": prompts}))
    for part in ("number", "é"):
        found = [row["prompt"] for row in find(database, Filter(prompt=part))]
        assert found == prompts
    assert (
        len(list(find(database, Filter(sweep="many", prompt="NUMBER"))))
        == PAGE_ROWS + 2
    )
    assert len(list(find(database, Filter(prompt="NUMBER 100")))) == 3


def test_a_sweep_without_jobs_has_no_rows(store):
    save_sweep(store[2], "empty", spec="", axes={})

    assert list(find(store[2], Filter(sweep="empty", prompt=PROMPTS[0]))) == []


def _labelled(one, label):
    values = {name: getattr(one, name) for name in one.__dataclass_fields__}
    return type(one)(**{**values, "scheduler_label": label})


def test_a_model_is_found_by_any_of_its_places(store):
    settings, planned, database = store
    copy = replace(MODEL, name="/models/copy")
    again = [replace(one, job=replace(one.job, model=copy)) for one in planned[:2]]
    submit(settings, "copied", again)
    for name in ("shapes", "models/copy"):
        assert len(keys(find(database, Filter(model=name)))) == 8


EXTRAS = ({}, {"clip_skip": 2}, {"clip_skip": 1, "tag": "late"}, {"eta": 0.5})


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"clip_skip": "1.."}, [1, 2]),
        ({"clip_skip": "0,2"}, [0, 1, 3]),
        ({"eta": 0.5}, [3]),
        ({"eta": "..0.4", "clip_skip": 0}, [0]),
        ({"tag": "late"}, [2]),
        ({"tag": ""}, [0, 1, 3]),
        ({"tag": "early"}, []),
    ],
)
@pytest.mark.parametrize("sweep", [None, "extras"])
def test_images_are_found_by_their_extras(store, asked, found, sweep):
    submit(store[0], "extras", plan({"extras": EXTRAS}, seed=99))

    rows = Store(store[0]).find(sweep=sweep, seed=99, **asked)

    assert [EXTRAS.index(json.loads(row["extras"])) for row in rows] == found


@pytest.mark.databases("sqlite")
def test_images_with_very_many_tags_are_found_by_another_extra(store):
    settings, _, database = store
    tags = [{"tag": f"tag {number}", "eta": 0.5} for number in range(60)]
    submit(settings, "tags", plan({"extras": tags}))

    @sa.event.listens_for(database.engine, "checkout")
    def limit_variables(connection, *_others):
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 50)

    assert len(list(find(database, Filter(sweep="tags", eta=[0.5])))) == 60


def test_parameters_that_differ_are_named(store):
    settings, _, database = store
    other = replace(MODEL, name="other", fingerprint="ab" * 16)
    submit(settings, "models", plan({"model": [MODEL, other], "height": [64, 72]}))
    texts = plan({"negative_prompt": ["", "blurry"], "dtype": ["float32", "float16"]})
    submit(settings, "texts", texts)

    assert find_differing(database, Filter(sweep="models")) == ["model", "height"]
    assert find_differing(database, Filter(sweep="texts")) == [
        *("negative_prompt", "dtype")
    ]
    assert find_differing(database, Filter(sweep="texts", seed=[77])) == []


def test_extras_that_differ_are_named(store):
    settings, _, database = store
    submit(settings, "extras", plan({"extras": EXTRAS}, seed=99))

    assert find_differing(database, Filter(sweep="extras")) == [
        *("eta", "clip_skip", "tag")
    ]
    assert find_differing(database, Filter(sweep="extras"), limit=2) == ["clip_skip"]
    assert find_differing(database, Filter(seed=[99], tag="late")) == []
    assert find_differing(database, Filter(sweep="shapes")) == []
