"""What a comparison is made from, on a real store with scores."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from producer.options import program
from producer.report import reading
from producer.report.reading import Answered, ComparisonRequest, read_images
from storage.errors import UsageError
from storage.queries.parsing import parse
from storage.ratings.rating import rate
from storage.settings import Settings
from storage.sql.database import Database, open_database
from tests.unit.filled_store import MODEL, finish, make_settings, plan, submit
from tests.unit.producer.report.scored_store import AXES, BY, add_scores, make_scored


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_scored(tmp_path_factory.mktemp("reading"))


@pytest.fixture(scope="module")
def database(settings: Settings) -> Iterator[Database]:
    database = open_database(settings.database_url)
    yield database
    database.close()


def _asked(text: str = "answer", **changes: Any) -> ComparisonRequest:
    values: dict[str, Any] = {"query": parse(text), "by": BY}
    return ComparisonRequest(**{**values, **changes})


def answer(database: Database, asked: ComparisonRequest) -> Answered:
    return reading.answer(database, asked, read_images(database, asked))


def test_scores_and_evaluations_make_the_comparison(database: Database) -> None:
    images = read_images(database, _asked())
    answered = reading.answer(database, _asked(), images)

    assert images.metric.name == "clip"
    assert len(images.rows) == 96
    assert [str(one.setting) for one in answered.found.settings] == [
        "ddim at 2 steps",
        "unipc at 2 steps",
        "ddim at 20 steps",
        "unipc at 20 steps",
    ]
    assert [one.cost for one in answered.found.settings] == [2, 2, 20, 20]


def test_the_answer_is_the_cheap_setting_that_is_as_good(database: Database) -> None:
    found = answer(database, _asked()).found

    assert str(found.reference) == "ddim at 20 steps"
    assert found.cheapest is not None
    assert str(found.cheapest.setting) == "unipc at 2 steps"


def test_images_without_a_score_do_not_count(database: Database) -> None:
    found = answer(database, _asked()).found

    counts = {str(one.setting): one.n_images for one in found.settings}
    assert counts == {
        "ddim at 2 steps": 24,
        "unipc at 2 steps": 23,
        "ddim at 20 steps": 23,
        "unipc at 20 steps": 23,
    }


def test_a_reference_is_chosen_by_its_values(database: Database) -> None:
    found = answer(database, _asked(against="unipc, 20")).found

    assert str(found.reference) == "unipc at 20 steps"
    assert found.is_chosen


def test_an_unknown_reference_is_answered_with_the_nearest(database: Database) -> None:
    with pytest.raises(UsageError) as refused:
        answer(database, _asked(against="unipc,200"))

    assert str(refused.value) == (
        "--against must give the values of one setting in the order of --by, got "
        "'unipc,200'; the nearest is 'unipc,20'."
    )


def test_a_query_that_matches_nothing_is_said(database: Database) -> None:
    with pytest.raises(UsageError) as refused:
        answer(database, _asked("answer steps:3"))

    assert str(refused.value) == (
        "a comparison must have images, but nothing matches the query; "
        f"`{program()} find --count` tries a query."
    )


def test_images_without_any_score_are_answered_with_the_command(
    tmp_path: Path,
) -> None:
    settings = make_settings(tmp_path)
    submit(settings, "answer", plan({"steps": (2, 20)}))
    database = open_database(settings.database_url)

    with pytest.raises(UsageError) as refused:
        answer(database, _asked())

    database.close()
    assert str(refused.value) == (
        "a comparison must have scores, but none of these images has one by the newest "
        "version of a metric; "
        f"`{program()} score QUERY --metric clip` computes them."
    )


def test_stars_are_a_score_for_those_who_name_it_or_have_no_other(
    tmp_path: Path,
) -> None:
    settings = make_settings(tmp_path)
    planned = plan(AXES)
    submit(settings, "answer", planned)
    finish(settings, planned)
    database = open_database(settings.database_url)
    for one in planned[:-3]:
        is_best = (one.job.scheduler_class, one.job.steps) == ("DDIMScheduler", 20)
        rate(database, [one.job.key], who="ada", stars=5 if is_best else 2)
        rate(database, [one.job.key], who="grace", stars=4 if is_best else 2)

    alone = answer(database, _asked()).found
    add_scores(settings)
    usual, named = (
        answer(database, _asked(metric=name)).found for name in (None, "rating")
    )

    database.close()
    assert (usual.panel.metric, named.panel.metric) == ("clip", "rating")
    assert named.settings == alone.settings
    assert (str(named.best.setting), named.best.score) == ("ddim at 20 steps", 4.5)
    assert sum(one.n_images for one in named.settings) == len(planned) - 3


def test_of_several_metrics_one_must_be_named(tmp_path: Path) -> None:
    settings = make_scored(tmp_path)
    add_scores(settings, digest="d" * 32, name="sharp", model="", higher_is_better=True)
    database = open_database(settings.database_url)

    with pytest.raises(UsageError) as refused:
        answer(database, _asked(metric="sharpness"))
    named = read_images(database, _asked(metric="sharp"))

    database.close()
    assert str(refused.value) == (
        "--metric must name one of 'sharp' with 93 scores, 'clip' with 93 scores, got "
        "'sharpness'."
    )
    assert named.metric.name == "sharp"


def test_a_metric_is_named_as_queries_name_its_scores(tmp_path: Path) -> None:
    settings = make_scored(tmp_path)
    add_scores(settings, digest="d" * 32, model="openai/clip")
    database = open_database(settings.database_url)

    asked = _asked("answer score.clip@openai:*", metric="clip@OpenAI")
    found = read_images(database, asked)
    with pytest.raises(UsageError) as refused:
        answer(database, _asked(metric="clip"))

    database.close()
    assert found.metric.label == "clip@openai/clip"
    assert found.metric.model == "openai/clip"
    assert str(refused.value) == (
        "--metric must name one of 'clip@openai/clip' with 93 scores, "
        "'clip@builtin_clip' with 93 scores, got 'clip'."
    )


@pytest.mark.parametrize(
    ("other", "names"),
    [("/c", ["/a", "/c"]), ("/a", ["/a (111111)", "/a (222222)"])],
)
def test_models_are_told_apart_by_their_files_and_not_by_their_places(
    tmp_path: Path, other: str, names: list[str]
) -> None:
    settings = make_settings(tmp_path)
    planned = [
        one
        for name, fingerprint, seed in (
            *(("/a", "1", 0), ("/b", "1", 1)),  # two places of one model
            *((other, "2", 0), (other, "2", 1)),
        )
        for one in plan(
            {"prompt": AXES["prompt"], "seed": (seed,)},
            model=replace(MODEL, name=name, fingerprint=fingerprint * 32),
        )
    ]
    submit(settings, "answer", planned)
    finish(settings, planned)
    add_scores(settings)
    database = open_database(settings.database_url)

    found = answer(database, _asked(by=("model",))).found

    database.close()
    assert sorted(map(str, found.panel.settings)) == names
    assert [one.n_images for one in found.settings] == [24, 24]


def test_evaluations_are_no_cost_where_their_work_differs(database: Database) -> None:
    found = answer(database, _asked(by=("steps", "width"))).found

    assert {one.cost for one in found.settings} == {None}


def test_of_two_versions_of_a_metric_the_newer_counts(tmp_path: Path) -> None:
    settings = make_scored(tmp_path)
    add_scores(settings, digest="d" * 32, version="2")
    database = open_database(settings.database_url)

    found = read_images(database, _asked()).metric

    database.close()
    assert found.version == "2"


def test_guidance_is_not_ranked_by_a_score_that_rises_with_it(
    database: Database,
) -> None:
    with pytest.raises(UsageError) as refused:
        answer(database, _asked(by=("guidance",)))

    assert str(refused.value) == (
        "guidance must not be ranked by clip, which rises with guidance even as images "
        "get worse; compare --by scheduler,steps, or give --rank-guidance to see it "
        "all the same."
    )


def test_no_scale_of_guidance_is_ranked_by_a_score_that_rises_with_it(
    database: Database,
) -> None:
    with pytest.raises(UsageError, match="which rises with guidance even as images"):
        answer(database, _asked(by=("call.true_cfg_scale",)))


def test_a_gpu_without_a_calibration_is_said(database: Database) -> None:
    with pytest.raises(UsageError) as refused:
        answer(database, _asked(gpu="H100"))

    assert str(refused.value) == (
        "--gpu must name one GPU that was calibrated, got 'H100' for none; "
        f"`{program()} calibrate MODEL` measures one."
    )
