"""Exclusions of a grid: found by a cell's tokens, however many there are."""

import random
from pathlib import Path
from typing import Any

import pytest

from producer.expansion.exclusions import Exclusion, Exclusions
from producer.expansion.expand import expand
from producer.spec.sweepfile import read_spec
from tests.unit.cards import describe_fake, write_axes


class Counted(dict[int, Any]):
    """Tokens of a cell; counts how often one is asked for."""

    asked = 0

    def __contains__(self, axis: object) -> bool:
        self.asked += 1
        return super().__contains__(axis)


def matches(exclusions: list[Exclusion], tokens: dict[int, Any]) -> bool:
    """Tell what `Exclusions.match` means, one after the other."""
    return any(
        all(axis in tokens and tokens[axis] in named for axis, named in each.items())
        for each in exclusions
    )


@pytest.mark.parametrize("seed", range(30))
def test_a_cell_is_matched_as_if_it_were_compared_with_all(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    sizes = [chance.randint(1, 6) for _ in range(chance.randint(1, 4))]
    axes = range(len(sizes))

    def pick() -> Exclusion:
        least = 0 if chance.random() < 0.05 else 1
        named = chance.sample(axes, chance.randint(least, len(sizes)))
        return {
            axis: frozenset(
                chance.sample(range(sizes[axis]), chance.randint(1, sizes[axis]))
            )
            for axis in named
        }

    exclusions = [pick() for _ in range(chance.randint(0, 6))]
    filed = Exclusions(exclusions, sizes)

    for _ in range(100):
        some = chance.sample(axes, chance.randint(0, len(sizes)))
        tokens = {axis: chance.randrange(sizes[axis]) for axis in some}
        assert filed.match(tokens) == matches(exclusions, tokens)


@pytest.mark.parametrize(
    "named",
    [
        lambda n: {0: frozenset({n}), 1: frozenset({8})},
        lambda n: {0: frozenset({n, n + 1}), 1: frozenset({8})},
        lambda n: {0: frozenset({n}), 1: frozenset({4, 8})},
        lambda n: {0: frozenset(range(n, n + 5)), 1: frozenset({4, 8})},
    ],
)
def test_a_cell_is_compared_with_few_of_many_exclusions(named: Any) -> None:
    filed = Exclusions([named(n) for n in range(1000)], [5000, 4])

    for seed in (0, 500, 2000):
        tokens = Counted({0: seed, 1: 20})
        assert not filed.match(tokens)
        assert tokens.asked < 10


def test_many_entries_are_left_out_of_many_cells(tmp_path: Path) -> None:
    entries = ", ".join(f"{{seed: {seed}, steps: 8}}" for seed in range(0, 2000, 2))
    expansion = expand(
        read_spec(
            write_axes(
                tmp_path,
                "{seed: {start: 0, count: 2500}, steps: [4, 8]}",
                rest=f"exclude: [{entries}]",
            )
        ),
        describe_fake,
    )

    assert expansion.count == sum(1 for _ in expansion.jobs()) == 4000


def test_bundles_are_left_out_by_what_they_set(tmp_path: Path) -> None:
    bundles = ", ".join(
        f"{{label: b{n}, set: {{width: {64 + 8 * (n % 3)}, tag: t{n}}}}}"
        for n in range(9)
    )
    expansion = expand(
        read_spec(
            write_axes(
                tmp_path,
                f"{{kind: [{bundles}], steps: [4, 8]}}",
                rest=(
                    "exclude: [{width: 64, steps: 4}, {width: 72, kind: [b1, b2]},"
                    " {tag: [t8, t7], width: [64, 80]}]"
                ),
            )
        ),
        describe_fake,
    )

    rows = [(p.cell["kind"], p.job.steps) for p in expansion.jobs()]
    fours = ["b2", "b4", "b5", "b7"]
    eights = ["b0", "b2", "b3", "b4", "b5", "b6", "b7"]
    assert sorted(rows) == sorted(
        [*((kind, 4) for kind in fours), *((kind, 8) for kind in eights)]
    )
    assert expansion.count == len(rows)
