"""What limits are made from, on a real store with distances."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from analysis.limits import Limits
from analysis.margins import given_margin
from producer.report.limit_reading import answer_limits
from producer.report.reading import ComparisonRequest, read_images
from storage.errors import UsageError
from storage.queries.parsing import parse
from storage.sql.database import Database, open_database
from storage.sql.schema import jobs, metrics, models, schedulers, scores
from tests.unit.producer.report.measured_store import UNIT, make_measured
from tests.unit.producer.report.scored_store import BY

Open = Callable[..., Database]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    settings = make_measured(tmp_path_factory.mktemp("limits"))
    database = open_database(settings.database_url)
    yield database
    database.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    some: list[Database] = []

    def call(**how: Any) -> Database:
        settings = make_measured(tmp_path, **how)
        some.append(open_database(settings.database_url))
        return some[-1]

    yield call
    for each in some:
        each.close()


def limits(database: Database, text: str = "limits", **changes: Any) -> Limits:
    values: dict[str, Any] = {"query": parse(text), "by": BY}
    asked = ComparisonRequest(**{**values, **changes})
    return answer_limits(database, asked, read_images(database, asked))


def told(found: Limits) -> dict[str, tuple[str, int | None]]:
    return {
        str(one.series): (one.limit.outcome.value, one.limit.steps)
        for one in found.series
    }


def test_each_scheduler_has_the_limit_that_its_distances_have(
    database: Database,
) -> None:
    found = limits(database)
    assert told(found) == {
        "ddim": ("found", 8),
        "unipc": ("found", 4),
        "heun": ("not_converged", None),
        "euler_a": ("draws_noise", None),
    }
    assert found.unscored == ()
    ddim = found.series[1]
    assert ddim.unit == pytest.approx(UNIT)
    assert (ddim.limit.reference, ddim.limit.floor_steps) == (32, 16)
    # 24 images at each of 3 numbers of steps, and those at half of the reference.
    assert len(ddim.rows) == 96


def test_a_query_without_the_reference_still_has_the_floor(database: Database) -> None:
    found = limits(database, "limits scheduler:ddim steps:4,8")
    (one,) = found.series
    assert [test.steps for test in one.limit.tests] == [16, 8, 4]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_query_of_one_seed_has_the_unit_that_another_one_made(
    database: Database, seed: int
) -> None:
    (one,) = limits(database, f"limits scheduler:ddim seed:{seed}").series
    assert (one.limit.steps, one.limit.n_seeds) == (8, 1)
    assert one.unit == pytest.approx(UNIT)


def test_what_differs_besides_has_limits_of_its_own(opened: Open) -> None:
    database = opened(guidance=(2.5, 5.0))
    found = limits(database, "limits scheduler:ddim")
    assert told(found) == {
        "ddim, guidance 2.5": ("found", 8),
        "ddim, guidance 5": ("found", 8),
    }
    floors = [one.limit.floor for one in found.series]
    means = [one.summary.mean for one in floors if one]
    assert means[0] == pytest.approx(2 * means[1])


def test_without_distances_between_seeds_no_limit_is_named(opened: Open) -> None:
    found = limits(opened(between_seeds=False), "limits scheduler:ddim")
    assert told(found) == {"ddim": ("no_unit", None)}


def test_with_nine_prompts_no_limit_is_named(opened: Open) -> None:
    found = limits(opened(prompts=9), "limits scheduler:ddim")
    assert told(found) == {"ddim": ("few_prompts", None)}


@pytest.mark.long
def test_what_was_not_measured_is_told(opened: Open) -> None:
    database = opened()
    asked = ComparisonRequest(query=parse("limits scheduler:heun"), by=BY)
    keys = [row["key"] for row in read_images(database, asked).rows]
    ids = sa.select(jobs.c.id).where(jobs.c.key.in_(keys))
    with database.write() as connection:
        connection.execute(sa.delete(scores).where(scores.c.job_id.in_(ids)))

    assert [str(one) for one in limits(database).unscored] == ["heun"]


def test_the_share_that_counts_as_none_can_be_asked(database: Database) -> None:
    found = limits(database, "limits scheduler:ddim", margin=given_margin(0.3))
    assert told(found) == {"ddim": ("found", 4)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"by": ("scheduler",)},
            "rmse tells from how many steps on images are at their limit, so --by must "
            "have steps, got scheduler; add it.",
        ),
        (
            {"against": "ddim,8"},
            "rmse tells limits, which take no --against; leave it out, or compare by "
            "another score.",
        ),
        (
            {"gpu": "H100"},
            "rmse tells limits, which take no --gpu; leave it out, or compare by "
            "another score.",
        ),
    ],
)
def test_what_limits_have_not_is_refused(
    database: Database, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        limits(database, **changes)
    assert str(refused.value) == message


@pytest.mark.long
def test_a_metric_that_is_for_show_tells_no_limit(opened: Open) -> None:
    database = opened()
    with database.write() as connection:
        connection.execute(sa.update(metrics).values(name="psnr", source="psnr"))
    with pytest.raises(UsageError) as refused:
        limits(database)
    assert str(refused.value) == (
        "settings must not be ranked by psnr, which is for show: it has no mean where "
        "images are equal; name another with --metric."
    )


@pytest.mark.long
def test_inputs_of_pipelines_that_are_compared_tell_series_apart(opened: Open) -> None:
    database = opened()
    with database.write() as connection:
        known = {"pipeline": "StableDiffusionPipeline"}
        connection.execute(sa.update(models).values(known))
        rescaled = {"extras": '{"call.guidance_rescale":0.7}'}
        of_ddim = schedulers.c.name == "ddim"
        ids = sa.select(schedulers.c.id).where(of_ddim).scalar_subquery()
        other = jobs.c.scheduler_id == ids
        connection.execute(sa.update(jobs).where(other).values(rescaled))
    before, both = limits(database), limits(database, by=(*BY, "call.guidance_rescale"))
    names = {str(one.series) for one in both.series}
    assert len(names) == len(before.series)
    assert "ddim, guidance_rescale 0.7" in names
    assert {name.partition(", ")[2] for name in names} == {
        *("guidance_rescale 0.7", "guidance_rescale 0")
    }
