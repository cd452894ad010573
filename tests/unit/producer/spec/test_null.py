"""`null` in a sweep file: a parameter that nothing sets."""

import json
from pathlib import Path
from typing import Any

import pytest

from producer.expansion.expand import Expansion, read_jobs
from producer.spec.parameters import PARAMETERS, REQUIRED
from producer.spec.sweepfile import read_spec
from storage.errors import SpecError
from tests.unit.cards import describe_fake, write_axes, write_spec

BASE = {"model": "builtin:shapes", "prompt": "a cat"}


def read(file: Path, *, axes: tuple[str, ...] = (), **base: str) -> Expansion:
    sets = [f"base.{name}={value}" for name, value in base.items()]
    return read_jobs(file, describe_fake, sets=sets, axes=axes)


def keys(expansion: Expansion) -> list[str]:
    found = [planned.job.key for planned in expansion.jobs()]
    assert len(found) == expansion.count
    return found


def labels(expansion: Expansion) -> list[dict[str, str]]:
    return [dict(planned.cell) for planned in expansion.jobs()]


def jobs_of(folder: Path, axes: str, *, rest: str = "") -> Expansion:
    return read(write_axes(folder, axes, rest=rest))


@pytest.mark.parametrize("parameter", [p for p in PARAMETERS if p not in REQUIRED])
def test_null_in_the_base_is_as_if_the_line_were_left_out(
    tmp_path: Path, parameter: str
) -> None:
    check_null(tmp_path, parameter, "null")


@pytest.mark.parametrize("written", ["~", "Null", "NULL"])
def test_null_has_all_the_forms_of_yaml(tmp_path: Path, written: str) -> None:
    check_null(tmp_path, "seed", written)


def check_null(folder: Path, parameter: str, written: str) -> None:
    plain = keys(jobs_of(folder, "{}"))
    file = write_axes(folder, "{}")
    assert keys(read(file, **{parameter: written})) == plain
    text = file.read_text().replace("a cat}", f"a cat, {parameter}: {written}}}")
    assert keys(read(write_spec(folder, text))) == plain


def test_null_in_json_is_as_if_the_line_were_left_out(tmp_path: Path) -> None:
    nulls: dict[str, Any] = dict.fromkeys(PARAMETERS) | BASE
    sections = ("axes", "exclude", "include", "scores", "limits", "version")
    spec = {"name": "s", "base": nulls, **dict.fromkeys(sections)}
    file = write_spec(tmp_path, json.dumps(spec), name="sweep.json")
    assert keys(read(file)) == keys(jobs_of(tmp_path, "{}"))


def test_null_of_a_model_of_a_limit_or_a_label_is_as_if_it_were_left_out(
    tmp_path: Path,
) -> None:
    spec = read_spec(
        write_spec(
            tmp_path,
            "name: s\n"
            "base: {model: {id: m, revision: null, variant: ~, label: null}}\n"
            "axes: {p: [{label: null, set: {prompt: a}}]}\n"
            "limits: {max_jobs: null, min_free: null}\n",
        )
    )
    model = spec.base["model"]
    assert (model.revision, model.variant, model.label) == (None, None, None)
    (value,) = spec.axes[0].values
    assert value.label is None
    assert spec.max_jobs == 100_000


@pytest.mark.parametrize("quoted", ['"null"', "'~'"])
def test_a_quoted_null_is_text(tmp_path: Path, quoted: str) -> None:
    expansion = jobs_of(tmp_path, f"{{negative_prompt: {quoted}, tag: {quoted}}}")
    (planned,) = expansion.jobs()
    assert planned.job.negative_prompt == planned.job.extras["tag"] == quoted[1:-1]


@pytest.mark.parametrize(
    ("parameter", "default", "other"),
    [
        ("guidance", "2.5", "3"),
        ("steps", "20", "8"),
        ("width", "64", "72"),
        ("dtype", "float32", "bfloat16"),
        ("scheduler", "pndm", "ddim"),
        ("negative_prompt", "", "ugly"),
        ("clip_skip", "0", "1"),
        ("strict", "false", "true"),
        ("tag", "", "again"),
        ("eta", "default", "0.5"),
    ],
)
def test_null_among_the_values_of_an_axis_is_the_default(
    tmp_path: Path, parameter: str, default: str, other: str
) -> None:
    # Whatever the base says.
    scheduler = "scheduler: ddim, " if parameter == "eta" else ""
    base = (
        f"{{model: 'builtin:shapes', prompt: a cat, {scheduler}{parameter}: {other}}}"
    )
    axes = f"{{{parameter}: [null, {other}]}}"
    file = write_spec(tmp_path, f"name: s\nbase: {base}\naxes: {axes}\n")
    first, second = labels(read(file))
    assert (first[parameter], second[parameter]) == (default, other)
    without = base.replace(f", {parameter}: {other}", "")
    plain = write_spec(tmp_path, f"name: s\nbase: {without}\n", name="plain.yaml")
    assert keys(read(file))[:1] == keys(read(plain))


def test_null_and_the_default_written_out_are_one_job(tmp_path: Path) -> None:
    expansion = jobs_of(tmp_path, "{guidance: [null, 2.5], clip_skip: [0, null]}")
    assert len(keys(expansion)) == 1
    where = "give the same jobs (sweep.yaml line 3, sweep.yaml line 3)"
    assert expansion.duplicates == (
        f"guidance: null and 2.5 {where}",
        f"clip_skip: 0 and null {where}",
    )


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ("tag: [null, '']", 'tag: null and ""'),
        ("negative_prompt: ['', ~]", 'negative_prompt: "" and null'),
        ("scheduler: [null, pndm]", "scheduler: null and pndm"),
        (
            "kind: [{set: {steps: 8, tag: null}}, {set: {steps: 8, tag: ''}}]",
            'kind: steps=8, tag=null and steps=8, tag=""',
        ),
        (
            "kind: [{set: {strict: null}}, {label: plain, set: {strict: false}}]",
            "kind: strict=null and plain",
        ),
    ],
)
def test_values_that_are_one_job_are_named_as_they_are_written(
    tmp_path: Path, axes: str, said: str
) -> None:
    expansion = jobs_of(tmp_path, f"{{{axes}}}")
    where = "give the same jobs (sweep.yaml line 3, sweep.yaml line 3)"
    assert expansion.duplicates == (f"{said} {where}",)


def test_many_values_that_repeat_others_are_counted(tmp_path: Path) -> None:
    seeds = "{start: 0, count: 3000}"
    expansion = jobs_of(tmp_path, f"\n  seed:\n    - {seeds}\n    - {seeds}")
    where = "(sweep.yaml line 5, sweep.yaml line 6)"
    assert expansion.count == 3000
    assert expansion.duplicates == (
        f"seed: two values give the same jobs (3,000 times): 0 and 0 {where}; "
        f"1 and 1 {where}; 2 and 2 {where}; and so on",
    )


def test_null_stands_beside_all_schedulers(tmp_path: Path) -> None:
    both = jobs_of(tmp_path, "{scheduler: [null, all]}")
    assert sorted(keys(both)) == sorted(keys(jobs_of(tmp_path, "{scheduler: all}")))
    assert labels(both)[0]["scheduler"] == "pndm"


def test_null_in_a_bundle_is_the_default_whatever_the_base_says(
    tmp_path: Path,
) -> None:
    bundles = "[{label: a, set: {guidance: null}}, {label: b, set: {steps: 8}}]"
    file = write_axes(tmp_path, f"{{kind: {bundles}}}")
    jobs = [planned.job for planned in read(file, guidance="3").jobs()]
    assert [(job.guidance, job.steps) for job in jobs] == [(2.5, 20), (3.0, 8)]


def test_null_in_exclude_and_include_names_the_default(tmp_path: Path) -> None:
    axes = "{guidance: [2.5, 3], negative_prompt: ['', ugly]}"
    rest = "exclude: [{guidance: null, negative_prompt: [null]}]"
    left = labels(jobs_of(tmp_path, axes, rest=rest))
    assert {"guidance": "2.5", "negative_prompt": ""} not in left
    assert len(left) == 3
    rest = "include: [{guidance: null, tag: null}]"
    added = labels(jobs_of(tmp_path, "{guidance: [3, 4]}", rest=rest))
    assert [cell["guidance"] for cell in added] == ["3", "4", "2.5"]


def test_null_is_an_option_of_a_scheduler_where_it_means_something(
    tmp_path: Path,
) -> None:
    for null in ("null", "~"):
        written = f"{{class: euler, options: {{a: {null}, b: 'null'}}}}"
        spec = read_spec(write_axes(tmp_path, f"{{scheduler: [{written}]}}"))
        (value,) = spec.axes[0].values
        assert value.sets["scheduler"].scheduler.options == {"a": None, "b": "null"}


@pytest.mark.parametrize("axis", ["negative_prompt=null", "tag=null", "guidance= ~ "])
def test_null_on_the_command_line_is_the_default(tmp_path: Path, axis: str) -> None:
    file = write_axes(tmp_path, "{}")
    assert keys(read(file, axes=(axis,))) == keys(read(file))
    name = axis.partition("=")[0]
    other = {"guidance": "3"}.get(name, "other")
    assert len(keys(read(file, axes=(f"{name}=[{other}]", f"{name}+=null")))) == 2


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: s\nbase:\n  model: m\n  prompt: null\n", 4),
        ("name: s\nbase:\n  prompt: a\n  model: ~\n", 4),
        ("name: s\nbase: {model: m}\naxes:\n  prompt: [a, null]\n", 4),
        ("name: s\nbase: {model: m, prompt: a}\nexclude: [{prompt: null}]\n", 3),
    ],
)
def test_null_is_refused_where_there_is_no_default(
    tmp_path: Path, text: str, line: int
) -> None:
    with pytest.raises(SpecError) as caught:
        read_spec(write_spec(tmp_path, text))
    (problem,) = caught.value.problems
    assert problem.where == f"sweep.yaml line {line}"
    assert problem.message.endswith(
        "must have a value, got null, and has no default; write one, or put quotes "
        "around a text"
    )


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        (
            "paper=[{label: a, set: null}]",
            "a bundle of the axis paper must set at least one parameter, got nothing; "
            "name it under `set`",
        ),
        (
            "steps={set: ~}",
            "a bundle of the axis steps must set steps, got nothing; name it under "
            "`set`",
        ),
        (
            "prompt={file: null}",
            "file must have a value, got null; write the path of a prompt file",
        ),
        (
            "prompt={file: ~, sample: 3}",
            "file must have a value, got null; write the path of a prompt file",
        ),
    ],
)
def test_null_is_told_where_only_the_key_says_what_a_value_is(
    tmp_path: Path, axis: str, message: str
) -> None:
    name, _, value = axis.partition("=")
    options: tuple[str, ...]
    for written, options in ((f"{{{name}: {value}}}", ()), ("{}", (axis,))):
        with pytest.raises(SpecError) as caught:
            read_spec(write_axes(tmp_path, written), axes=options)
        assert [each.message for each in caught.value.problems] == [message]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: null\nbase: {model: m, prompt: p}\n", "a sweep must have a name, got"),
        ("name: s\nbase: null\n", "a sweep must have a model, got none"),
        ("name: s\nbase: {model: {id: null}, prompt: p}\n", "a model must have an id"),
        (
            "name: s\nbase: {model: m, prompt: p}\naxes: {seed: {start: null}}\n",
            "a range of seed must have start",
        ),
        (
            "name: s\nbase: {model: m, prompt: p, tag: }\n",
            "tag must have a value, got nothing",
        ),
    ],
)
def test_null_and_nothing_are_told_where_a_value_must_be(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        read_spec(write_spec(tmp_path, text))
