"""Spec to jobs: which there are, in which order, each once."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from producer.expansion import cells, points
from producer.expansion.expand import Expansion, expand, read_jobs
from producer.models.tokens import ClipTokens
from producer.spec import axes as axes_module
from producer.spec.sweepfile import read_spec
from storage.catalogue.pipeline_families import Guidance
from storage.errors import ModelError, SpecError
from storage.job import PlannedJob
from tests.unit import cards
from tests.unit.cards import describe_fake, write_axes, write_spec
from tests.unit.tiny_folders import write_tokenizer

EXAMPLES = Path(__file__).parents[4] / "examples"


def expand_axes(folder: Path, axes: str, *, rest: str = "") -> Expansion:
    return expand(read_spec(write_axes(folder, axes, rest=rest)), describe_fake)


def rows_of(expansion: Expansion, *names: str) -> list[tuple[Any, ...]]:
    return [
        tuple(getattr(planned.job, name) for name in names)
        for planned in expansion.jobs()
    ]


def only_job(expansion: Expansion) -> PlannedJob:
    (planned,) = expansion.jobs()
    return planned


def test_a_spec_without_axes_is_one_job_of_defaults(tmp_path: Path) -> None:
    planned = only_job(expand_axes(tmp_path, "{}"))

    job = planned.job
    assert (job.prompt, job.negative_prompt, job.seed) == ("a cat", "", 0)
    assert (job.scheduler_class, job.scheduler_options) == ("PNDMScheduler", {})
    assert (job.steps, job.guidance, job.width, job.height) == (20, 2.5, 64, 64)
    assert (job.dtype, job.generator, job.backend) == ("float32", "cpu", "torch")
    assert job.extras == {}
    assert (planned.position, planned.cell, planned.evaluations) == (0, {}, 21)
    assert (planned.scheduler_name, planned.scheduler_label) == ("pndm", None)


def test_axes_multiply_and_every_job_is_counted_once(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path, "{prompt: ['a {b|c}', d], seed: [1, 2], steps: [4, 8], guidance: 3}"
    )

    keys = {planned.job.key for planned in expansion.jobs()}

    assert expansion.count == len(keys) == 12


def test_one_seed_and_one_prompt_over_every_cell_come_first(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{steps: [4, 8], prompt: [a, b], model: ['builtin:shapes', org/other],"
        " seed: [1, 2], guidance: [3, 5]}",
    )

    rows = [
        (planned.job.model.name[-5:], *row)
        for planned, row in zip(
            expansion.jobs(),
            rows_of(expansion, "seed", "prompt", "steps", "guidance"),
            strict=True,
        )
    ]

    assert rows[:5] == [
        ("hapes", 1, "a", 4, 3.0),
        ("hapes", 1, "a", 4, 5.0),
        ("hapes", 1, "a", 8, 3.0),
        ("hapes", 1, "a", 8, 5.0),
        ("hapes", 1, "b", 4, 3.0),
    ]
    assert [row[0] for row in rows] == ["hapes"] * 16 + ["other"] * 16
    assert [row[1] for row in rows[:16]] == [1] * 8 + [2] * 8
    assert [planned.position for planned in expansion.jobs()] == list(range(32))


def test_a_cell_shows_its_labels_in_the_order_of_the_file(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{steps: 4, prompt: 'a {cat|dog}', guidance: 7.0,"
        " scheduler: [{class: ddim, label: mine}, 'DPM++ 2M Karras'],"
        " size: [{set: {width: 128, height: 64}}]}",
    )

    first, second, *_ = expansion.jobs()

    assert list(first.cell.items()) == [
        ("steps", "4"),
        ("prompt", "a cat"),
        ("guidance", "7"),
        ("scheduler", "mine"),
        ("size", "width=128, height=64"),
        ("prompt.1", "cat"),
    ]
    assert (first.scheduler_label, first.scheduler_name) == ("mine", "ddim")
    assert first.template == "a {cat|dog}"
    assert second.cell["scheduler"] == second.scheduler_name == "dpmpp_2m_karras"


def test_an_axis_goes_before_base(tmp_path: Path) -> None:
    text = (
        "name: s\nbase: {model: 'builtin:shapes', prompt: p, steps: 50}\n"
        "axes: {steps: [4]}\n"
    )

    expansion = read_jobs(write_spec(tmp_path, text), describe_fake)

    assert rows_of(expansion, "steps") == [(4,)]


def test_what_a_bundle_leaves_open_is_as_in_base(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path, "{kind: [{set: {steps: 4, guidance: 1}}, {set: {guidance: 3}}]}"
    )

    assert rows_of(expansion, "steps", "guidance") == [(4, 1.0), (20, 3.0)]


def test_options_that_the_model_has_anyway_are_no_options(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{scheduler: [ddim, {class: ddim, options: {clip_sample: true}, label: c}]}",
    )

    assert rows_of(expansion, "scheduler_options") == [({},), ({"clip_sample": True},)]
    assert expansion.duplicates == ()


def test_values_that_give_one_job_are_named_and_made_once(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{guidance: [7, 7.0, 5],"
        " scheduler: [plms, pndm, {class: ddim, options: {clip_sample: false}}, DDIM]}",
    )

    where = "(sweep.yaml line 3, sweep.yaml line 3)"
    assert expansion.count == 4
    assert expansion.duplicates == (
        f"guidance: 7 and 7 give the same jobs {where}",
        "scheduler: plms and pndm give the same jobs, since the model's own config "
        f"sets `skip_prk_steps: true` {where}",
        "scheduler: ddim and DDIM give the same jobs, since the model's own config "
        f"sets `clip_sample: false` {where}",
    )


def test_a_copy_of_a_model_makes_nothing_again(tmp_path: Path) -> None:
    expansion = expand_axes(tmp_path, "{model: ['builtin:shapes', copy, org/other]}")

    assert expansion.count == 2
    assert expansion.duplicates == (
        "model: builtin:shapes and copy give the same jobs (sweep.yaml line 3, "
        "sweep.yaml line 3)",
    )
    names = [card.model.name for card in expansion.models]
    assert names == ["builtin:shapes", "org/other"]


def test_bundles_of_one_model_share_its_seeds_and_their_copies_are_named(
    tmp_path: Path,
) -> None:
    expansion = expand_axes(
        tmp_path,
        "{kind: [{label: a, set: {model: 'builtin:shapes', steps: 4}},"
        " {label: b, set: {model: org/other}},"
        " {label: c, set: {model: copy, steps: 8}},"
        " {label: d, set: {model: copy, steps: 4}}], seed: [1, 2]}",
        rest="exclude: [{kind: c, seed: 2}]\ninclude: [{kind: c, seed: 9}]",
    )

    rows = [(each.job.seed, each.cell["kind"]) for each in expansion.jobs()]

    assert rows == [(1, "a"), (1, "c"), (2, "a"), (9, "c"), (1, "b"), (2, "b")]
    assert expansion.count == len(rows)
    assert expansion.duplicates == (
        "kind: a and d give the same jobs (sweep.yaml line 3, sweep.yaml line 3)",
    )


def test_all_is_every_scheduler_that_is_not_named_already(tmp_path: Path) -> None:
    expansion = expand_axes(tmp_path, "{scheduler: [euler_karras, plms, all, ddim]}")

    names = [planned.scheduler_name for planned in expansion.jobs()]

    assert names[:2] == ["euler_karras", "pndm"]
    assert names[-1] == "ddim"
    assert {"lms", "euler", "unipc", "dpmpp_sde"} <= set(names)
    assert len(names) == len(set(names))
    assert expansion.duplicates == ()


def test_all_depends_on_the_model(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path, "{model: ['builtin:shapes', org/flow], scheduler: all}"
    )

    names = {
        planned.scheduler_name
        for planned in expansion.jobs()
        if planned.job.model.name == "org/flow"
    }

    assert "flow_euler" in names
    assert "ddim" not in names


def test_exclude_leaves_out_what_matches_every_key(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{steps: [8, 12], guidance: [5, 7, 9]}",
        rest="exclude: [{steps: 8, guidance: [7, 9.0]}, {guidance: 5, steps: 12}]",
    )

    expected = [(8, 5.0), (12, 7.0), (12, 9.0)]
    assert rows_of(expansion, "steps", "guidance") == expected
    assert expansion.count == 3


@pytest.mark.parametrize(
    "entry",
    [
        "{scheduler: fast}",
        "{scheduler: {class: DDIMScheduler, options: {clip_sample: true}}}",
        "{scheduler: [{class: ddim, options: {clip_sample: true}}, lms]}",
    ],
)
def test_exclude_knows_a_scheduler_by_label_or_by_what_it_does(
    tmp_path: Path, entry: str
) -> None:
    expansion = expand_axes(
        tmp_path,
        "{scheduler: [ddim, {class: ddim, options: {clip_sample: true}, label: fast}]}",
        rest=f"exclude: [{entry}]",
    )

    assert rows_of(expansion, "scheduler_options") == [({},)]


@pytest.mark.parametrize("entry", ["{size: wide}", "{width: 128}", "{width: [128, 8]}"])
def test_exclude_knows_a_bundle_by_label_or_by_what_it_sets(
    tmp_path: Path, entry: str
) -> None:
    expansion = expand_axes(
        tmp_path,
        "{size: [{label: wide, set: {width: 128}}, {label: small, set: {width: 64}}]}",
        rest=f"exclude: [{entry}]",
    )

    assert rows_of(expansion, "width") == [(64,)]


def test_exclude_takes_a_whole_prompt_template(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{prompt: ['a {b|c}', d], steps: [4, 8]}",
        rest="exclude: [{prompt: 'a {b|c}', steps: 4}]",
    )

    rows = [("a b", 8), ("a c", 8), ("d", 4), ("d", 8)]
    assert rows_of(expansion, "prompt", "steps") == rows
    assert expansion.count == 4


def test_an_exclusion_that_matches_nothing_is_a_warning(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{steps: [4, 8]}",
        rest="exclude:\n - {steps: 5}\n - {width: 512}\n - {steps: 4, width: 64}",
    )

    assert expansion.count == 1
    assert expansion.warnings == (
        "an entry of exclude matches nothing (2 times): sweep.yaml line 5; sweep.yaml "
        "line 6",
    )


def test_include_adds_a_cell_for_every_prompt_and_seed(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{prompt: [a, b], seed: [1, 2], scheduler: [ddim, lms], steps: [4, 8],"
        " guidance: [5, 7]}",
        rest="include: [{scheduler: euler, steps: [50, 100]}]",
    )

    rows = rows_of(expansion, "seed", "prompt", "scheduler_class", "steps", "guidance")

    assert expansion.count == len(rows) == 32 + 8
    assert rows[8:10] == [
        (1, "a", "EulerDiscreteScheduler", 50, 5.0),
        (1, "a", "EulerDiscreteScheduler", 100, 5.0),
    ]
    assert rows[-1] == (2, "b", "EulerDiscreteScheduler", 100, 5.0)


def test_include_takes_what_it_does_not_name_from_base_else_the_first(
    tmp_path: Path,
) -> None:
    text = (
        "name: s\nbase: {model: 'builtin:shapes', prompt: p, guidance: 1}\n"
        "axes: {guidance: [5, 7], steps: [4, 8], width: [64, 128]}\n"
        "include: [{seed: 9, width: 72}]\n"
    )

    expansion = read_jobs(write_spec(tmp_path, text), describe_fake)

    *_, last = expansion.jobs()
    job = last.job
    assert (job.guidance, job.steps, job.width, job.seed) == (1.0, 4, 72, 9)
    assert last.cell == {"guidance": "1", "steps": "4", "width": "72"}


def test_include_knows_bundles_by_label_and_may_change_a_part(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{size: [{label: small, set: {width: 64, height: 64}},"
        " {label: wide, set: {width: 128, height: 64}}], steps: [4]}",
        rest="include: [{size: wide, steps: 50}, {height: 72, steps: 50}]",
    )

    rows = rows_of(expansion, "width", "height", "steps")
    sizes = [planned.cell["size"] for planned in expansion.jobs()]

    assert rows == [(64, 64, 4), (128, 64, 4), (128, 64, 50), (64, 72, 50)]
    assert sizes == ["small", "wide", "wide", "width=64, height=72"]


def test_include_may_name_a_seed_and_a_prompt_of_its_own(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{prompt: [a, b], seed: [1, 2], steps: [4, 8]}",
        rest="include: [{seed: 9, prompt: [b, c]}]",
    )

    rows = rows_of(expansion, "seed", "prompt", "steps")

    assert expansion.count == len(rows) == 10
    assert rows[-2:] == [(9, "b", 4), (9, "c", 4)]


def test_an_entry_that_names_its_seed_is_looked_at_for_that_seed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = ", ".join(f"{{seed: {n}, prompt: p{n}, steps: 9}}" for n in range(100))
    expansion = expand_axes(
        tmp_path,
        "{seed: {start: 0, count: 50}, prompt: [p7, q], steps: [4, 8]}",
        rest=f"include: [{entries}, {{steps: 10}}]",
    )
    walked: list[object] = []
    walk_block = cells._Walker.cells

    def note(walker: Any, block: Any, fixed: Any) -> Any:
        walked.append(block)
        return walk_block(walker, block, fixed)

    monkeypatch.setattr(cells._Walker, "cells", note)

    rows = rows_of(expansion, "seed", "prompt", "steps")

    assert len(rows) == len(set(rows)) == expansion.count == 50 * 2 * 3 + 100
    assert rows[21:28] == [
        *((3, prompt, steps) for prompt in ("p7", "q") for steps in (4, 8, 10)),
        (3, "p3", 9),
    ]
    assert rows[-1] == (99, "p99", 9)
    assert len(walked) < 1000


def test_the_labels_of_axes_are_listed_with_what_include_adds(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{steps: [8, 4], scheduler: [DDIM]}",
        rest="include: [{steps: 50}]",
    )

    assert expansion.axis_labels == {"steps": ["8", "4", "50"], "scheduler": ["ddim"]}


def test_include_adds_only_what_is_not_there(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{steps: [4, 8], guidance: [3, 5]}",
        rest=(
            "exclude: [{steps: 8, guidance: 5}]\n"
            "include: [{steps: 4, guidance: [3, 9]}, {guidance: 9.0},"
            " {steps: 8, guidance: 5}]"
        ),
    )

    keys = [planned.job.key for planned in expansion.jobs()]

    assert expansion.count == len(keys) == len(set(keys)) == 5
    assert rows_of(expansion, "steps", "guidance")[3:] == [(4, 9.0), (8, 5.0)]


def test_include_may_name_a_model_of_its_own(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{model: ['builtin:shapes'], steps: [4, 8]}",
        rest="include: [{model: org/other, steps: 8}, {steps: 9}]",
    )

    rows = [(planned.job.model.name, planned.job.steps) for planned in expansion.jobs()]

    assert rows == [
        ("builtin:shapes", 4),
        ("builtin:shapes", 8),
        ("builtin:shapes", 9),
        ("org/other", 8),
    ]


def test_excluded_cells_may_be_impossible(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{model: ['builtin:shapes', org/flow], scheduler: [ddim, flow_euler]}",
        rest=(
            "exclude: [{model: 'builtin:shapes', scheduler: flow_euler},"
            " {model: org/flow, scheduler: ddim}]"
        ),
    )

    assert [planned.scheduler_name for planned in expansion.jobs()] == [
        "ddim",
        "flow_euler",
    ]


def test_steps_that_a_scheduler_cannot_run_are_refused(tmp_path: Path) -> None:
    scheduler = "{class: PNDMScheduler, options: {skip_prk_steps: false}}"

    with pytest.raises(SpecError) as caught:
        expand_axes(tmp_path, f"\n  scheduler: {scheduler}\n  steps: [3, 4]")

    assert str(caught.value) == (
        "sweep.yaml line 5: PNDM with its Runge-Kutta start needs 4 or more steps, got "
        "3; use plms, or more steps"
    )


def test_eta_is_refused_where_it_would_be_ignored(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        expand_axes(tmp_path, "\n  eta: 0.5\n  scheduler: [ddim, euler, ddim_eta]")

    assert str(caught.value).splitlines() == [
        "sweep.yaml line 5: eta is for DDIM and TCD, EulerDiscreteScheduler "
        "ignores it, got 0.5; leave it out",
        "sweep.yaml line 5: eta must be set once, got 1 from the scheduler ddim_eta "
        "and 0.5 from `eta`; use another scheduler or leave out `eta`",
    ]


def test_eta_may_come_from_the_scheduler_or_from_its_parameter(tmp_path: Path) -> None:
    by_name = only_job(expand_axes(tmp_path, "{scheduler: DDIM eta}"))
    by_value = only_job(expand_axes(tmp_path, "{scheduler: ddim, eta: 1}"))

    assert by_name.job.key == by_value.job.key
    assert by_name.job.extras == {"eta": 1.0}
    assert by_name.scheduler_name == by_value.scheduler_name == "ddim_eta"


def test_parameters_without_a_column_reach_the_job(tmp_path: Path) -> None:
    job = only_job(
        expand_axes(tmp_path, "{clip_skip: 2, strict: true, tag: x, generator: cuda}")
    ).job

    assert job.extras == {"clip_skip": 2, "strict": True, "tag": "x"}
    assert job.generator == "cuda"


def test_a_model_that_cannot_be_found_is_a_problem_of_its_line(tmp_path: Path) -> None:
    def fail(name: str, **_: object) -> Any:
        msg = f"no model {name}"
        raise ModelError(msg)

    file = write_axes(tmp_path, "\n  steps: [0]\n  model:\n    - x/a\n    - x/b")

    with pytest.raises(SpecError) as caught:
        read_jobs(file, fail)

    assert str(caught.value).splitlines() == [
        "sweep.yaml line 4: steps must be an integer from 1 to 1000, got 0; choose one "
        "in that range",
        "sweep.yaml line 6: no model x/a",
        "sweep.yaml line 7: no model x/b",
    ]


def test_a_model_whose_own_scheduler_is_unknown_needs_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = replace(cards.CARD, scheduler_class="OddScheduler")
    monkeypatch.setattr(cards, "CARDS", {"builtin:shapes": odd})

    assert expand_axes(tmp_path, "{scheduler: ddim}").count == 1
    with pytest.raises(SpecError, match="got 'OddScheduler'"):
        expand_axes(tmp_path, "{}")


def test_prompts_that_are_cut_are_told_with_what_falls_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tokenizer(tmp_path / "tokenizer")
    short = replace(
        cards.CARD,
        tokens=ClipTokens(tmp_path / "tokenizer"),
        unchecked=("The native size is not stated; 64 x 64 is taken.",),
    )
    monkeypatch.setattr(cards, "CARDS", {"builtin:shapes": short})
    long = "ab " * 200

    expansion = expand_axes(tmp_path, f"{{prompt: [a cat, '{long}']}}")

    first, second = expansion.warnings
    assert first == ("builtin:shapes: The native size is not stated; 64 x 64 is taken.")
    assert second.startswith('sweep.yaml line 3: prompt "ab ab ')
    assert second.endswith('a…"')
    assert len(second) < 240

    many = ", ".join(f"'{number} {long}'" for number in range(10))
    _, told = expand_axes(tmp_path, f"{{prompt: [a cat, {many}]}}").warnings
    assert told.startswith(
        "CLIP reads 77 tokens of a prompt, and the rest of a longer one is cut (10 "
        'times): "0 ab ab '
    )
    assert told.endswith("(sweep.yaml line 3); and so on")
    assert told.count("(sweep.yaml line 3)") == 3


@pytest.mark.parametrize(
    ("effects", "warning"),
    [
        (Guidance(), "got 3 and 7; set `guidance: 1`"),
        (Guidance(off=0.0), "got 1, 3 and 7; set `guidance: 0`"),
        (Guidance(is_embedded=True), None),
        (Guidance(off=None), None),
        (None, "got 3 and 7; set `guidance: 1`"),
    ],
)
def test_guiding_a_distilled_model_is_a_warning(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    effects: Guidance | None,
    warning: str | None,
) -> None:
    fast = replace(cards.CARD, distilled="its name says turbo", effects=effects)
    monkeypatch.setattr(cards, "CARDS", {"builtin:shapes": fast})

    axes = "{guidance: [0, 1, 3, 7], steps: [4]}"
    warnings = expand_axes(tmp_path, axes).warnings

    assert warnings == (
        (
            "builtin:shapes: a model that is distilled to few steps (its name says "
            f"turbo) wants no guidance, {warning}",
        )
        if warning
        else ()
    )


@pytest.mark.parametrize(("axes", "is_told"), [("{}", True), ("{steps: [8]}", False)])
def test_many_steps_of_a_distilled_model_by_default_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axes: str, is_told: bool
) -> None:
    fast = replace(
        cards.CARD,
        distilled="its name says turbo",
        steps_default=50,
        guidance_default=1.0,
    )
    monkeypatch.setattr(cards, "CARDS", {"builtin:shapes": fast})
    told = (
        "builtin:shapes: a model that is distilled to few steps (its name says turbo)"
        " wants few, got 50, the default of its pipeline; set `steps` to what the"
        " model's page says"
    )
    assert expand_axes(tmp_path, axes).warnings == ((told,) if is_told else ())


def test_a_million_jobs_are_counted_without_being_made(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{seed: {start: 0, count: 1000}, steps: {start: 1, count: 100},"
        " guidance: {start: 1, count: 10}}",
        rest="limits: {max_jobs: 1000000}\nexclude: [{steps: 7, guidance: 3}]",
    )

    jobs = expansion.jobs()

    assert expansion.count == 999_000
    assert next(jobs).job.seed == 0


def test_a_range_can_be_excluded_from_and_added_to(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{seed: {start: 5, count: 4, step: 3}}",
        rest="exclude: [{seed: 8}]\ninclude: [{seed: 6}, {seed: 11, steps: 7}]",
    )

    rows = rows_of(expansion, "seed", "steps")

    assert rows == [(5, 20), (11, 20), (11, 7), (14, 20), (6, 20)]
    assert expansion.count == len(rows)
    assert expansion.axis_labels == {"seed": ["5", "8", "11", "14", "6"]}


def test_a_million_seeds_are_never_written_out(tmp_path: Path) -> None:
    tracemalloc.start()
    expansion = expand_axes(
        tmp_path,
        "{seed: {start: 7, count: 1000000}}",
        rest="limits: {max_jobs: 1000000}",
    )
    jobs = expansion.jobs()
    assert [next(jobs).job.seed for _ in range(3)] == [7, 8, 9]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert expansion.count == 1_000_000
    assert peak_bytes < 5_000_000


@pytest.mark.parametrize(
    "rest", ["exclude: [{seed: [%s]}]", "exclude: [{seed: %s}]"], ids=["one", "many"]
)
def test_seeds_that_are_left_out_are_not_looked_for_among_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rest: str
) -> None:
    made: list[object] = []

    def note(kind: Callable[..., object]) -> Callable[..., object]:
        return lambda *args: made.append(args) or kind(*args)

    monkeypatch.setattr(points, "Point", note(points.Point))
    monkeypatch.setattr(axes_module, "Value", note(axes_module.Value))
    separator = "}, {seed: " if rest.endswith("%s}]") else ", "
    left_out = separator.join(map(str, range(0, 1000, 10)))
    expansion = expand_axes(
        tmp_path, "{seed: {start: 0, count: 10000}}", rest=rest % left_out
    )

    assert expansion.count == 9900
    assert len(made) < 1000


@pytest.mark.parametrize(
    ("name", "count"), [("first-sweep", 96), ("fast-samplers", 18520)]
)
def test_the_examples_are_what_their_comments_say(
    name: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_id = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    large = replace(cards.CARD, width=512, height=512)
    monkeypatch.setattr(cards, "CARDS", {**cards.CARDS, hub_id: large})

    expansion = read_jobs(EXAMPLES / f"{name}.yaml", describe_fake)

    assert expansion.count == count
    assert expansion.duplicates == expansion.warnings == ()
    assert sum(1 for _ in expansion.jobs()) == count
