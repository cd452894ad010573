"""`all`, `every` and patterns of names: what they stand for, what they leave out."""

from typing import Any

import pytest

from storage.catalogue import schedulers
from storage.catalogue.scheduler_sets import choose, is_set, require_match
from storage.catalogue.schedulers import Scheduler, effective_options, short_name
from storage.errors import UsageError
from tests.builders import DEIS, KARRAS_SDE, SD3, SD15
from tests.model_configs import EDM, LCM


def chosen(
    word: str, config: dict[str, Any] = SD15, *, family: str = "sd"
) -> list[Scheduler]:
    return list(choose(word, family=family, config=config).schedulers)


def names(word: str, config: dict[str, Any] = SD15, *, family: str = "sd") -> list[str]:
    return [
        short_name(
            each.class_name,
            effective_options(each, config),
            each.extras,
            config=config,
            asked=each.name,
        )
        for each in chosen(word, config, family=family)
    ]


def note(word: str, config: dict[str, Any] = SD15, *, family: str = "sd") -> str:
    return choose(word, family=family, config=config).note


@pytest.mark.parametrize("word", ["all", "every", "*"])
@pytest.mark.parametrize("family", ["sd", "sdxl", "sd3", "flux", "other"])
def test_a_word_means_schedulers_that_pass_every_check(word: str, family: str) -> None:
    config = SD3 if family in ("sd3", "flux") else SD15
    found = chosen(word, config, family=family)
    assert found
    for each in found:
        assert schedulers.check(each, config=config, family=family) == []


def test_all_for_a_diffusion_model_is_each_class_once() -> None:
    classes = [each.class_name for each in chosen("all")]
    assert len(classes) == len(set(classes)) == 15
    assert {"pndm", "ddim", "lms", "sa_solver"} <= set(names("all"))
    assert not {"lcm", "tcd"} & set(names("all"))


def test_all_is_each_class_as_the_model_configures_it() -> None:
    assert all(not each.settings for each in chosen("all"))
    by_class = {each.class_name: each for each in chosen("all", KARRAS_SDE)}
    assert by_class["DPMSolverMultistepScheduler"].settings == {}
    assert {"euler_karras", "dpmpp_2m_sde_karras"} <= set(names("all", KARRAS_SDE))


def test_all_takes_a_class_by_its_name_where_the_config_makes_it_impossible() -> None:
    by_class = {each.class_name: each for each in chosen("all", KARRAS_SDE)}
    assert by_class["DEISMultistepScheduler"].name == "deis"
    assert by_class["SASolverScheduler"].name == "sa_solver"
    by_class = {each.class_name: each for each in chosen("all", DEIS)}
    assert by_class["DPMSolverMultistepScheduler"].name == "dpmpp_2m"
    assert len(chosen("all", DEIS)) == len(chosen("all", KARRAS_SDE)) == 15


def test_all_takes_pndm_as_plms_where_the_model_does_not_say() -> None:
    found = names("all", SD15 | {"skip_prk_steps": False})
    assert "plms" in found
    assert "pndm" not in found


def test_all_for_flow_models_is_what_their_pipeline_can_drive() -> None:
    four = ["flow_euler", "flow_heun", "flow_unipc", "flow_dpmpp_2m"]
    assert names("all", SD3, family="sd3") == four
    assert names("all", SD3, family="flux") == ["flow_euler", "flow_unipc"]


def test_all_for_a_distilled_model_is_its_own_schedulers() -> None:
    assert names("all", SD15 | {"_class_name": "LCMScheduler"}) == ["lcm", "tcd"]


def test_all_says_what_it_leaves_out() -> None:
    assert note("all") == (
        "`all` is 15 schedulers, each class once as the model configures it; of the 49 "
        "names that this model can run it leaves out 30 names of the same classes "
        "(ddim_eta, lms_karras, ...) and 3 names for other kinds of models (lcm, tcd, "
        "tcd_eta); `every` takes those too"
    )


@pytest.mark.parametrize("config", [SD15, KARRAS_SDE, DEIS])
def test_every_is_all_names_that_differ_on_the_model(config: dict[str, Any]) -> None:
    found = names("every", config)
    options = [
        (each.class_name, effective_options(each, config), each.extras)
        for each in chosen("every", config)
    ]
    assert len(found) == len({repr(each) for each in options}) == 48
    assert "pndm" in found
    assert "plms" not in found


def test_every_says_what_it_leaves_out() -> None:
    assert note("every") == (
        "`every` is 48 of 56 names; it leaves out plms (here the same as pndm, since "
        "the model's own config sets `skip_prk_steps: true`) and 7 names that this "
        "model cannot run (flow_euler, flow_euler_karras, ...)"
    )


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("dpmpp_3m*", 5),
        ("*_karras", 14),
        ("DPM++ 2M SDE*", 5),
        ("euler_?", 1),
        ("plms*", 1),
    ],
)
def test_a_pattern_is_all_names_that_have_it(pattern: str, found: int) -> None:
    require_match(pattern)
    assert is_set(pattern)
    assert len(chosen(pattern)) == found


def test_a_name_is_no_word_for_several() -> None:
    for entry in schedulers.NAMES.values():
        for text in (entry.name, entry.label, entry.class_name, *entry.aliases):
            assert not is_set(text)


def test_a_pattern_leaves_out_what_the_model_cannot_run() -> None:
    assert note("*_karras") == (
        "`*_karras` is 14 of 15 names; it leaves out 1 name that this model cannot run "
        "(flow_euler_karras)"
    )
    assert note("dpmpp_*") == ""


def test_a_pattern_of_which_the_model_can_run_nothing_is_all_of_it() -> None:
    assert names("flow_euler*") == [
        "flow_euler",
        "flow_euler_karras",
        "flow_euler_exponential",
        "flow_euler_beta",
    ]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("dmpp_*", r"got 'dmpp_\*'; did you mean dpmpp_"),
        ("*_karas", "did you mean .*_karras"),
        ("xyz*", r"got 'xyz\*'; `nightsweep schedulers` lists all"),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        require_match(pattern)


def test_usual_step_counts_pass() -> None:
    for each in chosen("all"):
        for steps in (1, 4, 20, 999):
            assert schedulers.check_steps(each, config=SD15, steps=steps) == []


@pytest.mark.parametrize("word", ["all", "every", "euler*"])
def test_where_a_model_can_run_none_the_reason_can_be_told(word: str) -> None:
    found = chosen(word, EDM)
    assert found
    for each in found:
        assert schedulers.check(each, config=EDM, family="sd")


@pytest.mark.parametrize("word", ["all", "every"])
def test_words_mean_lcm_and_tcd_for_a_consistency_pipeline(word: str) -> None:
    assert {"lcm", "tcd"} <= set(names(word, LCM, family="lcm"))
    classes = {each.class_name for each in chosen(word, LCM, family="lcm")}
    assert classes == {"LCMScheduler", "TCDScheduler"}
