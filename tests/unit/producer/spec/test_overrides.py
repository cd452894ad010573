"""Options that change a sweep file: one that would change nothing is refused."""

import re
import shlex
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
        f"--set {option}: --set must lead into base, axes, limits, sample, got steps; "
        f"write `{way_out}`"
    ]


@pytest.mark.parametrize(
    ("axis", "way_out"),
    [
        ("seed=100-119", "write `--axis 'seed={start: 100, stop: 119}'`"),
        ("steps=range(1,10)", "write `--axis 'steps={start: 1, count: 9}'`"),
        ("steps=..", "write `--axis 'steps={start: 3, stop: 9, step: 2}'`"),
        ("steps=4 8", "write `--axis 'steps=[4, 8]'`"),
        ("steps={min: 1, max: 4}", "write `--axis 'steps={start: 1, stop: 4}'`"),
        ("seed={values: [1, 2]}", "write `--axis 'seed=[1, 2]'`"),
        ("scheduler='ddim, lms'", "write `--axis 'scheduler=[ddim, lms]'`"),
        ("dtype='float16,float32'", "write `--axis 'dtype=[float16, float32]'`"),
        ("dtype=half", "did you mean `float16`?"),
        ("steps=auto", "leave it out for the default"),
        (
            "seed=random",
            "seeds are drawn before any image is made; write `--axis 'seed={random: "
            "4}'`",
        ),
        ("width=512x768", "write `--axis width=512` and `--axis height=768`"),
    ],
)
def test_a_wrong_value_of_an_axis_is_told_what_to_type(
    tmp_path: Path, axis: str, way_out: str
) -> None:
    (problem,) = problems_of(write_axes(tmp_path, "{}"), axes=(axis,))
    assert problem.startswith(f"--axis {axis}: ")
    assert problem.endswith(f"; {way_out}")
    typed = re.findall("`--axis (.+?)`", way_out)
    axes = tuple(word for words in typed for word in shlex.split(words))
    assert not typed or read_spec(write_axes(tmp_path, "{}"), axes=axes).axes


@pytest.mark.parametrize(
    ("option", "way_out"),
    [
        ("base.steps=4-8", "write `--axis 'steps={start: 4, stop: 8}'`"),
        ("base.batch_size=4", "write `--axis 'seed={start: 0, count: 4}'`"),
        (
            "base.seed={start: 0, count: 4}",
            "write `--axis 'seed={start: 0, count: 4}'`",
        ),
        ("base.scheduler=all", "write `--axis scheduler=all`"),
        ("base.prompt=a {cat|dog}", "write `--axis 'prompt=a {cat|dog}'`"),
    ],
)
def test_a_wrong_value_of_base_is_told_what_to_type(
    tmp_path: Path, option: str, way_out: str
) -> None:
    (problem,) = problems_of(write_axes(tmp_path, "{}"), sets=(option,))
    assert problem.endswith(f"; {way_out}")


def test_an_axis_in_another_programs_words_is_told_what_to_type(
    tmp_path: Path,
) -> None:
    assert problems_of(write_axes(tmp_path, "{}"), axes=("batch_size=4",)) == [
        "--axis batch_size=4: an axis must be named for a parameter, got `batch_size`; "
        "a seed makes one image; write `--axis 'seed={start: 0, count: 4}'` (only an "
        "axis of `{label, set}` bundles may have any name)"
    ]


def test_a_seed_of_null_in_an_option_is_told_what_to_type(tmp_path: Path) -> None:
    spec = read_spec(write_axes(tmp_path, "{}"), axes=("seed=null",))
    assert [remark.sentence for remark in spec.remarks] == [
        "--axis seed=null: `seed: null` is seed 0 here, and no seed is drawn; write "
        "`--axis 'seed={random: 4}'`"
    ]
