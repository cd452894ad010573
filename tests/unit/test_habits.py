"""Words of other programs: each is answered with how the same is written here."""

from pathlib import Path

import pytest

from producer.expansion.expand import read_jobs
from producer.spec.habits import ADVICE, ELSEWHERE
from producer.spec.parameters import PARAMETERS
from producer.spec.sweepfile import read_spec
from storage.errors import SpecError
from tests.unit.cards import describe_fake, write_axes, write_spec


def problems_of(file: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read_spec(file)
    return [problem.message for problem in caught.value.problems]


@pytest.mark.parametrize("word", ELSEWHERE)
def test_another_programs_word_for_a_parameter_is_translated(
    tmp_path: Path, word: str
) -> None:
    here = ELSEWHERE[word]
    if here not in PARAMETERS:
        return
    spec = f"name: x\nbase: {{model: m, prompt: p, {word}: 3}}"
    if here in ("model", "prompt"):
        spec = spec.replace(f"{here}: {here[0]}, ", "")
    assert problems_of(write_spec(tmp_path, spec)) == [
        f"`base` has no key `{word}`; it is called `{here}` here"
    ]


@pytest.mark.parametrize("word", ["CFG Scale", "num-inference-steps", "Sampler"])
def test_case_blanks_and_hyphens_of_a_word_do_not_matter(
    tmp_path: Path, word: str
) -> None:
    (problem,) = problems_of(write_axes(tmp_path, f"{{{word}: [1, 2]}}"))
    assert "here (only an axis of" in problem


@pytest.mark.parametrize("word", ["parameters", "matrix", "params"])
def test_another_programs_word_for_the_axes_is_translated(
    tmp_path: Path, word: str
) -> None:
    spec = f"name: x\n{word}: {{model: m, prompt: p}}"
    assert problems_of(write_spec(tmp_path, spec)) == [
        f"a sweep file has no key `{word}`; it is called `axes` here"
    ]


@pytest.mark.parametrize(("word", "here"), [("steps", "steps"), ("cfg", "guidance")])
def test_a_parameter_beside_base_is_told_where_it_belongs(
    tmp_path: Path, word: str, here: str
) -> None:
    spec = f"name: x\nbase: {{model: m, prompt: p}}\n{word}: 4"
    assert problems_of(write_spec(tmp_path, spec)) == [
        f"a sweep file has no key `{word}`; write `{here}` under `base`, or under "
        "`axes` for several values"
    ]


@pytest.mark.parametrize("word", ADVICE)
def test_what_there_is_not_here_is_answered_with_what_to_do(
    tmp_path: Path, word: str
) -> None:
    spec = f"name: x\nbase: {{model: m, prompt: p, {word}: 3}}"
    assert problems_of(write_spec(tmp_path, spec)) == [
        f"`base` has no key `{word}`; {ADVICE[word]}"
    ]


def test_values_without_brackets_are_told_to_stand_in_some(tmp_path: Path) -> None:
    spec = "name: x\nbase: {model: m, prompt: p, steps: 5,10}"
    assert problems_of(write_spec(tmp_path, spec)) == [
        "`base` has no key `10`; several values stand in brackets, such as [8, 12, 20]"
    ]


def test_a_size_for_a_width_is_told_apart(tmp_path: Path) -> None:
    (problem,) = problems_of(write_axes(tmp_path, "{width: 512x768}"))
    assert problem.endswith("got 512x768; write `width: 512` and `height: 768`")


def test_a_sweep_of_w_and_b_is_told_all_that_is_otherwise_here(tmp_path: Path) -> None:
    spec = """\
name: x
method: grid
metric: {name: clip, goal: maximize}
parameters:
  steps: {values: [10, 20]}
"""
    assert problems_of(write_spec(tmp_path, spec)) == [
        f"a sweep file has no key `method`; {ADVICE['method']}",
        f"a sweep file has no key `metric`; {ADVICE['metric']}",
        "a sweep file has no key `parameters`; it is called `axes` here",
    ]
    told = problems_of(write_axes(tmp_path, "{steps: {values: [10, 20]}}"))
    assert f"a range of steps has no key `values`; {ADVICE['values']}" in told


@pytest.mark.parametrize(
    ("written", "way_out"),
    [
        ("4-20 (+4)", "write a range under `axes`, {start: 4, stop: 20, step: 4}"),
        ("20-4 (-4)", "write a range under `axes`, {start: 20, stop: 4, step: -4}"),
        ("4-20", "write a range under `axes`, {start: 4, stop: 20}"),
        ("4 to 20", "write a range under `axes`, {start: 4, stop: 20}"),
        ("4..20", "write a range under `axes`, {start: 4, stop: 20}"),
        ("4:20:4", "write a range under `axes`, {start: 4, stop: 20, step: 4}"),
        ("4-20:4", "write a range under `axes`, {start: 4, stop: 20, step: 4}"),
        ("4-20 +4", "write a range under `axes`, {start: 4, stop: 20, step: 4}"),
        ("4 to 20 by 4", "write a range under `axes`, {start: 4, stop: 20, step: 4}"),
        ("4, 6, .., 20", "write a range under `axes`, {start: 4, stop: 20, step: 2}"),
        ("range(4,20)", "write a range under `axes`, {start: 4, count: 16}"),
        ("range(4)", "write a range under `axes`, {start: 0, count: 4}"),
        (
            "range(1, 9, step=2)",
            "write a range under `axes`, {start: 1, count: 4, step: 2}",
        ),
        ("1-9 [5]", "write a range under `axes`, {start: 1, count: 5, step: 2}"),
        ("1-9 [4]", "write a list under `axes`, [1, 3, 6, 9]"),
        ("1-10 [5]", "write a list under `axes`, [1, 3, 5, 7, 10]"),
        ("1-100 [40]", "write its 40 values as a list"),
        ("4,8, 12", "write a list under `axes`, [4, 8, 12]"),
        ("4 8 12", "write a list under `axes`, [4, 8, 12]"),
        ("choice(8, 12)", "write a list under `axes`, [8, 12]"),
        ("..", "write a range under `axes`, {start: 3, stop: 9, step: 2}"),
        ("auto", "leave it out for the default"),
        ("ten", "write it in digits"),
        ("9" * 5000 + "..1", "write it in digits"),
        ("1-" + "9" * 5000, "write it in digits"),
        ("range(4,4)", "write it in digits"),
    ],
)
def test_a_number_that_is_written_as_elsewhere_is_translated(
    tmp_path: Path, written: str, way_out: str
) -> None:
    (problem,) = problems_of(write_axes(tmp_path, f"{{steps: ['{written}']}}"))
    assert problem.startswith("steps must be an integer from 1 to 1000, got ")
    assert problem.endswith(f"; {way_out}")


@pytest.mark.parametrize(
    ("written", "way_out"),
    [
        ("1-9 [4]", "write a list under `axes`, [1, 3.67, 6.33, 9]"),
        ("1-2 [5]", "write a range under `axes`, {start: 1, count: 5, step: 0.25}"),
        (
            "range(1,3,0.5)",
            "write a range under `axes`, {start: 1, count: 4, step: 0.5}",
        ),
        ("1.5-7.5", "write a range under `axes`, {start: 1.5, stop: 7.5}"),
    ],
)
def test_a_fraction_that_is_written_as_elsewhere_is_translated(
    tmp_path: Path, written: str, way_out: str
) -> None:
    (problem,) = problems_of(write_axes(tmp_path, f"{{guidance: ['{written}']}}"))
    assert problem.endswith(f"got {written}; {way_out}")


def test_hydras_range_on_the_command_line_is_not_cut_at_its_commas(
    tmp_path: Path,
) -> None:
    with pytest.raises(SpecError) as caught:
        read_spec(write_axes(tmp_path, "{}"), axes=("seed=range(1,10)",))
    (problem,) = caught.value.problems
    assert problem.message.endswith("`axes`, {start: 1, count: 9}")


@pytest.mark.parametrize("written", ["-1", "random", "Rand", "'-1'"])
def test_a_seed_is_never_random(tmp_path: Path, written: str) -> None:
    (problem,) = problems_of(write_axes(tmp_path, f"{{seed: {written}}}"))
    assert problem.endswith(
        "; no seed is drawn at random, so that every image can be made again; write "
        "numbers, such as {start: 0, count: 4} under `axes`"
    )


def test_the_seed_of_a_range_is_never_random(tmp_path: Path) -> None:
    (problem,) = problems_of(write_axes(tmp_path, "{seed: {start: -1, count: 4}}"))
    assert "no seed is drawn at random" in problem


@pytest.mark.parametrize(
    "changes",
    [
        {"base": "{model: 'builtin:shapes', prompt: a cat, seed: null}"},
        {"axes": "{seed: [~, 3]}"},
        {"axes": "{kind: [{set: {seed: null}}]}"},
        {"include": "[{seed: null}]"},
    ],
)
def test_a_seed_of_null_is_told_to_be_seed_0(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    sections = {
        "name": "x",
        "base": "{model: 'builtin:shapes', prompt: a cat}",
        **changes,
    }
    text = "\n".join(f"{name}: {value}" for name, value in sections.items())
    expansion = read_jobs(write_spec(tmp_path, text), describe_fake)
    (warning,) = expansion.warnings
    assert warning.partition(": ")[2] == (
        "`seed: null` is seed 0 here, since no seed is drawn at random; write numbers, "
        "such as {start: 0, count: 4} under `axes`"
    )
