"""Samples: balanced, the same ones everywhere, and each within a larger one."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from producer.expansion import cells
from producer.expansion.expand import Expansion, expand
from producer.spec.sweepfile import read_spec
from storage.errors import SpecError
from tests.unit.cards import describe_fake, write_axes

AXES = """{
  seed: {start: 0, count: 10}, prompt: [a cat, a dog, a cow, a pig],
  scheduler: [ddim, heun, lms, pndm, unipc], steps: [8, 12, 20], guidance: [3, 5]
}"""
WHOLE = 1200


def take(
    folder: Path, count: int, *, axes: str = AXES, rest: str = "", seed: int = 0
) -> Expansion:
    sets = [f"sample.count={count}", f"sample.seed={seed}"]
    spec = read_spec(write_axes(folder, axes, rest=rest), sets=sets)
    return expand(spec, describe_fake)


def keys(expansion: Expansion) -> list[str]:
    return [one.job.key for one in expansion.jobs()]


def counts(expansion: Expansion, axis: str) -> list[int]:
    """Count the images of each value of an axis."""
    labels = Counter[Any](one.cell[axis] for one in expansion.jobs())
    return sorted(labels[label] for label in expansion.axis_labels[axis])


def test_a_sample_has_its_count_of_the_whole_in_the_order_of_the_sweep(
    tmp_path: Path,
) -> None:
    sample = take(tmp_path, 120)
    assert (sample.count, sample.whole) == (120, WHOLE)
    whole = keys(expand(read_spec(write_axes(tmp_path, AXES)), describe_fake))
    drawn = set(keys(sample))
    assert len(drawn) == 120
    assert [key for key in whole if key in drawn] == keys(sample)
    assert [one.position for one in sample.jobs()] == list(range(120))


def test_every_value_of_every_axis_comes_equally_often(tmp_path: Path) -> None:
    sample = take(tmp_path, 120)
    for axis, labels in sample.axis_labels.items():
        assert counts(sample, axis) == [120 // len(labels)] * len(labels)


def test_values_come_nearly_equally_often_in_a_sample_of_any_count(
    tmp_path: Path,
) -> None:
    sample = take(tmp_path, 47)
    for axis in sample.axis_labels:
        least, *_, most = counts(sample, axis)
        assert most - least <= 2


def test_a_larger_sample_has_all_of_a_smaller_one(tmp_path: Path) -> None:
    before: set[str] = set()
    for count in (1, 30, 31, 500, 1190, WHOLE):
        now = set(keys(take(tmp_path, count)))
        assert len(now) == count
        assert before <= now
        before = now
    assert take(tmp_path, 10 * WHOLE).count == WHOLE


def test_another_seed_draws_others(tmp_path: Path) -> None:
    one, same, other = (set(keys(take(tmp_path, 60, seed=n))) for n in (1, 1, 2))
    assert one == same
    assert len(one & other) < 30


def test_what_is_excluded_or_means_the_same_is_not_drawn(tmp_path: Path) -> None:
    axes = "{steps: [8, 20], guidance: [1, 5], negative_prompt: [blurry, grey]}"
    rest = "exclude: [{steps: 8, guidance: 5}]"
    sample = take(tmp_path, 50, axes=axes, rest=rest)
    assert sample.count == sample.whole < 8
    whole = expand(read_spec(write_axes(tmp_path, axes, rest=rest)), describe_fake)
    assert list(sample.jobs()) == list(whole.jobs())


def test_a_sample_of_nearly_nothing_finds_it(tmp_path: Path) -> None:
    excluded = [seed for seed in range(3000) if seed != 2345]
    axes = "{seed: {start: 0, count: 3000}}"
    sample = take(tmp_path, 5, axes=axes, rest=f"exclude: [{{seed: {excluded}}}]")
    assert [one.job.seed for one in sample.jobs()] == [2345]


def test_models_have_equal_shares_and_include_has_none(tmp_path: Path) -> None:
    axes = "{model: [builtin:shapes, org/other], seed: {start: 0, count: 50}}"
    rest = "include: [{steps: 99}]"
    sample = take(tmp_path, 20, axes=axes, rest=rest)
    models = Counter(one.job.model.name for one in sample.jobs())
    assert models == {"builtin:shapes": 10, "org/other": 10}
    assert 99 not in {one.job.steps for one in sample.jobs()}
    assert "sample leaves out what include adds" in sample.warnings


def test_a_sample_of_ten_million_cells_makes_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = """{
      seed: {start: 0, count: 1000}, steps: {start: 1, count: 100},
      guidance: {start: 1.5, stop: 25.5, step: 0.5}, scheduler: [ddim, heun]
    }"""
    made = []
    make_cell = cells.make_cell

    def make(*args: Any, **kwargs: Any) -> cells.Cell:
        made.append(1)
        return make_cell(*args, **kwargs)

    monkeypatch.setattr(cells, "make_cell", make)
    sample = take(tmp_path, 200, axes=axes)
    assert sample.whole == 9_800_000
    made.clear()
    assert len(set(keys(sample))) == 200
    assert len(made) == 200


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ("{count: 0}", "count must be an integer from 1 to"),
        ("{seed: 3}", "sample must have a count, got none; write {count: 200}"),
        ("{count: 3, sead: 1}", "`sample` has no key `sead`; did you mean `seed`"),
        ("200", "`sample` must be a mapping"),
    ],
)
def test_a_sample_that_cannot_be_read_is_refused(
    tmp_path: Path, sample: str, said: str
) -> None:
    with pytest.raises(SpecError) as told:
        read_spec(write_axes(tmp_path, "{}", rest=f"sample: {sample}"))
    assert said in str(told.value)
