"""Seeds that a sweep draws: the same ones in every command, written down as numbers."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from producer.spec.drawn_seeds import draw
from producer.spec.sweepfile import Spec, read_spec
from producer.spec.yamltext import StoredSpec
from storage.errors import SpecError
from tests.unit.cards import write_axes, write_spec

#: What a sweep named `s` draws; these never change.
FIRST = [100650897, 1556793397, 2125058782, 2969458683]


def seeds_of(spec: Spec) -> list[int]:
    (axis,) = spec.axes
    return [value.sets["seed"] for value in axis.values]


def read_seeds(folder: Path, written: str, axes: Sequence[str] = ()) -> list[int]:
    return seeds_of(read_spec(write_axes(folder, f"{{seed: {written}}}"), axes=axes))


def problems_of(folder: Path, text: str, axes: Sequence[str] = ()) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read_spec(write_spec(folder, text), axes=axes)
    return [str(problem) for problem in caught.value.problems]


def test_a_name_draws_the_same_seeds_for_ever(tmp_path: Path) -> None:
    assert read_seeds(tmp_path, "{random: 4}") == FIRST
    assert read_seeds(tmp_path, "{random: 4, of: 8}") == [1, 5, 6, 3]
    assert draw("other", 4, below=2**32) != FIRST


def test_more_seeds_are_the_same_and_more(tmp_path: Path) -> None:
    assert read_seeds(tmp_path, "{random: 4}") == FIRST
    assert read_seeds(tmp_path, "{random: 2}") == FIRST[:2]
    assert read_seeds(tmp_path, "[{random: 3}, {random: 1}]") == FIRST


def test_no_seed_is_drawn_twice_or_beside_the_same_number(tmp_path: Path) -> None:
    assert sorted(read_seeds(tmp_path, "{random: 8, of: 8}")) == list(range(8))
    beside = "[{random: 3, of: 8}, 7, {start: 0, count: 4}]"
    seeds = read_seeds(tmp_path, beside)
    assert sorted(seeds[:3]) == [4, 5, 6]
    assert seeds[3:] == [7, 0, 1, 2, 3]


def test_numbers_are_written_down_in_the_spec(tmp_path: Path) -> None:
    spec = read_spec(write_axes(tmp_path, "{seed: {random: 4}}"))
    assert f"seed: [{', '.join(map(str, FIRST))}]" in spec.text
    stored = StoredSpec(name="s", text=spec.text, folder=tmp_path)
    assert read_spec(stored).text == spec.text
    renamed = read_spec(stored, sets=["name=other"])
    assert (renamed.name, seeds_of(renamed)) == ("other", FIRST)


def test_a_stored_sweep_draws_further_seeds(tmp_path: Path) -> None:
    spec = read_spec(write_axes(tmp_path, "{seed: {random: 2}}"))
    stored = StoredSpec(name="s", text=spec.text, folder=tmp_path)
    extended = read_spec(stored, axes=["seed+={random: 2}"])
    assert seeds_of(extended) == FIRST
    assert extended.text.startswith("# --axis seed+={random: 2}\n")


def test_seeds_are_drawn_on_the_command_line_for_the_name_given_there(
    tmp_path: Path,
) -> None:
    file = write_axes(tmp_path, "{steps: 8}")
    spec = read_spec(file, axes=["seed={random: 2}"], sets=["name=other"])
    seeds = [value.sets["seed"] for value in spec.axes[1].values]
    assert seeds == draw("other", 2, below=2**32)


def test_base_takes_one_drawn_seed(tmp_path: Path) -> None:
    text = "name: s\nbase: {model: m, prompt: p, seed: {random: %d}}\n"
    assert read_spec(write_spec(tmp_path, text % 1)).base["seed"] == FIRST[0]
    assert problems_of(tmp_path, text % 2) == [
        "sweep.yaml line 2: seed must be one value in `base`, got a list; move it to "
        "`axes`"
    ]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{random: 0}", "random must be an integer from 1 to 100000, got 0; choose one "
         "in that range"),
        ("{random: few}", "random must be an integer from 1 to 100000, got few; write "
         "it in digits"),
        ("{random: null}", "random must have a value, got null; write how many seeds "
         "to draw"),
        ("{random: 4, off: 8}", "drawn seeds has no key `off`; did you mean `of`?"),
        ("{random: 9, of: 8}", "random must be at most the number of seeds to draw "
         "from, 8, got 9; lower it or raise `of`"),
        ("[1, {random: 8, of: 8}]", "random must be at most the number of seeds to "
         "draw from, 7, got 8; lower it or raise `of`"),
    ],
)  # fmt: skip
def test_seeds_that_cannot_be_drawn_are_refused(
    tmp_path: Path, written: str, message: str
) -> None:
    text = f"name: s\nbase: {{model: m, prompt: p}}\naxes: {{seed: {written}}}\n"
    assert problems_of(tmp_path, text) == [f"sweep.yaml line 3: {message}"]


@pytest.mark.parametrize(
    "more",
    [
        "axes: {noise: [{set: {seed: {random: 2}}}]}",
        "exclude: [{seed: {random: 2}}]",
        "include: [{seed: {random: 2}}]",
    ],
)
def test_seeds_are_drawn_in_base_and_axes_only(tmp_path: Path, more: str) -> None:
    text = f"name: s\nbase: {{model: m, prompt: p}}\n{more}\n"
    assert problems_of(tmp_path, text) == [
        "sweep.yaml line 3: seeds are drawn in `base` and `axes` only, got `random` "
        "elsewhere; write numbers here"
    ]
