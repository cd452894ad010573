"""Reading a sweep file: every value as it was written, nothing guessed."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from producer.spec.axes import Axis
from producer.spec.parameters import Prompt
from producer.spec.sweepfile import MAX_JOBS, MIN_FREE_BYTES, Spec, read_spec
from tests.unit.cards import write_axes, write_spec


def read_axis(folder: Path, name: str, yaml: str) -> Axis:
    spec = read_spec(write_axes(folder, f"\n  {name}: {yaml}"))
    return spec.axes[0]


def values_of(axis: Axis) -> list[Any]:
    return [value.sets[axis.name] for value in axis.values]


def texts_of(axis: Axis) -> list[str]:
    return [prompt.text for prompt in values_of(axis)]


def read_base(folder: Path, yaml: str) -> Spec:
    text = f"name: s\nbase: {{model: m, prompt: p, {yaml}}}\n"
    return read_spec(write_spec(folder, text))


@pytest.mark.parametrize(
    ("parameter", "written", "value"),
    [
        ("prompt", "no", Prompt("no")),
        ("prompt", "1:30", Prompt("1:30")),
        ("prompt", '"  a cat\\n"', Prompt("a cat")),
        ("prompt", '""', Prompt("")),
        ("negative_prompt", "'null'", "null"),
        ("negative_prompt", "nil", "nil"),
        ("negative_prompt", "'{a|b}'", "{a|b}"),
        ("guidance", "1e-3", 0.001),
        ("guidance", "7", 7.0),
        ("guidance", ".5", 0.5),
        ("guidance", '"7.5"', 7.5),
        ("seed", "9223372036854775807", 2**63 - 1),
        ("seed", "007", 7),
        ("tag", "2024-01-01", "2024-01-01"),
        ("strict", "true", True),
        ("dtype", "bfloat16", "bfloat16"),
    ],
)
def test_the_parameter_decides_what_its_text_means(
    tmp_path: Path, parameter: str, written: str, value: object
) -> None:
    text = f"name: s\nbase:\n  model: m\n  {parameter}: {written}\n"
    rest = "" if parameter == "prompt" else "  prompt: p\n"

    spec = read_spec(write_spec(tmp_path, text + rest))

    assert spec.base[parameter] == value
    assert type(spec.base[parameter]) is type(value)


@pytest.mark.parametrize(
    ("parameter", "written", "values"),
    [
        ("steps", "20", [20]),
        ("steps", "[8, 12, 8]", [8, 12, 8]),
        ("seed", "{start: 5, count: 3}", [5, 6, 7]),
        ("seed", "{start: 0, count: 3, step: 10}", [0, 10, 20]),
        ("seed", "[1, {start: 8, count: 2}]", [1, 8, 9]),
        ("steps", "{start: 8, stop: 20, step: 4}", [8, 12, 16, 20]),
        ("steps", "{start: 8, stop: 19, step: 4}", [8, 12, 16]),
        ("steps", "{start: 3, stop: 1, step: -1}", [3, 2, 1]),
        ("steps", "{start: 3, stop: 3}", [3]),
        ("guidance", "{start: 3, stop: 9, step: 2}", [3.0, 5.0, 7.0, 9.0]),
        ("guidance", "{start: 0.1, stop: 0.4, step: 0.1}", [0.1, 0.2, 0.3, 0.4]),
        ("guidance", "{start: 1, stop: 1e1, step: 4.5}", [1.0, 5.5, 10.0]),
        ("strict", "[true, false]", [True, False]),
        ("dtype", "[float16, float32]", ["float16", "float32"]),
    ],
)
def test_an_axis_lists_its_values_in_the_order_written(
    tmp_path: Path, parameter: str, written: str, values: list[Any]
) -> None:
    assert values_of(read_axis(tmp_path, parameter, written)) == values


def test_the_choices_of_a_prompt_are_all_combined(tmp_path: Path) -> None:
    axis = read_axis(tmp_path, "prompt", '"a {cat|dog} in {fog|snow}"')

    template = "a {cat|dog} in {fog|snow}"
    assert values_of(axis) == [
        Prompt("a cat in fog", template, ("cat", "fog")),
        Prompt("a cat in snow", template, ("cat", "snow")),
        Prompt("a dog in fog", template, ("dog", "fog")),
        Prompt("a dog in snow", template, ("dog", "snow")),
    ]


@pytest.mark.parametrize(
    ("written", "texts"),
    [
        ("a {red |}cat", ["a red cat", "a cat"]),
        ("a {{cat}}", ["a {cat}"]),
        ("{{{a|b}}}", ["{a}", "{b}"]),
        ("(cat:1.2) [dog]", ["(cat:1.2) [dog]"]),
    ],
)
def test_braces_in_a_prompt(tmp_path: Path, written: str, texts: list[str]) -> None:
    assert texts_of(read_axis(tmp_path, "prompt", f'"{written}"')) == texts


def test_a_prompt_file_has_one_prompt_a_line(tmp_path: Path) -> None:
    text = "\ufeff# animals\na {cat|dog}\r\n\n  a bird  \n"
    (tmp_path / "p.txt").write_bytes(text.encode())

    axis = read_axis(tmp_path, "prompt", "[a fish, {file: p.txt}]")

    assert texts_of(axis) == ["a fish", "a cat", "a dog", "a bird"]


def test_a_sample_is_the_same_always_and_in_the_order_of_the_file(
    tmp_path: Path,
) -> None:
    lines = [f"prompt {number:03}" for number in range(100)]
    (tmp_path / "p.txt").write_text("\n".join(lines), encoding="utf-8")

    first = texts_of(read_axis(tmp_path, "prompt", "{file: p.txt, sample: 5}"))
    other = texts_of(
        read_axis(tmp_path, "prompt", "{file: p.txt, sample: 5, sample_seed: 1}")
    )

    assert first == [f"prompt {n}" for n in ("015", "025", "034", "076", "090")]
    assert first == sorted(first)
    assert first != other


def test_a_line_added_to_a_file_changes_at_most_one_of_its_sample(
    tmp_path: Path,
) -> None:
    lines = [f"prompt {number:03}" for number in range(100)]
    file = tmp_path / "p.txt"
    file.write_text("\n".join(lines), encoding="utf-8")
    before = texts_of(read_axis(tmp_path, "prompt", "{file: p.txt, sample: 20}"))
    file.write_text("\n".join(["a new one", *lines]), encoding="utf-8")

    after = texts_of(read_axis(tmp_path, "prompt", "{file: p.txt, sample: 20}"))

    assert len(set(before) - set(after)) <= 1


def test_schedulers_are_known_by_all_their_names(tmp_path: Path) -> None:
    names = "[ddim, 'DPM++ 2M Karras', EulerDiscreteScheduler]"
    axis = read_axis(tmp_path, "scheduler", names)

    schedulers = [value.scheduler for value in values_of(axis)]

    assert [(s.class_name, s.options) for s in schedulers] == [
        ("DDIMScheduler", {}),
        ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
        ("EulerDiscreteScheduler", {}),
    ]


def test_the_options_of_a_scheduler_are_read_as_json_reads_them(
    tmp_path: Path,
) -> None:
    options = "{a: true, b: 3, c: 1e-3, d: yes, e: '3', f: null, g: [0, 1], h: {i: 2}}"
    written = f"{{class: euler, options: {options}, label: mine}}"

    axis = read_axis(tmp_path, "scheduler", written)

    (choice,) = values_of(axis)
    assert choice.scheduler.options == {
        "a": True,
        "b": 3,
        "c": 0.001,
        "d": "yes",
        "e": "3",
        "f": None,
        "g": [0, 1],
        "h": {"i": 2},
    }
    assert axis.values[0].label == "mine"


def test_a_model_may_have_a_revision_and_a_label(tmp_path: Path) -> None:
    axis = read_axis(
        tmp_path, "model", "[a/b, {id: a/c, revision: v1, variant: fp16, label: c}]"
    )

    first, second = values_of(axis)

    assert (first.name, first.revision, first.label) == ("a/b", None, None)
    assert (second.name, second.revision, second.variant) == ("a/c", "v1", "fp16")
    assert axis.values[1].label == "c"


def test_bundles_set_several_parameters_under_any_name(tmp_path: Path) -> None:
    axis = read_axis(
        tmp_path,
        "shape of it",
        "[{label: wide, set: {width: 128, height: 64}}, {set: {width: 64}}]",
    )

    assert axis.parameters == ("width", "height")
    assert [dict(value.sets) for value in axis.values] == [
        {"width": 128, "height": 64},
        {"width": 64},
    ]
    assert [value.label for value in axis.values] == ["wide", None]


def test_a_spec_may_be_json(tmp_path: Path) -> None:
    content = {
        "name": "s",
        "base": {"model": "m", "prompt": "a \N{CAT FACE} / é"},
        "axes": {"guidance": [7.5, 1e-05], "strict": [True]},
    }

    spec = read_spec(write_spec(tmp_path, json.dumps(content, indent=2)))

    assert spec.base["prompt"] == Prompt("a \N{CAT FACE} / é")
    assert values_of(spec.axes[0]) == [7.5, 1e-05]


def test_json_may_be_indented_with_tabs(tmp_path: Path) -> None:
    content = {
        "name": "tabs",
        "base": {"model": "builtin:shapes", "prompt": "a\tb", "steps": 2},
        "axes": {"seed": [1, 2], "guidance": {"start": 1, "stop": 3}},
    }
    plain = read_spec(write_spec(tmp_path, json.dumps(content)))
    for indent in ("\t", "\t \t"):
        file = write_spec(tmp_path, json.dumps(content, indent=indent))
        file.write_text(file.read_text().replace(": ", ":\t"))
        spec = read_spec(file)
        assert spec.base == plain.base
        assert len(spec.axes) == 2


def test_words_that_yaml_has_its_own_use_for_are_texts(tmp_path: Path) -> None:
    spec = read_spec(
        write_spec(
            tmp_path,
            "name: x\nbase: {model: m, negative_prompt: =}\naxes: {prompt: [=, <<]}",
        )
    )
    assert spec.base["negative_prompt"] == "="
    texts = [value.sets["prompt"].text for value in spec.axes[0].values]
    assert texts == ["=", "<<"]


def test_aliases_are_understood(tmp_path: Path) -> None:
    text = (
        "name: s\nbase: {model: m, prompt: &p a cat, negative_prompt: *p}\n"
        "axes: {width: &sizes [64, 128], height: *sizes}\n"
    )

    spec = read_spec(write_spec(tmp_path, text))

    assert spec.base["negative_prompt"] == "a cat"
    assert values_of(spec.axes[1]) == [64, 128]


def test_limits_and_scores(tmp_path: Path) -> None:
    plain = read_base(tmp_path, "seed: 1")
    limited = read_spec(
        write_axes(
            tmp_path,
            "{}",
            rest="limits: {max_jobs: 7, min_free: 1.5 TB}\nscores: [clip, clip]",
        )
    )

    assert (plain.max_jobs, plain.min_free_bytes) == (MAX_JOBS, MIN_FREE_BYTES)
    assert plain.scores == ()
    assert (limited.max_jobs, limited.min_free_bytes) == (7, 1_500_000_000_000)
    assert [each.metric for each in limited.scores] == ["clip"]


def test_the_text_is_kept_as_it_was_written(tmp_path: Path) -> None:
    text = "# mine\nname: s\nbase: {model: m, prompt: p}\n"

    assert read_spec(write_spec(tmp_path, text)).text == text


def test_options_change_the_spec_and_its_text(tmp_path: Path) -> None:
    file = write_axes(tmp_path, "{steps: [4], seed: 1}")

    spec = read_spec(
        file,
        sets=["base.width=128", "name=other", "limits.max_jobs=9", "base.prompt="],
        axes=["steps=8, 12,20", "guidance={start: 1, stop: 2}", "dtype=[float32]"],
    )

    assert (spec.name, spec.base["width"], spec.max_jobs) == ("other", 128, 9)
    assert spec.base["prompt"] == Prompt("")
    assert [axis.name for axis in spec.axes] == ["steps", "seed", "guidance", "dtype"]
    assert values_of(spec.axes[0]) == [8, 12, 20]
    assert values_of(spec.axes[2]) == [1.0, 2.0]
    again = read_spec(write_spec(tmp_path, spec.text))
    assert (again.base, again.name) == (spec.base, spec.name)
    assert list(map(values_of, again.axes)) == list(map(values_of, spec.axes))
    assert spec.text.startswith("# --set base.width=128\n")


def test_a_spec_may_come_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "p.txt").write_text("a bird\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    text = b"name: s\nbase: {model: m}\naxes: {prompt: {file: p.txt}}\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))

    spec = read_spec("-")

    assert texts_of(spec.axes[0]) == ["a bird"]
    assert str(spec.place) == "standard input line 1"


@pytest.mark.parametrize(
    ("axis", "texts"),
    [
        ("prompt=a red circle, on white", ["a red circle, on white"]),
        ("prompt={red|green} circle, on white: x", None),
        ('prompt=["a circle, on white", a star]', ["a circle, on white", "a star"]),
        ("prompt='a, b'", ["a, b"]),
        ("prompt=", [""]),
    ],
)
def test_commas_do_not_split_a_prompt_that_an_option_gives(
    tmp_path: Path, axis: str, texts: list[str] | None
) -> None:
    file = write_axes(tmp_path, "{steps: 8}")

    spec = read_spec(file, axes=[axis])

    (found,) = [one for one in spec.axes if one.name == "prompt"]
    both = [f"{colour} circle, on white: x" for colour in ("red", "green")]
    assert [value.sets["prompt"].text for value in found.values] == (texts or both)
    again = read_spec(write_spec(tmp_path, spec.text))
    assert [value.sets for one in again.axes for value in one.values] == [
        value.sets for one in spec.axes for value in one.values
    ]


def test_an_option_gives_negative_prompts_and_ranges_too(tmp_path: Path) -> None:
    file = write_axes(tmp_path, "{steps: 8}")

    spec = read_spec(
        file, axes=["negative_prompt=blurry, dark", "seed={start: 0, stop: 2}"]
    )

    values = {one.name: [v.sets[one.name] for v in one.values] for one in spec.axes}
    assert values == {
        "steps": [8],
        "negative_prompt": ["blurry, dark"],
        "seed": [0, 1, 2],
    }
