"""Options that change a sweep file: one that would change nothing is refused."""

from pathlib import Path

import pytest

from producer.spec.sweepfile import read_spec
from storage.errors import SpecError
from tests.unit.cards import write_axes


def problems_of(
    file: Path, *, sets: tuple[str, ...] = (), axes: tuple[str, ...] = ()
) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read_spec(file, sets=sets, axes=axes)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("axes", "way_out"),
    [
        ("{steps: [10, 20]}", "write `--axis steps=99`"),
        ("{steps: 10}", "write `--axis steps=99`"),
        ("{pair: [{set: {steps: 4}}, {set: {steps: 5}}]}", "change the axis `pair`"),
    ],
)
def test_a_value_of_base_that_an_axis_sets_everywhere_cannot_be_set(
    tmp_path: Path, axes: str, way_out: str
) -> None:
    assert problems_of(write_axes(tmp_path, axes), sets=("base.steps=99",)) == [
        "--set base.steps=99: --set must change a value that no axis sets, got "
        f"base.steps; {way_out}"
    ]


def test_a_value_of_base_that_an_option_makes_an_axis_cannot_be_set(
    tmp_path: Path,
) -> None:
    (problem,) = problems_of(
        write_axes(tmp_path, "{}"), sets=("base.steps=99",), axes=("steps=8,12",)
    )
    assert problem.endswith("got base.steps; write `--axis steps=99`")


@pytest.mark.parametrize(
    ("axes", "rest"),
    [
        ("{pair: [{set: {steps: 4}}, {set: {tag: a}}]}", ""),
        ("{steps: [10, 20]}", "include: [{seed: 3}]"),
        ("{}", ""),
    ],
)
def test_a_value_of_base_that_some_jobs_take_can_be_set(
    tmp_path: Path, axes: str, rest: str
) -> None:
    spec = read_spec(write_axes(tmp_path, axes, rest=rest), sets=("base.steps=99",))
    assert spec.base["steps"] == 99


def test_a_value_of_base_beside_an_axis_of_the_file_is_left_alone(
    tmp_path: Path,
) -> None:
    file = write_axes(tmp_path, "{steps: [10, 20]}")
    file.write_text(file.read_text().replace("a cat}", "a cat, steps: 4}"))
    assert read_spec(file).base["steps"] == 4


@pytest.mark.parametrize(
    ("axes", "axis", "way_out"),
    [
        (("steps=8,12", "steps=20"), "steps", "`--axis steps+=20`"),
        (("steps+=40", "steps=8, 9"), "steps", "`--axis 'steps+=8, 9'`"),
        (("prompt=a cat", "prompt=a dog"), "prompt", "`--axis 'prompt+=a dog'`"),
    ],
)
def test_an_axis_that_a_second_option_would_replace_is_refused(
    tmp_path: Path, axes: tuple[str, ...], axis: str, way_out: str
) -> None:
    assert problems_of(write_axes(tmp_path, "{steps: 2}"), axes=axes) == [
        f"--axis {axes[1]}: an option must give each value once, got {axis} again; "
        f"write {way_out} to add to its values"
    ]


def test_a_value_that_a_second_option_would_replace_is_refused(
    tmp_path: Path,
) -> None:
    sets = ("base.width=64", "base.width=72")
    assert problems_of(write_axes(tmp_path, "{}"), sets=sets) == [
        "--set base.width=72: an option must give each value once, got base.width "
        "again; remove one of the two"
    ]


def test_several_options_may_add_to_one_axis(tmp_path: Path) -> None:
    axes = ("steps=8", "steps+=12", "steps+=20")
    (axis,) = read_spec(write_axes(tmp_path, "{}"), axes=axes).axes
    assert [value.sets["steps"] for value in axis.values] == [8, 12, 20]


@pytest.mark.parametrize(
    ("option", "axis"),
    [
        ("base.steps=10,20", "steps=10,20"),
        ("axes.steps=3, 4", "'steps=3, 4'"),
        ("base.steps=[10,20]", "'steps=[10,20]'"),
        ("base.scheduler=ddim,euler", "scheduler=ddim,euler"),
        ("base.prompt=[a cat]", "'prompt=[a cat]'"),
    ],
)
def test_several_values_of_an_option_are_told_to_be_an_axis(
    tmp_path: Path, option: str, axis: str
) -> None:
    value = option.partition("=")[2]
    assert problems_of(write_axes(tmp_path, "{}"), sets=(option,)) == [
        f"--set {option}: --set must give one value, got {value}; write "
        f"`--axis {axis}` for several"
    ]


@pytest.mark.parametrize(
    "option",
    [
        "base.prompt=a cat, sitting",
        "base.tag=a,b",
        "axes.steps=[3,4]",
        "base.scheduler={class: ddim, label: a}",
    ],
)
def test_a_comma_inside_one_value_is_no_second_value(
    tmp_path: Path, option: str
) -> None:
    read_spec(write_axes(tmp_path, "{}"), sets=(option,))


@pytest.mark.parametrize(
    ("axes", "value", "way_out"),
    [
        ("{steps: [4, 5]}", "10", "--axis steps=10"),
        ("{}", "10", "--set base.steps=10"),
        ("{}", "10,20", "--axis steps=10,20"),
    ],
)
def test_a_parameter_alone_is_told_the_option_that_sets_it(
    tmp_path: Path, axes: str, value: str, way_out: str
) -> None:
    option = f"steps={value}"
    assert problems_of(write_axes(tmp_path, axes), sets=(option,)) == [
        f"--set {option}: --set must lead into base, axes, limits, got steps; write "
        f"`{way_out}`"
    ]
