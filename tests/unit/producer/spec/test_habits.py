"""Words of other programs: each is answered with how the same is written here."""

from pathlib import Path

import pytest

from producer.expansion.expand import read_jobs
from producer.spec.habits import ADVICE, ELSEWHERE, NOTES
from producer.spec.parameters import PARAMETERS
from producer.spec.sweepfile import read_spec
from storage.catalogue.pipeline_calls import all_parameters
from storage.errors import SpecError
from tests.unit.cards import describe_fake, write_axes, write_spec


def problems_of(file: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read_spec(file)
    return [problem.message for problem in caught.value.problems]


#: A value of a parameter whose values are not such numbers as 3.
WORDS = {
    "scheduler": "ddim",
    "dtype": "float16",
    "generator": "cpu",
    "quantize": "int8",
    "cache": "mag",
    **{
        name: {
            "flag": "true",
            "integers": f"[{', '.join(['1'] * (one.length or 1))}]",
            "number": "1",
        }.get(one.kind, "3")
        for name, one in all_parameters().items()
    },
}


@pytest.mark.parametrize("word", ELSEWHERE)
def test_another_programs_word_for_a_parameter_is_translated(
    tmp_path: Path, word: str
) -> None:
    here = ELSEWHERE[word]
    if here not in PARAMETERS:
        return
    value = WORDS.get(here, "3")
    spec = f"name: x\nbase: {{model: m, prompt: p, {word}: {value}}}"
    if here in ("model", "prompt"):
        spec = spec.replace(f"{here}: {here[0]}, ", "")
    assert problems_of(write_spec(tmp_path, spec)) == [
        f"`base` has no key `{word}`; it is called `{here}` here{NOTES.get(here, '')}"
    ]


def test_the_clip_skip_of_an_infotext_is_told_to_count_otherwise(
    tmp_path: Path,
) -> None:
    spec = "name: x\nbase: {model: m, prompt: p, Clip skip: 2}"
    assert problems_of(write_spec(tmp_path, spec)) == [
        "`base` has no key `Clip skip`; it is called `clip_skip` here, and A1111's 2 "
        "is `clip_skip: 1`"
    ]


def test_mistakes_under_another_programs_word_are_told_at_once(tmp_path: Path) -> None:
    spec = (
        "name: x\nbase: {model: m, prompt: p, cfg: high}\n"
        "parameters: {num_steps: [4, x], widht: [y]}"
    )
    assert [
        each.partition(", got ")[0] for each in problems_of(write_spec(tmp_path, spec))
    ] == [
        "`base` has no key `cfg`; it is called `guidance` here",
        "guidance must be a number from 0 to 100",
        "a sweep file has no key `parameters`; it is called `axes` here",
        "an axis must be named for a parameter",
        "steps must be an integer from 1 to 1000",
        "an axis must be named for a parameter",
    ]


@pytest.mark.parametrize(
    ("key", "value", "way_out"),
    [
        ("sampler_name", "dpmpp_2m", "write both as one, dpmpp_2m_karras"),
        ("sampler_name", "dpmpp_2m_sde_gpu", "write both as one, dpmpp_2m_sde_karras"),
        ("sampler", "res", "write both as one, such as dpmpp_2m_karras"),
        ("sampler", "[ddim]", "write both as one name, such as dpmpp_2m_karras"),
        ("Scheduler", "ddim", "write both as one, such as dpmpp_2m_karras"),
    ],
)
def test_a_sampler_beside_a_schedule_is_told_to_be_one_name_with_it(
    tmp_path: Path, key: str, value: str, way_out: str
) -> None:
    base = f"{{model: m, prompt: p, {key}: {value}, scheduler: karras}}"
    assert problems_of(write_spec(tmp_path, f"name: x\nbase: {base}")) == [
        f"`base` has no key `{key}`; {way_out}",
        "scheduler must be a name of the catalogue, got 'karras'; a schedule is part "
        "of a scheduler's name: write one such as dpmpp_2m_karras; `nightsweep "
        "schedulers` lists all",
    ]


def test_an_axis_of_samplers_beside_one_of_schedules_is_told_the_same(
    tmp_path: Path,
) -> None:
    axes = "{sampler_name: [euler, ddim], scheduler: [normal]}"
    first, second = problems_of(write_axes(tmp_path, axes))
    assert "`sampler_name`; write both as one name, such as dpmpp_2m_karras (" in first
    assert (
        "; a plain schedule has no word: use a name alone, such as dpmpp_2m" in second
    )


def test_a_word_beside_the_parameter_that_it_stands_for_is_told_to_be_double(
    tmp_path: Path,
) -> None:
    spec = "name: x\nbase: {model: m, prompt: p, steps: 4, num_steps: 5}"
    assert problems_of(write_spec(tmp_path, spec)) == [
        "`base` has no key `num_steps`; it is called `steps` here, which is there "
        "already; remove one of the two"
    ]


@pytest.mark.parametrize(
    ("written", "way_out"),
    [
        (
            "{sampler: dpmpp_2m, scheduler: karras}",
            "write both as one, dpmpp_2m_karras",
        ),
        (
            "{sampler_name: euler, scheduler: simple}",
            "its plain schedule has no word of its own: write euler",
        ),
        ("{sampler: ddim}", "write ddim"),
        ("'ddim, euler'", "write a list under `axes`, [ddim, euler]"),
        ("'choice(ddim,euler)'", "write a list under `axes`, [ddim, euler]"),
        ("{values: [ddim, euler]}", "write a list under `axes`, [ddim, euler]"),
        ("{value: ddim}", "write the value itself, ddim"),
    ],
)
def test_a_scheduler_that_is_written_as_elsewhere_is_translated(
    tmp_path: Path, written: str, way_out: str
) -> None:
    (problem,) = problems_of(write_axes(tmp_path, f"{{scheduler: [{written}]}}"))
    assert problem.startswith("scheduler must be ")
    assert problem.endswith(f"; {way_out}")


@pytest.mark.parametrize(
    ("axis", "way_out"),
    [
        ("guidance: {min: 1, max: 9}", "a range under `axes`, {start: 1, stop: 9}"),
        ("seed: {from: 0, to: 3}", "a range under `axes`, {start: 0, stop: 3}"),
        (
            "eta: {distribution: q_uniform, min: 0, max: 1, q: 0.5}",
            "a range under `axes`, {start: 0, stop: 1, step: 0.5}",
        ),
        (
            "guidance: {start: 1, stop: 9, count: 5}",
            "a range under `axes`, {start: 1, count: 5, step: 2}",
        ),
        (
            "steps: {start: 1, stop: 10, num: 5}",
            "a list under `axes`, [1, 3, 5, 7, 10]",
        ),
        ("steps: {min: 1}", "{start: 0, stop: 8, step: 2} or {start: 0, count: 4}"),
        (
            "steps: {min: a, max: b}",
            "{start: 0, stop: 8, step: 2} or {start: 0, count: 4}",
        ),
    ],
)
def test_a_range_with_other_programs_keys_is_told_once_and_in_its_own_numbers(
    tmp_path: Path, axis: str, way_out: str
) -> None:
    (problem,) = problems_of(write_axes(tmp_path, f"{{{axis}}}"))
    assert " must have start, and either stop or count, got " in problem
    assert problem.endswith(f"; write {way_out}")


@pytest.mark.parametrize(
    ("axis", "way_out"),
    [
        ("dtype: {values: [float16]}", "write a list under `axes`, [float16]"),
        ("model: {value: ./model}", "write the value itself, ./model"),
        ("prompt: {values: ['a, b', c]}", "write the list itself under `axes`"),
    ],
)
def test_a_value_that_w_and_b_wraps_is_told_to_stand_alone(
    tmp_path: Path, axis: str, way_out: str
) -> None:
    (problem,) = problems_of(write_axes(tmp_path, f"{{{axis}}}"))
    assert " must be a value or a list of values, got a mapping with `value" in problem
    assert problem.endswith(f"; {way_out}")


@pytest.mark.parametrize(
    ("axis", "way_out"),
    [
        ("generator: random", "write numbers under `seed` for other noise"),
        ("generator: GPU", "did you mean `cuda`?"),
        ("dtype: half", "did you mean `float16`?"),
        ("dtype: torch.bfloat16x", "did you mean `bfloat16`?"),
        ("dtype: 'float16, float32'", "write a list under `axes`, [float16, float32]"),
    ],
)
def test_another_word_for_a_choice_is_translated(
    tmp_path: Path, axis: str, way_out: str
) -> None:
    (problem,) = problems_of(write_axes(tmp_path, f"{{{axis}}}"))
    assert problem.endswith(f"; {way_out}")


@pytest.mark.parametrize(
    "name", ["Prompt S/R", "Styles", "Model hash", "guidance_start", "height x width"]
)
def test_an_axis_of_another_program_is_never_taken_for_one_that_is_spelt_like_it(
    tmp_path: Path, name: str
) -> None:
    (problem,) = problems_of(write_axes(tmp_path, f"{{{name}: [a, b]}}"))
    assert f"an axis must be named for a parameter, got `{name}`; " in problem
    assert "did you mean" not in problem


@pytest.mark.parametrize(
    "text",
    [
        '{"3": {"class_type": "KSampler", "inputs": {"seed": 1}}}',
        '{"last_node_id": 9, "nodes": [], "links": []}',
    ],
)
def test_a_workflow_of_comfyui_is_named(tmp_path: Path, text: str) -> None:
    (problem,) = problems_of(write_spec(tmp_path, text))
    assert "got a workflow of ComfyUI; start from" in problem


@pytest.mark.parametrize("word", ["CFG Scale", "num-inference-steps", "Noise seed"])
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
        "`base` has no key `10`; several values go in brackets, such as [8, 12, 20]"
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
        "steps must be a value or a list of values, got a mapping with `values`; write "
        "a list under `axes`, [10, 20]",
    ]


def test_a_sweep_of_hydra_is_told_where_its_params_go(tmp_path: Path) -> None:
    spec = "name: x\nbase: {model: m, prompt: p}\nhydra: {sweeper: {params: {eta: 1}}}"
    (problem,) = problems_of(write_spec(tmp_path, spec))
    assert problem.endswith(
        "`hydra`; write what its `sweeper.params` sweeps under `axes`"
    )
    spec = "name: x\nhydra.sweeper.params: {model: m, prompt: p}\n"
    assert problems_of(write_spec(tmp_path, spec)) == [
        "a sweep file has no key `hydra.sweeper.params`; it is called `axes` here"
    ]


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
    assert problem.message.endswith("write `--axis 'seed={start: 1, count: 9}'`")


@pytest.mark.parametrize("written", ["-1", "random", "Rand", "'-1'"])
def test_a_random_seed_is_told_to_be_drawn(tmp_path: Path, written: str) -> None:
    (problem,) = problems_of(write_axes(tmp_path, f"{{seed: {written}}}"))
    assert problem.endswith(
        "; seeds are drawn before any image is made; write {random: 4} under `axes`"
    )


def test_the_random_seed_of_a_range_is_told_to_be_drawn(tmp_path: Path) -> None:
    (problem,) = problems_of(write_axes(tmp_path, "{seed: {start: -1, count: 4}}"))
    assert problem.endswith("; write {random: 4} under `axes`")


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
        "`seed: null` is seed 0 here, and no seed is drawn; write {random: 4} under "
        "`axes`"
    )
