"""The pivot of a query: images, axes, places, and what is fixed if there are many."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from gallery.pivot import read_pivot
from gallery.pivoting.suggested_roles import suggest_roles
from storage.errors import UsageError
from storage.job import Model, PlannedJob
from storage.jobs.companions import companion_of
from storage.jobs.membership import add_jobs
from storage.jobs.sweeps import Sweep, save_sweep
from storage.ratings.rating import rate
from storage.settings import Settings
from storage.sql.database import Database
from storage.sql.schema import jobs, metrics, scores
from tests.builders import make_planned
from tests.unit.filled_store import finish, plan

pytestmark = pytest.mark.databases("sqlite", "postgresql")

FOX, STAR = "a red fox in the snow", "a green star on a pink background"
KOREAN, EMOJI = "눈 속의 빨간 여우, 수채화", 'a 🦊 says "hi" \\ </script>'


def submit(
    database: Database,
    planned: Sequence[PlannedJob],
    name: str = "night",
    **axes: Sequence[str],
) -> Sweep:
    """Store a sweep with axes; where none are given, they are those of the cells."""
    labels: dict[str, dict[str, None]] = {}
    for one in planned:
        for each, given in one.cell.items():
            some = (given,) if isinstance(given, str) else given
            labels.setdefault(each, {}).update(dict.fromkeys(some))
    own = {each: [*found] for each, found in labels.items() if "." not in each}
    sweep = save_sweep(database, name, spec=name, axes=axes or own)
    add_jobs(database, sweep, planned)
    return sweep


def axis(pivot: Mapping[str, Any], name: str) -> Any:
    return next(each for each in pivot["axes"] if each["name"] == name)


def cells(pivot: Mapping[str, Any], *names: str) -> list[tuple[Any, ...]]:
    """Return the labels of each image on some axes, a list for several."""

    def named(name: str, place: Any) -> Any:
        labels = axis(pivot, name)["labels"]
        if isinstance(place, list):
            return [labels[each] for each in place]
        return None if place == -1 else labels[place]

    columns = [[named(name, p) for p in pivot["places"][name]] for name in names]
    return list(zip(*columns, strict=True))


def test_a_sweep_has_its_own_axes_with_its_labels_in_its_order(
    database: Database,
) -> None:
    planned = plan({"prompt": (STAR, FOX), "steps": (20, 4), "seed": (0, 1, 2)})
    submit(database, planned)
    pivot = read_pivot(database, "night")
    assert [each["name"] for each in pivot["axes"]] == ["prompt", "steps", "seed"]
    assert axis(pivot, "steps")["labels"] == ["20", "4"]
    assert axis(pivot, "seed") == {
        "name": "seed",
        "labels": ["0", "1", "2"],
        "count": 3,
        "fixed": None,
        "suggested": "slider",
    }
    assert pivot["total"] == pivot["count"] == 12
    assert pivot["keys"] == [one.job.key for one in planned]
    expected = [(one.job.prompt, str(one.job.steps)) for one in planned]
    assert cells(pivot, "prompt", "steps") == expected
    assert pivot["constant"]["sweep"] == "night"
    assert pivot["constant"]["scheduler"] == "ddim"
    assert pivot["constant"]["size"] == "64x64"
    assert "seed" not in pivot["constant"]
    assert set(map(len, (pivot["stars"], pivot["verdict"], pivot["time"]))) == {12}


def test_an_image_with_several_labels_is_at_all_of_them_and_one_without_nowhere(
    database: Database,
) -> None:
    cells_of = [
        {"scheduler": "ddim", "steps": ["20", "50"]},
        {"scheduler": "euler", "steps": "4"},
        {"scheduler": ["ddim", "euler"]},
    ]
    planned = [make_planned(seed=n, cell=cell) for n, cell in enumerate(cells_of)]
    submit(database, planned, scheduler=["ddim", "euler"], steps=["4", "20", "50"])
    pivot = read_pivot(database, "night")
    assert pivot["places"]["steps"] == [[1, 2], 0, -1]
    assert pivot["places"]["scheduler"] == [0, 1, [0, 1]]
    fixed = read_pivot(database, "night", {"steps": "50"})
    assert fixed["keys"] == [planned[0].job.key, planned[2].job.key]


def test_parts_of_prompts_are_axes_after_those_of_the_sweep(database: Database) -> None:
    planned = [
        make_planned(
            prompt=f"a {colour} {thing}",
            cell={
                "prompt": f"a {colour} {thing}",
                "prompt.1": colour,
                "prompt.2": thing,
            },
        )
        for colour in ("red", "blue")
        for thing in ("fox", "boat")
    ]
    submit(database, planned)
    pivot = read_pivot(database, "night")
    assert [each["name"] for each in pivot["axes"]] == [
        *("prompt", "prompt.1", "prompt.2")
    ]
    assert cells(pivot, "prompt.1", "prompt.2")[1] == ("red", "boat")
    assert axis(pivot, "prompt")["suggested"] == "cols"
    assert axis(pivot, "prompt.1")["suggested"] == "stack"
    fixed = read_pivot(database, "night", {"prompt.1": "blue"})
    assert fixed["count"] == 2
    assert axis(fixed, "prompt.1")["labels"] == ["red", "blue"]
    assert axis(fixed, "prompt")["labels"] == ["a blue fox", "a blue boat"]


def test_other_queries_have_the_columns_in_which_images_differ(
    database: Database,
) -> None:
    submit(database, plan({"steps": (20, 4), "guidance": (7.5, 2)}, prompt=FOX), "one")
    submit(
        database,
        plan({"scheduler": ("ddim", "euler")}, prompt=KOREAN, width=128),
        "two",
    )
    pivot = read_pivot(database, "")
    names = [each["name"] for each in pivot["axes"]]
    assert names == [
        *("sweep", "prompt", "scheduler", "steps", "guidance", "size"),
    ]
    assert axis(pivot, "sweep")["labels"] == ["one", "two"]
    assert axis(pivot, "prompt")["labels"] == [FOX, KOREAN]
    assert axis(pivot, "guidance")["labels"] == ["2", "2.5", "7.5"]
    assert axis(pivot, "size")["labels"] == ["64x64", "128x64"]
    assert pivot["constant"]["model"] == "builtin:shapes"
    assert pivot["constant"]["seed"] == "0"
    assert read_pivot(database, "", {"size": "128x64"})["count"] == 2


def test_an_image_that_two_sweeps_want_is_at_both(database: Database) -> None:
    shared, other = make_planned(seed=0), make_planned(seed=1)
    submit(database, [shared], "one")
    submit(database, [shared, other], "two")
    for query in ("", "sweep:one,two", "sweep:*"):
        pivot = read_pivot(database, query)
        assert cells(pivot, "sweep") == [(["one", "two"],), ("two",)]
    assert read_pivot(database, "", {"sweep": "two"})["count"] == 2
    assert read_pivot(database, "", {"sweep": "one"})["count"] == 1


def test_references_are_left_out(database: Database) -> None:
    sweep = submit(database, [make_planned(seed=0), make_planned(seed=1)])
    add_jobs(database, companion_of(database, sweep), [make_planned(steps=200)])
    assert read_pivot(database, "")["total"] == 2
    assert read_pivot(database, "night.reference")["total"] == 1


def test_extras_and_inputs_of_pipelines_are_columns(database: Database) -> None:
    sdxl = Model(
        fingerprint="1" * 32, name="sdxl", pipeline="StableDiffusionXLPipeline"
    )
    planned = [
        make_planned(model=sdxl, extras={"eta": 0.5}),
        make_planned(model=sdxl, extras={"call.guidance_rescale": 0.7}),
        make_planned(extras={"strict": True, "tag": "밤"}),
    ]
    submit(database, planned, unused=["x"])
    pivot = read_pivot(database, "!state:done")
    assert axis(pivot, "eta")["labels"] == ["0", "0.5"]
    assert cells(pivot, "strict", "tag") == [("no", ""), ("no", ""), ("yes", "밤")]
    assert cells(pivot, "call.guidance_rescale") == [("0",), ("0.7",), (None,)]
    fixed = read_pivot(database, "!state:done", {"eta": "0.5"})
    assert fixed["keys"] == [planned[0].job.key]


def test_failed_images_say_why_and_done_ones_how_long(
    settings: Settings, database: Database
) -> None:
    planned = plan({"steps": (2, 4, 8)})
    submit(database, planned)
    finish(settings, planned[:2], fail={planned[1].job.key})
    pivot = read_pivot(database, "night")
    states = [pivot["states"][state] for state in pivot["state"]]
    assert states == ["done", "failed", "pending"]
    assert pivot["errors"] == {"1": "latents are NaN"}
    assert pivot["time"] == [1.0, None, None]


@pytest.mark.parametrize("query", ["night", "sweep:*", "night seed:0..9"])
def test_axes_with_most_labels_are_fixed_if_there_are_too_many_images(
    database: Database, query: str
) -> None:
    axes = {"prompt": (FOX, KOREAN, EMOJI, ""), "steps": (20, 4), "seed": range(6)}
    planned = plan(axes)
    submit(database, planned)
    pivot = read_pivot(database, query, most=10)
    assert (pivot["total"], pivot["count"]) == (48, 8)
    assert pivot["narrowed"] == ["seed"]
    seed = axis(pivot, "seed")
    assert (seed["fixed"], seed["count"]) == ("0", 6)
    assert seed["labels"] == ["0", "1", "2", "3", "4", "5"]
    assert set(cells(pivot, "seed")) == {("0",)}
    assert axis(pivot, "prompt")["labels"] == [FOX, KOREAN, EMOJI, ""]
    least = read_pivot(database, query, most=3)
    assert least["narrowed"] == ["seed", "prompt"]
    assert least["count"] == 2
    other = read_pivot(database, query, {"prompt": EMOJI, "seed": "5"}, most=3)
    assert (other["narrowed"], other["count"]) == ([], 2)
    assert other["keys"] == [
        one.job.key for one in planned if (one.job.prompt, one.job.seed) == (EMOJI, 5)
    ]
    json.loads(json.dumps(other))


def test_the_labels_of_a_fixed_axis_are_bounded(database: Database) -> None:
    submit(database, plan({"seed": range(300), "steps": (2, 4)}))
    pivot = read_pivot(database, "night", {"seed": "299"}, most=100)
    seed = axis(pivot, "seed")
    assert (seed["count"], len(seed["labels"])) == (300, 200)
    assert cells(pivot, "seed", "steps") == [("299", "2"), ("299", "4")]
    assert pivot["narrowed"] == []


def test_an_axis_of_other_images_cannot_be_fixed(database: Database) -> None:
    submit(database, plan({"seed": range(3)}))
    with pytest.raises(UsageError, match=r"fixed axis must be .* got 'sed'"):
        read_pivot(database, "night", {"sed": "1"})
    assert read_pivot(database, "night", {"seed": "7"})["count"] == 0


def test_labels_of_many_images_are_found_in_sql_as_in_few(database: Database) -> None:
    odd = ['a "b" \\ c', "100%_*?", KOREAN, EMOJI, "[x]", "", "A", "a"]
    labels: list[dict[str, Any]] = [{"look": each} for each in odd]
    labels += [{"look": odd[:2]}, {"look": [EMOJI, "a"]}, {"other": "look"}]
    planned = [make_planned(seed=n, cell=cell) for n, cell in enumerate(labels)]
    submit(database, planned)
    for label in odd:
        wanted = read_pivot(database, "night", {"look": label})
        found = read_pivot(database, "night", {"look": label}, most=4)
        assert found["narrowed"] == []
        assert found["keys"] == wanted["keys"]
        assert found["places"]["look"] == wanted["places"]["look"]
        assert axis(found, "look") == axis(wanted, "look")


def test_a_label_of_a_prompt_may_be_the_text_of_another_sweeps_prompt(
    database: Database,
) -> None:
    submit(database, plan({"prompt": ("fox",), "seed": range(3)}), "other")
    planned = [
        make_planned(prompt=f"a {name} in fog", seed=seed, cell={"prompt": name})
        for name in ("fox", "cat")
        for seed in range(3)
    ]
    submit(database, planned)
    found = read_pivot(database, "night", {"prompt": "fox"}, most=3)
    assert found["keys"] == [one.job.key for one in planned[:3]]


def test_images_that_no_axis_tells_apart_are_cut_off(database: Database) -> None:
    submit(database, [make_planned(seed=n, cell={"steps": "4"}) for n in range(5)])
    pivot = read_pivot(database, "night", most=3)
    assert (pivot["total"], pivot["count"], pivot["narrowed"]) == (5, 3, [])


def test_ratings_of_the_person_and_scores_are_in_the_pivot(
    settings: Settings, database: Database
) -> None:
    planned = plan({"seed": range(4)})
    submit(database, planned)
    finish(settings, planned[:3])
    keys = [one.job.key for one in planned]
    rate(database, keys[:2], who="ann", stars=3)
    rate(database, keys[1:2], who="ann", verdict="rejected")
    rate(database, keys[2:3], who="bob", stars=5, verdict="accepted")
    pivot = read_pivot(database, "night", who="ann")
    assert (pivot["stars"], pivot["verdict"]) == ([3, 3, 0, 0], [0, 2, 0, 0])
    assert read_pivot(database, "night", who="bob")["verdict"] == [0, 0, 1, 0]
    assert (pivot["metrics"], pivot["scores"]) == ([], {})
    with database.write() as connection:
        row = {"id": 1, "digest": "1" * 32, "name": "clip", "source": "clip"}
        row |= {"version": "1", "model": "", "model_fingerprint": ""}
        connection.execute(
            sa.insert(metrics).values(**row, reference="{}", higher_is_better=True)
        )
        done = sa.select(jobs.c.id).where(jobs.c.key == keys[1])
        value = {"metric_id": 1, "state": "done", "value": 0.5}
        value |= {"attempts": 1, "deaths": 0}
        job_id = connection.execute(done).scalar_one()
        connection.execute(sa.insert(scores).values(job_id=job_id, **value))
    pivot = read_pivot(database, "night", who="ann")
    assert pivot["metrics"] == ["clip"]
    assert pivot["scores"] == {"clip": [None, 0.5, None, None]}


def test_models_of_one_name_are_told_apart(database: Database) -> None:
    models = [Model(fingerprint=str(n) * 32, name="sd15") for n in (1, 2)]
    submit(database, [make_planned(model=model) for model in models])
    pivot = read_pivot(database, "!state:done")
    assert axis(pivot, "model")["labels"] == ["sd15 (11111111)", "sd15 (22222222)"]
    for most in (1, 20):
        fixed = read_pivot(
            database, "!state:done", {"model": "sd15 (22222222)"}, most=most
        )
        assert fixed["count"] == 1


@pytest.mark.parametrize(
    ("counts", "roles"),
    [
        ({}, {}),
        ({"seed": 5}, {"seed": "cols"}),
        ({"seed": 500}, {"seed": "rows"}),
        ({"prompt": 9, "seed": 4}, {"prompt": "rows", "seed": "cols"}),
        ({"prompt": 9, "scheduler": 4}, {"prompt": "rows", "scheduler": "cols"}),
        ({"scheduler": 9, "seed": 4}, {"scheduler": "rows", "seed": "cols"}),
        ({"seed": 9, "steps": 4}, {"seed": "rows", "steps": "cols"}),
        (
            {"prompt": 9, "scheduler": 20, "steps": 4, "seed": 3, "guidance": 2},
            {
                "prompt": "supers",
                "scheduler": "rows",
                "steps": "cols",
                "seed": "slider",
                "guidance": "cols",
            },
        ),
        (
            {"prompt": 2, "prompt.1": 2, "scheduler": 3, "steps": 4, "guidance": 900},
            {
                "prompt": "supers",
                "prompt.1": "stack",
                "scheduler": "rows",
                "steps": "cols",
                "guidance": "slider",
            },
        ),
        (
            {"scheduler": 30, "steps": 30, "eta": 3, "look": 30, "seed": 2},
            {
                "scheduler": "rows",
                "steps": "cols",
                "eta": "stack",
                "look": "stack",
                "seed": "slider",
            },
        ),
    ],
)
def test_each_axis_has_a_place_at_first(
    counts: dict[str, int], roles: dict[str, str]
) -> None:
    assert suggest_roles(counts) == roles
