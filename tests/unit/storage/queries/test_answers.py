import json
import re
import sqlite3
from dataclasses import replace

import pytest
import sqlalchemy as sa

from storage.errors import UsageError
from storage.jobs.sweeps import save_sweep
from storage.queries.answers import (
    PAGE_ROWS,
    Wanted,
    count,
    find,
    find_differing,
    find_memberships,
    find_one,
    read_wanted,
)
from storage.queries.parsing import refine
from storage.sql.database import open_database
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
    ("which", "images"),
    [
        ("", 8),
        (refine("", sweep="shapes"), 8),
        (refine("", steps=[2]), 4),
        (refine("", steps=["3..30"]), 4),
        (refine("", steps=[2, "10.."]), 8),
        (refine("", seed=[1]), 0),
        (refine("", guidance=[2.5]), 8),
        (refine("", prompt="GREEN star"), 4),
        (refine("", prompt="100%"), 0),
        (refine("", model="shapes"), 8),
        (refine("", model="flux"), 0),
        (refine("", state=["done"]), 6),
        (refine("", state=["failed", "pending"]), 2),
        (refine("", steps=[2], prompt="red", state=["done"]), 2),
    ],
)
def test_conditions_join_by_and_values_by_or(store, which, images):
    assert len(list(find(store[2], which))) == images
    assert count(store[2], which) == images


@pytest.mark.parametrize(
    "name",
    [
        *("dpmpp_2m_karras", "DPM++ 2M Karras", "dpmpp_2m_k"),
        "DPMSolverMultistepScheduler",
    ],
)
def test_a_scheduler_is_found_by_each_of_its_names(store, name):
    found = list(find(store[2], refine("", scheduler=[name])))

    assert {row["scheduler"] for row in found} == {"dpmpp_2m_karras"}
    assert len(found) == 4


def test_a_class_name_finds_every_variant_and_a_short_name_only_its_own(store):
    settings, _, database = store
    variants = ({}, {"clip_sample": True})
    planned = [
        one for options in variants for one in plan({}, scheduler_options=options)
    ]
    submit(settings, "variants", planned)

    by_class = refine("", sweep="variants", scheduler=["DDIMScheduler"])
    by_name = refine("", sweep="variants", scheduler=["ddim"])
    by_options = refine("", scheduler=["ddim(clip_sample=true)"])

    assert len(list(find(database, by_class))) == 2
    assert keys(find(database, by_name)) == [planned[0].job.key]
    assert keys(find(database, by_options)) == [planned[1].job.key]


def test_a_label_of_the_sweep_is_a_name_within_it(store):
    settings, _, database = store
    (one,) = plan({}, seed=5)
    submit(settings, "labelled", [_labelled(one, "3M")])

    found = list(find(database, refine("", sweep="labelled", scheduler=["3M"])))

    assert keys(found) == [one.job.key]
    assert found[0]["scheduler_label"] == "3M"


@pytest.mark.parametrize("sweep", [None, "shapes"])
def test_a_misspelt_scheduler_is_refused_with_the_nearest_name(store, sweep):
    with pytest.raises(UsageError, match=r"did you mean .*ddim"):
        list(find(store[2], refine("", sweep=sweep, scheduler=["ddimm"])))


def test_a_scheduler_that_made_nothing_finds_nothing(store):
    assert list(find(store[2], refine("", scheduler=["heun"]))) == []


def test_an_unknown_sweep_is_refused_with_those_that_exist(store):
    with pytest.raises(UsageError, match=r"got 'shape'; did you mean 'shapes'\?"):
        list(find(store[2], refine("", sweep="shape")))


def test_rows_come_page_by_page_in_the_order_of_submission(store, monkeypatch):
    _, planned, database = store
    monkeypatch.setattr("storage.queries.answers.PAGE_ROWS", 3)
    wanted = [one.job.key for one in planned]

    assert keys(find(database, "")) == wanted
    assert keys(find(database, refine("", sweep="shapes"))) == wanted
    assert keys(find(database, "", Wanted(limit=5))) == wanted[:5]
    assert keys(find(database, "", Wanted(limit=6))) == wanted[:6]
    assert list(find(database, "", Wanted(limit=0))) == []


def test_a_shared_image_belongs_to_both_sweeps_and_was_asked_for_by_the_first(store):
    settings, planned, database = store
    submit(settings, "later", planned[:2])

    found = list(find(database, refine("", sweep="later")))
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

    current = find(database, refine("", sweep="shapes", current=True))

    assert sorted(keys(current)) == sorted(one.job.key for one in fewer)
    assert len(list(find(database, refine("", sweep="shapes")))) == len(planned)


def test_a_key_is_found_by_its_beginning_in_either_case(store):
    _, planned, database = store
    key = planned[3].job.key

    assert find_one(database, key)["key"] == key
    assert find_one(database, f" {key[:12].upper()}")["key"] == key


def test_words_that_begin_keys_mean_these_images(store):
    _, planned, database = store
    one, other = planned[3].job.key, planned[5].job.key

    assert keys(find(database, one)) == [one]
    assert keys(find(database, f"{one[:8].upper()} {other}")) == [one, other]
    assert keys(find(database, f"shapes {one[:8]} seed:*")) == [one]
    assert count(database, f"{one} -seed:*") == 0


def test_a_sweep_with_a_name_of_hex_digits_is_no_key(store):
    settings, planned, database = store
    name = planned[3].job.key[:8]
    submit(settings, name, planned[:2])

    assert count(database, name) == 2


def test_hex_digits_that_begin_no_key_are_searched_in_prompts(store):
    settings, _, database = store
    submit(settings, "dates", plan({"prompt": ["a calendar of 20261128"]}))

    assert count(database, "20261128") == 1
    assert count(database, f"20261128 {'0' * 32}") == 0


def test_a_beginning_that_several_keys_share_is_refused_with_all_of_them(store):
    settings, _, database = store
    submit(settings, "many", plan({"seed": range(100, 140)}))
    first = {row["key"][0]: row["key"] for row in find(database, "")}
    digit = max(
        first, key=lambda each: len(list(find(database, refine("", key=[each]))))
    )

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
    assert [row["prompt"] for row in find(database, refine("", prompt=part))] == [
        prompt
    ]


def test_signs_of_a_pattern_are_looked_for_as_they_stand(store):
    settings, _, database = store
    submit(settings, "letters", plan({"prompt": ["é.", "éa"]}))
    assert len(list(find(database, refine("", prompt="É.")))) == 1
    assert list(find(database, refine("", prompt="É[a]"))) == []


def test_a_model_is_found_in_any_case_of_any_alphabet(store):
    settings, planned, database = store
    copy = replace(MODEL, name="/modèles/sd", fingerprint="1" * 32)
    again = [replace(one, job=replace(one.job, model=copy)) for one in planned[:2]]
    submit(settings, "copied", again)
    assert len(keys(find(database, refine("", model="MODÈLES")))) == 2


def test_of_many_prompts_that_hold_a_text_all_are_found(store):
    settings, _, database = store
    prompts = [f"number {number} É" for number in range(PAGE_ROWS + 2)]
    submit(settings, "many", plan({"prompt": prompts}))
    for part in ("number", "é"):
        found = [row["prompt"] for row in find(database, refine("", prompt=part))]
        assert found == prompts
    assert (
        len(list(find(database, refine("", sweep="many", prompt="NUMBER"))))
        == PAGE_ROWS + 2
    )
    assert len(list(find(database, refine("", prompt="NUMBER 100")))) == 3


def test_a_sweep_without_jobs_has_no_rows(store):
    save_sweep(store[2], "empty", spec="", axes={})

    assert list(find(store[2], refine("", sweep="empty", prompt=PROMPTS[0]))) == []


def _labelled(one, label):
    values = {name: getattr(one, name) for name in one.__dataclass_fields__}
    return type(one)(**{**values, "scheduler_label": label})


def test_a_model_is_found_by_any_of_its_places(store):
    settings, planned, database = store
    copy = replace(MODEL, name="/models/copy")
    again = [replace(one, job=replace(one.job, model=copy)) for one in planned[:2]]
    submit(settings, "copied", again)
    for name in ("shapes", "models/copy"):
        assert len(keys(find(database, refine("", model=name)))) == 8


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


FLUX = replace(MODEL, name="flux", fingerprint="f" * 32, pipeline="FluxPipeline")
SDXL = replace(
    MODEL, name="xl", fingerprint="e" * 32, pipeline="StableDiffusionXLPipeline"
)
OLD = replace(MODEL, name="old", fingerprint="d" * 32)


@pytest.fixture
def called(store):
    """Jobs with inputs that only some pipelines have; the last model is not known."""
    submit(
        store[0],
        "called",
        [
            *plan({"extras": [{}, {"call.true_cfg_scale": 3.5}]}, model=FLUX),
            *plan({"extras": [{"call.max_sequence_length": 64}]}, model=FLUX),
            *plan({"extras": [{}, {"call.original_size": [512, 768]}]}, model=SDXL),
            *plan({"extras": [{}, {"call.true_cfg_scale": 2.0}]}, model=OLD),
        ],
    )
    return store[2]


@pytest.mark.parametrize(
    ("query", "images"),
    [
        ("call.true_cfg_scale:3.5", 1),
        ("call.true_cfg_scale:1", 2),  # the default of Flux
        ("call.true_cfg_scale:1..3", 3),
        ("-call.true_cfg_scale:3.5", 6),
        ("call.true_cfg_scale:*", 4),
        ("call.max_sequence_length:64", 1),
        ("call.max_sequence_length:512", 2),
        ('call.original_size:"[512,768]"', 1),
        ("call.crops_coords_top_left:*", 2),
        ("pipeline:FluxPipeline", 3),
    ],
)
def test_images_are_found_by_inputs_that_only_some_pipelines_have(
    called, query, images
):
    assert count(called, f"called {query}") == images


def test_inputs_of_pipelines_are_columns_and_sorted_by(called):
    wanted = read_wanted(
        sort="-call.true_cfg_scale", columns="call.true_cfg_scale,pipeline"
    )
    rows = list(find(called, "called -pipeline:StableDiffusionXLPipeline", wanted))
    assert [row["call.true_cfg_scale"] for row in rows] == [3.5, 2.0, 1.0, 1.0, None]
    assert [row["pipeline"] for row in rows[:2]] == ["FluxPipeline", None]


def test_inputs_of_pipelines_that_differ_are_named(called):
    query = "called pipeline:FluxPipeline"
    assert find_differing(called, query) == [
        *("call.max_sequence_length", "call.true_cfg_scale")
    ]
    assert find_differing(called, f"{query} call.true_cfg_scale:1") == [
        "call.max_sequence_length"
    ]


def test_an_input_that_no_pipeline_has_is_no_column(called):
    with pytest.raises(UsageError, match=r"did you mean call\.true_cfg_scale"):
        count(called, "call.true_cfg:3")
    with pytest.raises(UsageError, match=r"write call\.true_cfg_scale:3\."):
        count(called, "call.true_cfg_scale=3")


@pytest.mark.databases("sqlite")
def test_images_with_very_many_tags_are_found_by_another_extra(store):
    settings, _, database = store
    tags = [{"tag": f"tag {number}", "eta": 0.5} for number in range(60)]
    submit(settings, "tags", plan({"extras": tags}))

    @sa.event.listens_for(database.engine, "checkout")
    def limit_variables(connection, *_others):
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 50)

    assert len(list(find(database, refine("", sweep="tags", eta=[0.5])))) == 60


def test_parameters_that_differ_are_named(store):
    settings, _, database = store
    other = replace(MODEL, name="other", fingerprint="ab" * 16)
    submit(settings, "models", plan({"model": [MODEL, other], "height": [64, 72]}))
    texts = plan({"negative_prompt": ["", "blurry"], "dtype": ["float32", "float16"]})
    submit(settings, "texts", texts)

    assert find_differing(database, refine("", sweep="models")) == ["model", "height"]
    assert find_differing(database, refine("", sweep="texts")) == [
        *("negative_prompt", "dtype")
    ]
    assert find_differing(database, refine("", sweep="texts", seed=[77])) == []


def test_extras_that_differ_are_named(store):
    settings, _, database = store
    submit(settings, "extras", plan({"extras": EXTRAS}, seed=99))

    assert find_differing(database, refine("", sweep="extras")) == [
        *("eta", "clip_skip", "tag")
    ]
    assert find_differing(database, refine("", sweep="extras"), limit=2) == [
        "clip_skip"
    ]
    assert find_differing(database, refine("", seed=[99], tag="late")) == []
    assert find_differing(database, refine("", sweep="shapes")) == []
