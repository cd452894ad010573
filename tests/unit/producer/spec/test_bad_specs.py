"""What a wrong sweep file is told: rule, value, way out, all at once."""

from dataclasses import replace
from pathlib import Path

import pytest

from producer.expansion.expand import read_jobs
from producer.models.cards import ModelCard
from producer.spec.sweepfile import read_spec
from storage.errors import MOST_PROBLEMS, SpecError
from tests.unit import cards
from tests.unit.cards import describe_fake, write_axes, write_spec

TEN_MISTAKES = """\
name: ../elsewhere
base:
  model: builtin:shapes
  widht: 512
  strict: yes
axes:
  prompt: "a {cat|dog in fog"
  seed: [8, 1:30]
  scheduler: [ddim, dpmpp_2n]
  stpes: [8, 12]
exclude: [{sede: 8}]
scores: [clpi]
limits: {max_jobs: lots}
"""


def problems_of(file: Path, *, sets: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read_spec(file, sets=sets)
    return [str(problem) for problem in caught.value.problems]


def test_ten_mistakes_give_ten_messages_in_the_order_of_their_lines(
    tmp_path: Path,
) -> None:
    problems = problems_of(write_spec(tmp_path, TEN_MISTAKES))

    assert problems == [
        "sweep.yaml line 1: name must be 1 to 64 letters, digits, dots, hyphens or "
        "underscores and start with a letter or digit, got ../elsewhere; it is a "
        "name, not a path",
        "sweep.yaml line 4: `base` has no key `widht`; did you mean `width`?",
        "sweep.yaml line 5: strict must be true or false, got yes; write one of the "
        "two",
        "sweep.yaml line 7: a `{` is not closed, got a {cat|dog in fog; write `}` "
        "after the choices, or {{ for a plain brace",
        "sweep.yaml line 8: seed must be an integer from 0 to 9223372036854775807, "
        "got 1:30; write a range under `axes`, {start: 1, stop: 30}",
        "sweep.yaml line 9: scheduler must be a name of the catalogue, got "
        "'dpmpp_2n'; did you mean dpmpp_2s, dpmpp_2m or dpmpp_2m_lu? `nightsweep "
        "schedulers` lists all",
        "sweep.yaml line 10: an axis must be named for a parameter, got `stpes`; did "
        "you mean `steps`? (only an axis of `{label, set}` bundles may have any name)",
        "sweep.yaml line 11: an entry of exclude has no key `sede`; did you mean "
        "`seed`?",
        "sweep.yaml line 12: a score must be a metric, or a class as package:Class, "
        "got clpi; did you mean `clip`?",
        "sweep.yaml line 13: max_jobs must be an integer from 1 to 10000000, got "
        "lots; write it in digits",
    ]


def test_what_only_the_model_can_tell_is_told_with_the_rest(tmp_path: Path) -> None:
    file = write_spec(
        tmp_path,
        "name: s\n"
        "base: {model: 'builtin:shapes', prompt: a}\n"
        "axes:\n"
        "  steps: [0]\n"
        "  width: [64, 515]\n"
        "  scheduler:\n"
        "    - {class: ddim, options: {use_karras_sigmas: true}}\n"
        "    - flow_euler\n"
        "    - {class: dpmpp_2m, options: {solver_order: 4}}\n",
    )

    with pytest.raises(SpecError) as caught:
        read_jobs(file, describe_fake)

    assert str(caught.value).splitlines() == [
        "sweep.yaml line 4: steps must be an integer from 1 to 1000, got 0; choose one "
        "in that range",
        "sweep.yaml line 5: `width` has to be divisible by 8 but is 515; use 512 or "
        "520",
        "sweep.yaml line 7: DDIMScheduler has no option `use_karras_sigmas` and would "
        "ignore it, got true; leave it out",
        "sweep.yaml line 8: FlowMatchEulerDiscreteScheduler is for flow-matching "
        "models, and this one is not; use euler, heun or dpmpp_2m",
        "sweep.yaml line 9: `solver_order` of DPMSolverMultistepScheduler must be a "
        "whole number from 1 to 3, got 4",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            "sweep.yaml: a sweep file must be a mapping with name, base and axes, got "
            "an empty file; start from examples/first-sweep.yaml",
        ),
        (
            "# only a comment\n",
            "sweep.yaml: a sweep file must be a mapping with name, base and axes, got "
            "an empty file; start from examples/first-sweep.yaml",
        ),
        (
            "- a\n- b\n",
            "sweep.yaml: a sweep file must be a mapping with name, base and axes, got "
            "a list; start from examples/first-sweep.yaml",
        ),
        (
            "name: x\nbase:\n\tmodel: m\n",
            "sweep.yaml line 3: YAML is indented with spaces, got a tab; replace tabs "
            "by spaces",
        ),
        (
            "name: a: b\n",
            "sweep.yaml line 1: the file must be valid YAML, got an error (mapping "
            "values are not allowed here); check the indentation, and put quotes "
            "around a text that holds one of the characters : # { [ * & @ %",
        ),
        (
            'name: "x\n',
            "sweep.yaml line 2: a text in quotes must end, got the end of the file; "
            "close the quotes",
        ),
        (
            "name: x\n---\nname: y\n",
            "sweep.yaml line 2: a sweep file must hold one YAML document, got more; "
            "split the file",
        ),
        (
            "name: x\nname: y\n",
            "sweep.yaml line 2: a key must appear once, got `name` again (first on "
            "line 1); remove one of the two",
        ),
        (
            "name: !!python/name:os.system x\n",
            "sweep.yaml line 1: a sweep file must be plain YAML, got the tag "
            "!!python/name:os.system; remove it, or put quotes around a text that "
            "starts with !",
        ),
        (
            "name: !wow a cat\n",
            "sweep.yaml line 1: a sweep file must be plain YAML, got the tag !wow; "
            "remove it, or put quotes around a text that starts with !",
        ),
        (
            "name: x\nbase: {<<: {steps: 4}, model: m}\n",
            "sweep.yaml line 2: mappings are not merged by `<<` here; write out what "
            "it would add",
        ),
        (
            "name: &a [*a]\n",
            "sweep.yaml line 1: an alias must not stand inside itself; write the value "
            "out",
        ),
        (
            "a\0b",
            "sweep.yaml: a sweep file must be printable text, got character 0x00 "
            "(special characters are not allowed); save it as plain text",
        ),
        (
            "name: " + "[" * 5000,
            "sweep.yaml line 1: a sweep file must be nested at most 20 levels deep, "
            "got more; write the value with fewer brackets",
        ),
        (
            'name: "\\ud83d"\n',
            "sweep.yaml line 1: a text must be valid Unicode, got half a surrogate "
            "pair",
        ),
        (
            'name: "\\0"\n',
            "sweep.yaml line 1: a text must not hold the character NUL",
        ),
        (
            "{[a]: 1}\n",
            "sweep.yaml line 1: a key must be a single word, got a list or a mapping; "
            "put quotes around a text that starts with { or [",
        ),
    ],
)
def test_a_file_that_is_no_spec_gets_one_sentence(
    tmp_path: Path, text: str, message: str
) -> None:
    assert problems_of(write_spec(tmp_path, text)) == [message]


def test_aliases_that_stand_for_too_much_are_refused_where_they_do(
    tmp_path: Path,
) -> None:
    text = "name: s\nbase: {model: m, prompt: p}\naxes:\n  scheduler:\n"
    text += "  - class: DDIMScheduler\n    options:\n      a0: &a0 [x, x, x, x, x, x]\n"
    for number in range(9):
        again = ", ".join([f"*a{number}"] * 6)
        text += f"      a{number + 1}: &a{number + 1} [{again}]\n"

    assert problems_of(write_spec(tmp_path, text)) == [
        "sweep.yaml line 13: aliases must stand for at most 100000 values in all, got "
        "more with *a5; use fewer, or write the values out"
    ]


def test_aliases_are_no_way_around_the_depth_of_a_file(tmp_path: Path) -> None:
    text = "name: s\nbase: {model: m, prompt: p}\naxes:\n  scheduler:\n"
    text += "  - class: DDIMScheduler\n    options:\n      a0: &a0 [x]\n"
    for number in range(500):
        text += f"      a{number + 1}: &a{number + 1} [*a{number}]\n"

    assert problems_of(write_spec(tmp_path, text)) == [
        "sweep.yaml line 21: a sweep file must be nested at most 20 levels deep, got "
        "more; write the value with fewer brackets"
    ]


@pytest.mark.parametrize("is_json", [False, True])
def test_a_value_that_is_nested_deep_is_refused(
    tmp_path: Path, *, is_json: bool
) -> None:
    value = "[" * 150 + "1" + "]" * 150
    file = write_axes(tmp_path, f"{{steps: {value}}}")
    if is_json:
        file = write_spec(tmp_path, f'{{"name": "s",\n\n"axes": {{"steps": {value}}}}}')

    assert problems_of(file, sets=("base.width=8",)) == [
        "sweep.yaml line 3: a sweep file must be nested at most 20 levels deep, got "
        "more; write the value with fewer brackets"
    ]


def test_an_endless_file_is_refused() -> None:
    assert problems_of(Path("/dev/zero")) == [
        "zero: a sweep file must have at most 16 MB, got more; put prompts into a file "
        "of their own, {file: prompts.txt}"
    ]


def test_enormous_texts_are_refused(tmp_path: Path) -> None:
    file = write_axes(
        tmp_path, f"{{tag: {'a' * 100_001}, prompt: '{'b' * 20_001} {{c|d}}'}}"
    )

    assert problems_of(file) == [
        "sweep.yaml line 3: a text must have at most 100000 characters, got 100001; "
        "shorten it"
    ]
    file = write_axes(tmp_path, f"{{prompt: '{'b' * 19_998} {{c|dd}}'}}")
    assert problems_of(file) == [
        "sweep.yaml line 3: a prompt must have at most 20000 characters, got 20001; "
        "shorten it"
    ]


@pytest.mark.parametrize(
    ("axes", "rest", "message"),
    [
        (
            "{seed: [&all {start: 0, count: 9}, *all]}",
            "",
            "line 3: the axis seed must name at most 10 values (limits.max_jobs), got "
            "more; name fewer or raise the limit",
        ),
        (
            "{prompt: ['{a|b|c} {a|b}', '{c|d|e} {c|d}']}",
            "",
            "line 3: the axis prompt must name at most 10 values (limits.max_jobs), "
            "got more; name fewer or raise the limit",
        ),
        (
            "{steps: 8}",
            "include: [{seed: {start: 0, count: 9}}, {steps: 9, seed: [1, 2]}]\n",
            "line 4: include must name at most 10 values (limits.max_jobs), got more; "
            "name fewer or raise the limit",
        ),
    ],
)
def test_more_values_than_the_limit_are_refused_as_they_are_read(
    tmp_path: Path, axes: str, rest: str, message: str
) -> None:
    file = write_axes(tmp_path, axes, rest=f"{rest}limits: {{max_jobs: 10}}")

    assert problems_of(file) == [f"sweep.yaml {message}"]


def test_an_inclusion_beyond_the_limit_is_refused_before_it_is_multiplied(
    tmp_path: Path,
) -> None:
    many = "{seed: {start: 0, count: 40000}, steps: {start: 1, stop: 1000}}"
    file = write_axes(tmp_path, "{steps: 8}", rest=f"include: [{many}]")

    with pytest.raises(SpecError) as caught:
        read_jobs(file, describe_fake)

    assert str(caught.value) == (
        "sweep.yaml line 4: include must name at most 100000 combinations for a model "
        "(limits.max_jobs), got 40000000 with this entry; name fewer values or raise "
        "the limit"
    )


def test_entries_of_include_are_limited_together(tmp_path: Path) -> None:
    entries = "[{seed: [1, 2, 3], steps: [4, 5]}, {seed: [4, 5]}]"
    limit = "limits: {max_jobs: 7}"
    file = write_axes(tmp_path, "{steps: 8}", rest=f"include: {entries}\n{limit}")

    with pytest.raises(SpecError) as caught:
        read_jobs(file, describe_fake)

    assert str(caught.value) == (
        "sweep.yaml line 4: include must name at most 7 combinations for a model "
        "(limits.max_jobs), got 8 with this entry; name fewer values or raise the limit"
    )


def test_a_missing_file_gets_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "none.yaml"

    assert problems_of(file) == [
        f"none.yaml: a sweep file must be a file that can be read, got {file} (No such "
        "file or directory); check the path"
    ]


def test_a_binary_file_gets_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "picture.yaml"
    file.write_bytes(b"\x89PNG\r\n")

    assert problems_of(file) == [
        "picture.yaml: a sweep file must be UTF-8 text, got byte 0x89 at offset 0; "
        "save it as UTF-8"
    ]


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (
            "{steps: []}",
            "an axis must have at least one value, got an empty list for steps; add "
            "values or remove the axis",
        ),
        (
            "{steps: 8.0}",
            "steps must be an integer from 1 to 1000, got 8.0; write it in digits",
        ),
        (
            "{steps: [[8]]}",
            "steps must be a single value here, got a list; write one value",
        ),
        (
            "{seed: -2}",
            "seed must be an integer from 0 to 9223372036854775807, got -2; choose one "
            "in that range",
        ),
        (
            "{seed: 9223372036854775808}",
            "seed must be an integer from 0 to 9223372036854775807, got "
            "9223372036854775808; choose one in that range",
        ),
        (
            "{seed: }",
            'seed must have a value, got nothing; write one, or "" for no text',
        ),
        (
            "{seed: {start: 0, count: 1000000000}}",
            "a range of seed must have at most 100000 values (limits.max_jobs), got "
            "1000000000; take fewer or raise the limit",
        ),
        (
            "{seed: {start: 0, stop: 4, count: 2}}",
            "a range of seed must have start, and either stop or count, got start, "
            "stop, count; write a range under `axes`, {start: 0, count: 2, step: 4}",
        ),
        (
            "{seed: {start: 0, stop: 4, step: 0.5}}",
            "step of seed must be an integer, got 0.5; round it",
        ),
        (
            "{guidance: {start: 0, stop: 4, step: fast}}",
            "step must be a number, got fast; write it in digits",
        ),
        (
            "{guidance: 101}",
            "guidance must be a number from 0 to 100, got 101; choose one in that "
            "range",
        ),
        (
            "{seed: 0..199}",
            "seed must be an integer from 0 to 9223372036854775807, got 0..199; write "
            "a range under `axes`, {start: 0, stop: 199}",
        ),
        (
            "{guidance: 2.5..7.5}",
            "guidance must be a number from 0 to 100, got 2.5..7.5; write a range "
            "under `axes`, {start: 2.5, stop: 7.5}",
        ),
        (
            "{guidance: .inf}",
            "guidance must be a number from 0 to 100, got .inf; write it in digits",
        ),
        (
            "{guidance: {start: 3, stop: 9, step: -2}}",
            "step of guidance must lead from 3 to 9, got -2; change its sign or its "
            "value",
        ),
        (
            "{dtype: fp16}",
            "dtype must be one of float32, float16 and bfloat16, got fp16; did you "
            "mean `float16`?",
        ),
        (
            "{dtype: int8}",
            "dtype must be one of float32, float16 and bfloat16, got int8; write one "
            "of them",
        ),
        (
            "{backend: jax}",
            "backend must be one of torch and flax, got jax; did you mean `flax`?",
        ),
        (
            f"{{tag: {'x' * 65}}}",
            "tag must have at most 64 characters, got 65; shorten it",
        ),
        (
            "{prompt: {cat|dog}}",
            "a prompt must be a text or {file: prompts.txt}, got a mapping without "
            "`file`; put quotes around a text that starts with a brace, and write "
            "several as a list",
        ),
        (
            "{prompt: {file: ~no-such-user/a.txt}}",
            "a prompt file must be a file that can be read, got ~no-such-user/a.txt "
            "(nobody has that home directory); check the path",
        ),
        (
            "{prompt: {file: none.txt}}",
            "a prompt file must be a file that can be read, got {folder}/none.txt (No "
            "such file or directory); check the path",
        ),
        (
            "{scheduler: {options: {}}}",
            "a scheduler must have a class, got a mapping without `class`; add it",
        ),
        (
            "{model: {revision: main}}",
            "a model must have an id or a file, got a mapping with neither; add one",
        ),
        (
            "{model: {id: a/b, file: x.safetensors}}",
            "a model has no key `id`; known are file, config, revision, prediction, "
            "zero_snr and label",
        ),
        (
            "{model: {file: x.safetensors, variant: fp16}}",
            "a model has no key `variant`; known are file, config, revision, "
            "prediction, zero_snr and label",
        ),
        (
            "{model: {file: x.safetensors, zero_snr: 1}}",
            "zero_snr must be true or false, got 1; change it",
        ),
        (
            "{model: {file: x.safetensors, prediction: v}}",
            "prediction must be epsilon, v_prediction or sample, got 'v'; change it",
        ),
        (
            "{model: {file: x.onnx}}",
            "the file of a model must end in .safetensors or .gguf, got 'x.onnx'; name "
            "such a file, or a folder in diffusers format as `model: FOLDER`",
        ),
        (
            "{size: [{label: a, set: {}}]}",
            "a bundle of the axis size must set at least one parameter, got nothing; "
            "name it under `set`",
        ),
        (
            "{steps: [{label: a, set: {width: 64}}]}",
            "a bundle of the axis steps must set steps, got width; name it under `set`",
        ),
        (
            "{size: [{set: {width: [64, 72]}}]}",
            "width must be one value in a bundle, got a list; move it to `axes`",
        ),
        (
            "{size: [{set: {width: 64}, lable: a}]}",
            "a bundle has no key `lable`; did you mean `label`?",
        ),
        (
            "{size: [{set: {width: 64}, label: a}, {set: {width: 72}, label: a}]}",
            "a label must be used once in an axis, got a again; rename one of the two",
        ),
        (
            "{steps: 8, pair: [{set: {steps: 4, guidance: 1}}]}",
            "a parameter must be set by one axis, got steps in `steps` and in `pair`; "
            "remove it from one",
        ),
        (
            "{size.x: [{set: {width: 64}}]}",
            "the name of an axis must be 1 to 64 letters, digits, blanks, hyphens or "
            "underscores and start with a letter, got size.x; rename it",
        ),
    ],
)
def test_a_wrong_axis_is_told_what_to_change(
    tmp_path: Path, axes: str, message: str
) -> None:
    expected = message.replace("{folder}", str(tmp_path))

    assert problems_of(write_axes(tmp_path, axes)) == [f"sweep.yaml line 3: {expected}"]


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (
            "exclude: [{size: large}]",
            "size must be one of its labels, got large; known are small",
        ),
        (
            "exclude: [{}]",
            "an entry of exclude must name at least one parameter, got none; name one",
        ),
        (
            "exclude: [{steps: 8, guidance: []}]",
            "guidance must have a value in an entry of exclude, got an empty list; "
            "name one, or leave the key out",
        ),
        (
            "include: [{size: []}]",
            "size must have a value in an entry of include, got an empty list; name "
            "one, or leave the key out",
        ),
        (
            "include: [{scheduler: all}]",
            "a scheduler must be named here, got all; write a name such as ddim, or a "
            "pattern such as dpmpp_*",
        ),
        (
            "include: [steps]",
            "an entry of include must be a mapping such as `name: value`, got a single "
            "value",
        ),
        (
            "limits: {min_free: 20}",
            "min_free must be a size such as 20 GB, got 20; add MB or GB",
        ),
        (
            "limits: 5",
            "`limits` must be a mapping such as `name: value`, got a single value",
        ),
        ("version: 2", "version must be 1, got 2; this nightsweep reads no other"),
        ("exlude: []", "a sweep file has no key `exlude`; did you mean `exclude`?"),
    ],
)
def test_a_wrong_section_is_told_what_to_change(
    tmp_path: Path, rest: str, message: str
) -> None:
    file = write_axes(tmp_path, "{size: [{label: small, set: {width: 64}}]}", rest=rest)

    assert problems_of(file) == [f"sweep.yaml line 4: {message}"]


def test_what_any_name_of_an_axis_is_for_is_told_once(tmp_path: Path) -> None:
    file = write_spec(
        tmp_path,
        "name: s\nbase: {model: 'builtin:shapes', prompt: a cat}\n"
        "axes:\n  stpes: [1]\n  sede: [1]\n  stepz: [1]\n",
    )

    said = [line.partition("; ")[2] for line in problems_of(file)]

    assert said == [
        "did you mean `steps`? (only an axis of `{label, set}` bundles may have any "
        "name)",
        "did you mean `seed`?",
        "did you mean `steps`?",
    ]


def test_a_base_that_is_no_mapping_is_told_once(tmp_path: Path) -> None:
    assert problems_of(write_spec(tmp_path, "name: s\nbase: [1]\n")) == [
        "sweep.yaml line 2: `base` must be a mapping such as `name: value`, got a list"
    ]


def test_a_spec_needs_a_name_a_model_and_a_prompt(tmp_path: Path) -> None:
    assert problems_of(write_spec(tmp_path, "base: {seed: 1}\n")) == [
        "sweep.yaml line 1: a sweep must have a model, got none; add `model` to `base` "
        "or to `axes`",
        "sweep.yaml line 1: a sweep must have a name, got none; add a line such as "
        "`name: my-sweep`",
        "sweep.yaml line 1: a sweep must have a prompt, got none; add `prompt` to "
        "`base` or to `axes`",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name: s\nbase: {model: m, promt: p}\n",
            "sweep.yaml line 2: `base` has no key `promt`; did you mean `prompt`?",
        ),
        (
            "name: s\nbsae: {model: m, prompt: p}\n",
            "sweep.yaml line 2: a sweep file has no key `bsae`; did you mean `base`?",
        ),
        (
            "nmae: s\nbase: {model: m, prompt: p}\n",
            "sweep.yaml line 1: a sweep file has no key `nmae`; did you mean `name`?",
        ),
    ],
)
def test_what_a_misspelt_key_leaves_open_is_not_told_as_well(
    tmp_path: Path, text: str, message: str
) -> None:
    assert problems_of(write_spec(tmp_path, text)) == [message]


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("a {red circle", "a `{` is not closed"),
        ("a {red|green circle {x|y}", "a `{` is not closed"),
        ("a red} circle", "a `}` has no `{` before it"),
        ("a {red} circle", "braces in a prompt must hold choices such as {cat|dog}"),
        ("${color}", "braces in a prompt must hold choices such as {cat|dog}, got"),
        ("{{a|b}} {red}", "braces in a prompt must hold choices such as {cat|dog}"),
        ("a {red|{a|b}}", "choices in braces must not be nested, got a {red|"),
        ("{{light|dark} red|blue} circle", "choices in braces must not be nested"),
        ("{a|{b|{c|d}}} {{e}}", "spell them out, {a b|a c|d} for {a {b|c}|d}"),
    ],
)
def test_a_wrong_brace_is_named(tmp_path: Path, prompt: str, says: str) -> None:
    (problem,) = problems_of(write_axes(tmp_path, f"{{prompt: '{prompt}'}}"))

    assert says in problem


def test_inputs_that_the_pipeline_does_not_have_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = replace(cards.CARD, pipeline_class="XPipeline", inputs=frozenset())
    monkeypatch.setattr(cards, "CARDS", {"builtin:shapes": card})
    file = write_axes(tmp_path, "\n  clip_skip: [0, 1]\n  scheduler: [ddim, ddim_eta]")

    with pytest.raises(SpecError) as caught:
        read_jobs(file, describe_fake)

    assert str(caught.value).splitlines() == [
        "sweep.yaml line 4: clip_skip must be 0 for a XPipeline, which has no such "
        "input, got 1; leave it out",
        "sweep.yaml line 5: eta must be 0 for a XPipeline, which has no such input, "
        "got 1; leave it out",
    ]


def test_more_clip_skip_than_the_text_encoder_has_layers_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = replace(cards.CARD, text_layers=4)
    monkeypatch.setattr(cards, "CARDS", {"builtin:shapes": card})
    file = write_axes(tmp_path, "{clip_skip: [0, 4, 5]}")

    with pytest.raises(SpecError) as caught:
        read_jobs(file, describe_fake)

    assert str(caught.value) == (
        "sweep.yaml line 3: clip_skip must be 0 to 4 for a text encoder of 4 layers, "
        "got 5; lower it"
    )


def test_a_bundle_without_the_prompt_that_nothing_else_gives_is_named(
    tmp_path: Path,
) -> None:
    text = (
        "name: s\nbase: {model: m}\naxes:\n  what:\n"
        "    - {label: a, set: {prompt: a cat}}\n    - {label: b, set: {seed: 1}}\n"
    )

    assert problems_of(write_spec(tmp_path, text)) == [
        "sweep.yaml line 6: a sweep must have a prompt, got none; add `prompt` to "
        "`base` or to `axes`"
    ]


def test_several_values_in_base_belong_in_an_axis(tmp_path: Path) -> None:
    text = (
        "name: s\nbase:\n  model: m\n  prompt: 'a {cat|dog}'\n  steps: [8, 12]\n"
        "  scheduler: all\n"
    )

    assert problems_of(write_spec(tmp_path, text)) == [
        "sweep.yaml line 4: prompt must be one value in `base`, got 2 values; move it "
        "to `axes`",
        "sweep.yaml line 5: steps must be one value in `base`, got a list; move it to "
        "`axes`",
        "sweep.yaml line 6: scheduler must be one value in `base`, got all; move it to "
        "`axes`",
    ]


def test_a_wrong_line_of_a_prompt_file_is_named_by_its_own_number(
    tmp_path: Path,
) -> None:
    (tmp_path / "p.txt").write_text("a cat\n\na } dog\n", encoding="utf-8")

    assert problems_of(write_axes(tmp_path, "{prompt: {file: p.txt}}")) == [
        "sweep.yaml line 3: p.txt line 3: a `}` has no `{` before it, got a } dog; "
        "write }} for a plain brace"
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# none\n\n", "a prompt file must hold at least one prompt, got none in {f}; "
         "write one prompt a line"),
        (b"\xff", "a prompt file must be UTF-8 text, got {f}; save it as UTF-8"),
        (b"a\0b", "a prompt file must be text, got the character NUL in {f}; remove "
         "it"),
        (b"a\n" + b"b" * 100_001, "a line of a prompt file must have at most 100000 "
         "characters, got more in {f}; write one prompt a line"),
        (b"}\n" * 1002, "a prompt file must give at most 1000 prompts "
         "(limits.max_jobs), got more from p.txt; shorten it or raise the limit"),
        (b"a\nb\n", "sample must be at most the number of prompts, 2, got 3; lower or "
         "remove it"),
        (b"{0|1|2|3|4} {0|1|2|3|4} {0|1|2|3|4} {0|1|2|3|4} {0|1|2|3|4}",
         "p.txt line 1: a prompt's choices must give at most 1000 prompts "
         "(limits.max_jobs), got 3125; write fewer choices or raise the limit"),
        (b"{0|1|2|3|4} {0|1|2|3|4} {0|1|2|3|4} {0|1|2|3}\n" * 3,
         "a prompt file must give at most 1000 prompts (limits.max_jobs), got more "
         "from p.txt; shorten it or raise the limit"),
    ],
)  # fmt: skip
def test_a_prompt_file_that_cannot_be_used_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "p.txt"
    file.write_bytes(content)
    axes = "{prompt: {file: p.txt, sample: 3}}"

    spec = write_axes(tmp_path, axes, rest="limits: {max_jobs: 1000}")

    expected = message.replace("{f}", str(file))
    assert f"sweep.yaml line 3: {expected}" in problems_of(spec)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("base.widht=8", "`base` has no key `widht`; did you mean `width`?"),
        ("base.width=wide", "width must be an integer from 8 to 16384, got wide; write "
         "it in digits"),
        ("steps=8", "--set must lead into base, axes, limits, sample, got steps; write "
         "`--axis steps=8`"),
        ("width", "--set must be of the form base.width=768, got width; add `=`"),
        ("bsae.width=8", "--set must lead into base, axes, limits, sample, got bsae."
         "width; did you mean `base`?"),
        ("base.prompt={a", "the file must be valid YAML, got an error (expected ',' or "
         "'}', but got '<stream end>'); check the indentation, and put quotes around a "
         "text that holds one of the characters : # { [ * & @ %"),
        ("base.prompt.text=a", "`prompt` must be a mapping, got something else in the "
         "file; fix it"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_named_as_it_was_typed(
    tmp_path: Path, option: str, message: str
) -> None:
    file = write_axes(tmp_path, "{steps: 8}")

    assert problems_of(file, sets=(option,)) == [f"--set {option}: {message}"]


def test_a_sweep_beyond_its_limit_says_how_large_it_is(tmp_path: Path) -> None:
    axes = "{seed: {start: 0, count: 30}, steps: [4, 8]}"
    file = write_axes(tmp_path, axes, rest="limits: {max_jobs: 50}")

    with pytest.raises(SpecError) as caught:
        read_jobs(file, describe_fake)

    assert str(caught.value) == (
        "sweep.yaml line 1: a sweep must have at most 50 jobs (limits.max_jobs), got "
        "60 (30 seed x 2 steps); name fewer values or raise the limit"
    )


@pytest.mark.parametrize("max_jobs", [10, 200_000])
def test_exclude_may_name_more_values_than_there_may_be_jobs(
    tmp_path: Path, max_jobs: int
) -> None:
    entry = "{seed: {start: 3, count: 11}}"
    many = ", ".join([entry] * 2)
    limits = f"limits: {{max_jobs: {max_jobs}}}"
    file = write_axes(
        tmp_path,
        "{seed: {start: 0, count: 9}}",
        rest=f"exclude: [{many}, {{seed: 1}}]\n{limits}",
    )

    assert read_jobs(file, describe_fake).count == 2

    most = max(max_jobs, 100_000)
    entry = f"{{seed: {{start: 0, count: {most}}}}}"
    file = write_axes(tmp_path, "{}", rest=f"exclude: [{entry}, {entry}]\n{limits}")

    assert problems_of(file) == [
        f"sweep.yaml line 4: exclude must name at most {most} values, got more; name "
        "fewer, or leave them out of the axes"
    ]


def test_a_sweep_beyond_its_limit_is_not_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles = ", ".join(f"{{set: {{prompt: p{n}, width: 64}}}}" for n in range(100))
    file = write_axes(
        tmp_path,
        f"{{prompt: [{bundles}]}}",
        rest="limits: {max_jobs: 1000}\ninclude: [{steps: {start: 1, count: 900}}]",
    )
    looked_at: list[object] = []
    check_size = ModelCard.check_size

    def look(card: ModelCard, width: int, height: int) -> list[str]:
        looked_at.append(width)
        return check_size(card, width, height)

    monkeypatch.setattr(ModelCard, "check_size", look)

    with pytest.raises(SpecError, match=r"got 90100 \(100 prompt, 90000 of include\)"):
        read_jobs(file, describe_fake)

    assert looked_at == []


def test_an_entry_that_is_wrong_counts_for_nothing(tmp_path: Path) -> None:
    axes = "{seed: [{start: 0, count: 6}, foo, 1.5]}"

    found = problems_of(write_axes(tmp_path, axes, rest="limits: {max_jobs: 10}"))

    assert [each.partition(", got ")[0] for each in found] == [
        "sweep.yaml line 3: seed must be an integer from 0 to 9223372036854775807"
    ] * 2


def test_an_exclusion_of_everything_is_refused(tmp_path: Path) -> None:
    file = write_axes(tmp_path, "{steps: [4, 8]}", rest="exclude: [{steps: [4, 8]}]")

    with pytest.raises(SpecError) as caught:
        read_jobs(file, describe_fake)

    assert str(caught.value) == (
        "sweep.yaml line 1: a sweep must have a job, got none: `exclude` matches all "
        "of it"
    )


def test_of_very_many_mistakes_the_first_are_told_and_the_others_counted(
    tmp_path: Path,
) -> None:
    file = write_axes(tmp_path, f"{{steps: [{', '.join(['x'] * 3)}]}}")
    file.write_text(file.read_text().replace("x, x, x", "\n".join(["x,"] * 5000)))
    with pytest.raises(SpecError) as caught:
        read_spec(file)
    assert len(caught.value.problems) == 5000
    lines = str(caught.value).splitlines()
    assert len(lines) == MOST_PROBLEMS + 1
    assert lines[-1] == "and 4,950 more mistakes; mend these first"


@pytest.mark.parametrize("prompt", ["caf\udce9", "a\0b"])
def test_a_prompt_of_an_option_that_is_no_text_is_refused(
    tmp_path: Path, prompt: str
) -> None:
    file = write_axes(tmp_path, "{steps: 2}")
    with pytest.raises(SpecError, match=r"a text must (be valid Unicode|not hold the)"):
        read_spec(file, axes=(f"prompt={prompt}",))


def test_a_long_option_is_named_by_its_beginning(tmp_path: Path) -> None:
    file = write_axes(tmp_path, "{steps: 2}")
    with pytest.raises(SpecError) as caught:
        read_spec(file, axes=(f"prompt={'a cat ' * 999} {{",))
    where = "--axis prompt=a cat a cat a cat a cat a cat a cat a cat a ca…"
    assert str(caught.value).startswith(f"{where}: a `{{` is not closed, got a cat ")
    assert len(str(caught.value)) < 300
