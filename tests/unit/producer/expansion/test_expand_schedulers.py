"""Schedulers of a spec: the names that a sweep shows, words for several, duplicates."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from producer.expansion.expand import Expansion, expand, read_jobs
from producer.expansion.scheduler_planning import plan_scheduler
from producer.spec.parameters import SchedulerChoice
from producer.spec.sweepfile import read_spec
from storage.errors import SpecError
from tests.builders import SD15
from tests.model_configs import EDM
from tests.unit.cards import CARD, describe_fake, write_axes


def expand_axes(folder: Path, axes: str, *, rest: str = "") -> Expansion:
    return expand(read_spec(write_axes(folder, axes, rest=rest)), describe_fake)


def on_karras(folder: Path, schedulers: str) -> Expansion:
    return expand_axes(folder, f"{{model: org/karras, scheduler: [{schedulers}]}}")


def shown(expansion: Expansion) -> list[str]:
    return [planned.cell["scheduler"] for planned in expansion.jobs()]


def problems_of(folder: Path, axes: str, *, rest: str = "") -> list[str]:
    with pytest.raises(SpecError) as caught:
        read_jobs(write_axes(folder, axes, rest=rest), describe_fake)
    return str(caught.value).splitlines()


def test_six_names_on_a_karras_and_sde_model_are_six_jobs(tmp_path: Path) -> None:
    expansion = on_karras(
        tmp_path,
        "DPM++ 2M, DPM++ 2M Karras, DPM++ 2M SDE, DPM++ 2M SDE Karras, Euler,"
        " Euler Karras",
    )

    jobs = list(expansion.jobs())

    assert expansion.count == len({planned.job.key for planned in jobs}) == 6
    assert shown(expansion) == [planned.scheduler_name for planned in jobs]
    assert expansion.duplicates == ()


def test_a_class_is_called_what_it_is_on_the_model(tmp_path: Path) -> None:
    expansion = on_karras(tmp_path, "DPMSolverMultistepScheduler, EulerDiscrete")

    first, second = expansion.jobs()

    assert (first.job.scheduler_options, first.scheduler_label) == ({}, None)
    assert first.scheduler_name == "dpmpp_2m_sde_karras"
    assert first.scheduler_names == ("dpmpp_2m_sde_karras",)
    assert second.scheduler_name == "euler_karras"


def test_a_models_own_scheduler_is_as_the_model_configures_it(tmp_path: Path) -> None:
    (one,) = expand_axes(tmp_path, "{model: org/karras}").jobs()

    assert (one.job.scheduler_options, one.scheduler_label) == ({}, None)
    assert one.scheduler_name == "dpmpp_2m_sde_karras"


def test_a_sweep_shows_the_name_that_it_asked_for(tmp_path: Path) -> None:
    (plms,) = expand_axes(tmp_path, "{scheduler: PLMS}").jobs()
    (pndm,) = expand_axes(tmp_path, "{scheduler: pndm}").jobs()

    assert plms.job.key == pndm.job.key
    assert plms.scheduler_names == pndm.scheduler_names == ("pndm", "plms")
    assert (plms.cell["scheduler"], plms.scheduler_label) == ("plms", "plms")
    assert (pndm.cell["scheduler"], pndm.scheduler_label) == ("pndm", None)
    assert plms.scheduler_name == pndm.scheduler_name == "pndm"


def test_a_label_of_the_sweep_is_kept_where_it_is_the_name_too(tmp_path: Path) -> None:
    (one,) = expand_axes(tmp_path, "{scheduler: [{class: ddim, label: ddim}]}").jobs()

    assert (one.scheduler_name, one.scheduler_label) == ("ddim", "ddim")


def test_two_names_that_are_one_job_are_told(tmp_path: Path) -> None:
    expansion = expand_axes(tmp_path, "{scheduler: [pndm, PLMS, DPM++ 2M, dpmpp_2m]}")

    assert shown(expansion) == ["pndm", "dpmpp_2m"]
    assert expansion.duplicates == (
        "scheduler: pndm and PLMS give the same jobs, since the model's own config "
        "sets `skip_prk_steps: true` (sweep.yaml line 3, sweep.yaml line 3)",
        "scheduler: DPM++ 2M and dpmpp_2m give the same jobs, since they are two "
        "spellings of one scheduler (sweep.yaml line 3, sweep.yaml line 3)",
    )


def test_a_class_and_the_name_of_what_it_is_are_one_job(tmp_path: Path) -> None:
    expansion = on_karras(
        tmp_path, "DPMSolverMultistepScheduler, DPM++ 2M SDE Karras, dpmpp_2m"
    )

    assert shown(expansion) == ["dpmpp_2m_sde_karras", "dpmpp_2m"]
    (told,) = expansion.duplicates
    assert "DPMSolverMultistepScheduler and DPM++ 2M SDE Karras" in told


def test_options_of_the_sweep_go_before_what_the_name_pins(tmp_path: Path) -> None:
    expansion = on_karras(
        tmp_path,
        "{class: dpmpp_2m, options: {use_karras_sigmas: true}}, DPM++ 2M Karras",
    )

    assert shown(expansion) == ["dpmpp_2m_karras"]
    assert len(expansion.duplicates) == 1


def test_every_is_all_names_that_differ(tmp_path: Path) -> None:
    expansion = expand_axes(tmp_path, "{scheduler: every}")

    assert expansion.count == 48
    assert len(set(shown(expansion))) == 48
    assert expansion.duplicates == ()
    (note,) = expansion.notes
    assert note.startswith("`every` is 48 of 56 names; it leaves out plms")


def test_a_pattern_is_the_names_that_match(tmp_path: Path) -> None:
    expansion = expand_axes(tmp_path, "{scheduler: [dpmpp_3m*, '*_exponential', ddim]}")

    assert shown(expansion) == [
        *("dpmpp_3m", "dpmpp_3m_karras", "dpmpp_3m_sde", "dpmpp_3m_sde_karras"),
        *("dpmpp_3m_sde_exponential", "euler_exponential", "dpmpp_2m_exponential"),
        *("dpmpp_2m_sde_exponential", "ddim"),
    ]
    assert expansion.duplicates == ()
    assert expansion.notes == (
        "`*_exponential` is 4 of 5 names; it leaves out 1 name that this model cannot"
        " run (flow_euler_exponential)",
    )


def test_a_pattern_leaves_out_what_the_axis_names_itself(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path, "{scheduler: [euler*, Euler Karras, {class: euler, label: mine}]}"
    )

    assert sorted(shown(expansion)) == [
        *("euler_a", "euler_beta", "euler_exponential", "euler_karras"),
        *("euler_sgm_uniform", "mine"),
    ]
    assert expansion.duplicates == ()


def test_two_names_of_a_pattern_that_are_one_job_are_told(tmp_path: Path) -> None:
    expansion = expand_axes(tmp_path, "{scheduler: 'p*'}")

    assert shown(expansion) == ["pndm"]
    assert expansion.duplicates == (
        "scheduler: pndm and plms give the same jobs, since the model's own config "
        "sets `skip_prk_steps: true` (sweep.yaml line 3, sweep.yaml line 3)",
    )


def test_a_pattern_depends_on_the_model(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path, "{model: ['builtin:shapes', org/flow], scheduler: '*euler_karras'}"
    )

    assert shown(expansion) == ["euler_karras", "flow_euler_karras"]
    assert expansion.notes == (
        "builtin:shapes: `*euler_karras` is 1 of 2 names; it leaves out 1 name that "
        "this model cannot run (flow_euler_karras)",
        "org/flow: `*euler_karras` is 1 of 2 names; it leaves out 1 name that this "
        "model cannot run (euler_karras)",
    )


def test_a_pattern_that_no_name_has_is_refused(tmp_path: Path) -> None:
    (found,) = problems_of(tmp_path, "{scheduler: [dmpp_*]}")

    assert found.startswith(
        "sweep.yaml line 3: a pattern of schedulers must match a name of the catalogue,"
        " got 'dmpp_*'; did you mean dpmpp_"
    )


def test_a_pattern_of_which_the_model_can_run_nothing_is_refused(
    tmp_path: Path,
) -> None:
    (found,) = problems_of(tmp_path, "{scheduler: flow_euler*}")

    assert found == (
        "sweep.yaml line 3: FlowMatchEulerDiscreteScheduler is for flow-matching "
        "models, and this one is not; use euler, heun or dpmpp_2m"
    )


@pytest.mark.parametrize("word", ["all", "every", "dpmpp_*"])
def test_several_schedulers_are_an_axis(tmp_path: Path, word: str) -> None:
    file = write_axes(tmp_path, "{steps: 4}")
    text = file.read_text().replace("a cat}", f"a cat, scheduler: {word}}}")
    file.write_text(text)

    with pytest.raises(SpecError) as caught:
        read_jobs(file, describe_fake)

    assert str(caught.value) == (
        f"sweep.yaml line 2: scheduler must be one value in `base`, got {word}; move "
        "it to `axes`"
    )


def test_every_leaves_out_the_steps_that_a_name_cannot_run(tmp_path: Path) -> None:
    expansion = expand_axes(tmp_path, "{scheduler: every, steps: [8, 60]}")

    at = {8: set(shown(expansion)), 60: set[str]()}
    for planned in expansion.jobs():
        at[planned.job.steps].add(planned.cell["scheduler"])
    unfit = at[8] - at[60]
    assert unfit == {"dpmpp_2m_beta", "lcm", "tcd", "tcd_eta"}
    assert expansion.count == 2 * len(at[8]) - len(unfit)
    assert expansion.notes[1:] == (
        "`every` leaves out what builtin:shapes cannot run; name the scheduler to "
        "see why (4 times): dpmpp_2m_beta at 60 steps; lcm at 60 steps; tcd at 60 "
        "steps; and so on",
    )


def test_a_single_scheduler_that_a_word_leaves_out_is_told_with_the_reason(
    tmp_path: Path,
) -> None:
    expansion = expand_axes(tmp_path, "{scheduler: every, steps: [40]}")

    (found,) = expansion.notes[1:]

    assert "dpmpp_2m_beta" not in shown(expansion)
    assert found.startswith(
        "`every` leaves out dpmpp_2m_beta at 40 steps on builtin:shapes: DPMSolver"
    )
    assert found.endswith("on this model; use 31 steps or fewer")


def test_a_scheduler_that_is_named_beside_a_word_must_run_all_steps(
    tmp_path: Path,
) -> None:
    (found,) = problems_of(tmp_path, "{scheduler: [every, lcm], steps: [8, 60]}")

    assert "original_inference_steps, 50, got 60" in found


@pytest.mark.parametrize("steps", ["steps: [8, 60]", "steps: [60]"])
def test_a_word_that_can_run_nothing_is_refused(tmp_path: Path, steps: str) -> None:
    found = problems_of(
        tmp_path,
        f"{{scheduler: ['lcm*'], {steps}}}",
        rest="exclude: [{scheduler: lcm, steps: 8}]",
    )

    assert len(found) == 1
    assert "original_inference_steps, 50, got 60" in found[0]


def test_what_an_entry_of_include_names_must_run_its_steps(tmp_path: Path) -> None:
    (found,) = problems_of(
        tmp_path,
        "{scheduler: ['lcm*'], steps: [8]}",
        rest="include: [{scheduler: 'lcm*', steps: 60}]",
    )

    assert "original_inference_steps, 50, got 60" in found


def test_a_word_leaves_out_steps_for_each_model_by_itself(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path, "{model: ['builtin:shapes', org/flow], scheduler: every, steps: [40]}"
    )

    models = {
        planned.job.model.name
        for planned in expansion.jobs()
        if planned.cell["scheduler"] == "dpmpp_2m_beta"
    }

    assert models == set()
    assert len([note for note in expansion.notes if "40 steps" in note]) == 1


def test_a_pattern_can_be_excluded(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{scheduler: [euler, euler_karras, heun_karras], steps: [4, 8]}",
        rest="exclude: [{scheduler: '*_karras', steps: 4}]",
    )

    rows = [(one.cell["scheduler"], one.job.steps) for one in expansion.jobs()]

    assert rows == [("euler", 4), ("euler", 8), ("euler_karras", 8), ("heun_karras", 8)]


def test_a_pattern_can_be_included(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{scheduler: [ddim], steps: [4]}",
        rest="include: [{scheduler: 'dpmpp_2s*', steps: 8}]",
    )

    rows = [(one.cell["scheduler"], one.job.steps) for one in expansion.jobs()]

    assert rows == [
        *[("ddim", 4), ("dpmpp_2s", 8), ("dpmpp_2s_karras", 8), ("dpmpp_2s_sde", 8)]
    ]


@pytest.mark.parametrize("word", ["all", "every"])
def test_a_word_for_all_is_not_excluded(tmp_path: Path, word: str) -> None:
    (found,) = problems_of(
        tmp_path, "{scheduler: [ddim]}", rest=f"exclude: [{{scheduler: {word}}}]"
    )

    assert found.endswith(
        f"got {word}; write a name such as ddim, or a pattern such as dpmpp_*"
    )


@pytest.mark.parametrize(
    "axis",
    [
        *("scheduler=heun*,*2m_lu", "scheduler=[heun*, *2M LU ]"),
        "scheduler=['heun*', \"*2m_lu\"]",
    ],
)
def test_a_pattern_may_come_from_the_command_line(tmp_path: Path, axis: str) -> None:
    file = write_axes(tmp_path, "{steps: 4}")

    found = read_jobs(file, describe_fake, axes=[axis])

    assert shown(found) == ["heun", "heun_karras", "dpmpp_2m_lu"]


def test_one_pattern_that_starts_with_a_star_is_an_axis(tmp_path: Path) -> None:
    file = write_axes(tmp_path, "{steps: 4}")

    found = read_jobs(file, describe_fake, axes=["scheduler=*_exponential"])

    assert found.count == 4


def test_a_star_that_yaml_takes_for_an_alias_is_told(tmp_path: Path) -> None:
    (found,) = problems_of(tmp_path, "{scheduler: [*_karras]}")

    assert found == (
        "sweep.yaml line 3: a text that starts with * must be in quotes, since YAML "
        "takes it for an alias, got an error (found undefined alias '_karras'); put "
        "quotes around it"
    )


def test_what_a_name_pins_is_part_of_what_the_sweep_wants(tmp_path: Path) -> None:
    plain = expand_axes(tmp_path, "{scheduler: [dpmpp_2m, every]}")
    by_class = on_karras(tmp_path, "DPMSolverMultistepScheduler")
    pinned = on_karras(tmp_path, "dpmpp_2m")

    assert plain.what_is_meant == ["f" * 32]
    assert by_class.what_is_meant == ["c" * 32]
    assert pinned.what_is_meant[0] == "c" * 32
    assert "use_karras_sigmas" in pinned.what_is_meant[1]


def test_a_class_inherits_what_the_model_says_and_a_name_nothing(
    tmp_path: Path,
) -> None:
    by_class = on_karras(tmp_path, "DPMSolverMultistepScheduler")
    by_name = on_karras(tmp_path, "dpmpp_2m_sde_karras")

    ((_, one),) = by_class.schedulers
    ((_, other),) = by_name.schedulers

    assert one.inherited == {
        "algorithm_type": "sde-dpmsolver++",
        "use_karras_sigmas": True,
        "timestep_spacing": "leading",
        "steps_offset": 1,
    }
    assert other.inherited == {}


@pytest.mark.parametrize(
    ("class_name", "config", "said"),
    [
        (
            *("PNDMScheduler", {**SD15, "prediction_type": "sample"}),
            "PNDMScheduler cannot work with what this model predicts",
        ),
        (
            *("EDMEulerScheduler", EDM),
            "trained as in EDM (Karras et al. 2022), got EDMEulerScheduler; name",
        ),
    ],
)
def test_a_models_own_scheduler_is_checked_too(
    class_name: str, config: dict[str, Any], said: str
) -> None:
    card = replace(CARD, scheduler_class=class_name, scheduler_config=config)
    (found,) = plan_scheduler(SchedulerChoice(scheduler=None), card).problems
    assert said in found
