"""The order of execution: what comes first, and that every rank is there once."""

from pathlib import Path

import pytest

from producer.expansion.expand import Expansion, expand
from producer.expansion.ordering import ranked_batches, refine
from producer.spec.sweepfile import read_spec
from storage.errors import SpecError
from storage.job import PlannedJob
from tests.unit.cards import describe_fake, write_axes

AXES = """{
  seed: {start: 0, count: 3}, prompt: [a cat, a dog], scheduler: [ddim, heun],
  steps: [8, 4, 20, 12, 16], guidance: 2.5
}"""


def expand_in(folder: Path, order: str, axes: str = AXES, name: str = "") -> Expansion:
    sets = [f"order={order}", *([f"name={name}"] if name else [])]
    return expand(read_spec(write_axes(folder, axes), sets=sets), describe_fake)


def in_order(expansion: Expansion) -> list[PlannedJob]:
    jobs = [one for batch in ranked_batches(expansion) for one in batch]
    assert [one.position for one in jobs] == list(range(expansion.count))
    return sorted(jobs, key=lambda one: one.place)


def test_by_default_the_rank_of_a_job_is_its_position(tmp_path: Path) -> None:
    ordered = in_order(expand_in(tmp_path, "breadth-first"))
    assert [one.position for one in ordered] == list(range(60))
    assert {one.rank for one in ordered} == {None}


def test_coarse_first_begins_with_ends_and_middles_and_refines(tmp_path: Path) -> None:
    ordered = in_order(expand_in(tmp_path, "coarse-first"))
    assert [one.rank for one in ordered] == list(range(60))
    first = ordered[:6]  # a seed, a prompt, two schedulers, three numbers of steps
    assert {one.job.steps for one in first} == {4, 12, 20}
    assert {(one.job.seed, one.job.prompt) for one in first} == {(0, "a cat")}
    assert {one.job.scheduler_class for one in first} == {
        "DDIMScheduler",
        "HeunDiscreteScheduler",
    }
    # The next step: two of each, and all numbers of steps, which makes 40 in all.
    assert {one.job.seed for one in ordered[:40]} == {0, 1}
    assert {one.job.steps for one in ordered[:40]} == {4, 8, 12, 16, 20}
    assert {one.job.seed for one in ordered[40:]} == {2}


def test_cheapest_first_counts_evaluations_and_pixels(tmp_path: Path) -> None:
    axes = "{scheduler: [heun, ddim], steps: [4, 7], width: [128, 64], height: 64}"
    ordered = in_order(expand_in(tmp_path, "cheapest-first", axes))
    costs = [one.evaluations * one.job.width * one.job.height for one in ordered]
    assert costs == sorted(costs)
    assert len(set(costs)) > 4
    assert [one.rank for one in ordered] == list(range(8))


def test_jobs_of_equal_cost_stay_breadth_first(tmp_path: Path) -> None:
    ordered = in_order(expand_in(tmp_path, "cheapest-first"))
    cheapest = [one.job.seed for one in ordered if one.evaluations == 4]
    assert cheapest == [0, 0, 1, 1, 2, 2]


def test_a_random_order_is_that_of_the_name(tmp_path: Path) -> None:
    one, same, other = (
        [job.job.key for job in in_order(expand_in(tmp_path, "random", name=name))]
        for name in ("one", "one", "other")
    )
    assert one == same
    assert sorted(one) == sorted(other)
    assert one != other
    ranks = [job.place for job in in_order(expand_in(tmp_path, "random"))]
    assert 0 <= min(ranks) < max(ranks) < 60


def test_an_order_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"order must be one of .*did you mean `coarse"):
        expand_in(tmp_path, "coarse")
    with pytest.raises(SpecError, match=r"random, got bottom; write one of them$"):
        expand_in(tmp_path, "bottom")


@pytest.mark.parametrize(
    ("count", "levels"),
    [
        (1, [0]),
        (2, [0, 0]),
        (3, [0, 0, 0]),
        (4, [0, 0, 1, 0]),
        (5, [0, 1, 0, 1, 0]),
        (9, [0, 2, 1, 2, 0, 2, 1, 2, 0]),
    ],
)
def test_a_row_is_refined_by_halves(count: int, levels: list[int]) -> None:
    assert refine(count) == levels
