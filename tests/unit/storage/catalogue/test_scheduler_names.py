"""What a name pins, what a class takes from the model, and what a job is called."""

from collections.abc import Mapping
from typing import Any

import pytest

from storage.catalogue import schedulers
from storage.catalogue import tables as catalogue
from storage.catalogue.schedulers import (
    CLASSES,
    NAMES,
    effective_options,
    label_of,
    names_of,
)
from storage.errors import UsageError
from tests.builders import DEIS, KARRAS_SDE, SD3, SD15, TRAILING, ZERO_SNR

DPM = "DPMSolverMultistepScheduler"
SINGLE = "DPMSolverSinglestepScheduler"
CONFIGS = {
    "sd15": SD15,
    "karras+sde": KARRAS_SDE,
    "deis": DEIS,
    "trailing": TRAILING,
    "zero snr": ZERO_SNR,
}


def options_of(name: str, config: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    return effective_options(schedulers.resolve(name, options), config)


def problems(name: str, config: Mapping[str, Any], **options: Any) -> list[str]:
    asked = schedulers.resolve(name, options)
    return schedulers.check(asked, config=config, family="sd")


def shown(
    name: str, config: Mapping[str, Any], *, is_asked: bool = False, **options: Any
) -> str:
    """Give the name of the job that a name makes on a model."""
    asked = schedulers.resolve(name, options)
    return schedulers.short_name(
        asked.class_name,
        effective_options(asked, config),
        asked.extras,
        config=config,
        asked=asked.name if is_asked else "",
    )


def test_every_option_is_either_pinned_or_the_models_own() -> None:
    options = {option for of in CLASSES.values() for option in of.options}
    assert set(catalogue.PINNED) | set(catalogue.OF_THE_MODEL) == options
    assert not set(catalogue.PINNED) & set(catalogue.OF_THE_MODEL)


def test_what_a_class_leaves_to_the_model_is_an_option_of_it_that_others_pin() -> None:
    for name, row in catalogue.CLASS_ROWS.items():
        for option in row.get("unpinned", {}):
            assert option in CLASSES[name].options
            assert option in catalogue.PINNED
            assert option not in CLASSES[name].pins


def test_eight_names_on_a_karras_and_sde_config_are_eight_jobs() -> None:
    names = (
        *("dpmpp_2m", "dpmpp_2m_karras", "dpmpp_2m_sde", "dpmpp_2m_sde_karras"),
        *("dpmpp_3m", "dpmpp_3m_karras", "dpmpp_3m_sde", "dpmpp_3m_sde_karras"),
    )
    assert len({repr(options_of(name, KARRAS_SDE)) for name in names}) == 8
    assert options_of("dpmpp_2m_sde_karras", KARRAS_SDE) == {}
    assert options_of("dpmpp_2m", KARRAS_SDE) == {
        "algorithm_type": "dpmsolver++",
        "use_karras_sigmas": False,
    }


@pytest.mark.parametrize("config", CONFIGS)
def test_a_name_is_the_same_scheduler_on_every_model(config: str) -> None:
    for entry in schedulers.rows("sd"):
        options = options_of(entry.name, CONFIGS[config])
        values = CLASSES[entry.class_name].values(options, CONFIGS[config])
        assert {name: values[name] for name in entry.pins} == entry.pins


@pytest.mark.parametrize("config", CONFIGS)
def test_what_belongs_to_the_model_is_never_set_by_a_name(config: str) -> None:
    for entry in schedulers.rows("sd"):
        left = catalogue.OF_THE_MODEL.keys() - entry.options.keys()
        assert left.isdisjoint(options_of(entry.name, CONFIGS[config]))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_what_from_config_makes_of_it(name: str, config: str) -> None:
    assert options_of(name, CONFIGS[config]) == {}


def test_the_sweeps_own_options_go_before_what_a_name_pins() -> None:
    assert options_of("dpmpp_2m", KARRAS_SDE, use_karras_sigmas=True) == {
        "algorithm_type": "dpmsolver++"
    }
    assert shown("dpmpp_2m", KARRAS_SDE, use_karras_sigmas=True) == "dpmpp_2m_karras"


@pytest.mark.parametrize("config", CONFIGS)
def test_every_diffusion_name_can_be_used_on_every_diffusion_model(config: str) -> None:
    # Noise in full may be NaN where the first timestep has no image left.
    unfit = {"ddim_eta"} if config == "zero snr" else set()
    for entry in schedulers.rows("sd"):
        is_refused = bool(problems(entry.name, CONFIGS[config]))
        assert is_refused is (entry.name in unfit), entry.name


@pytest.mark.parametrize("name", [DPM, SINGLE])
def test_a_class_that_a_deis_config_makes_impossible_is_refused(name: str) -> None:
    assert problems(name, DEIS) == [
        f"{name} cannot be made from a model's config with `algorithm_type: deis`; "
        "set `algorithm_type: dpmsolver++`"
    ]
    assert problems(name, DEIS, algorithm_type="dpmsolver++") == []
    assert options_of(name, DEIS, algorithm_type="dpmsolver++") == {
        "algorithm_type": "dpmsolver++"
    }


@pytest.mark.parametrize(
    ("name", "way_out"),
    [("DEISMultistepScheduler", "deis"), ("SASolverScheduler", "data_prediction")],
)
def test_a_class_that_an_sde_config_makes_impossible_is_refused(
    name: str, way_out: str
) -> None:
    (found,) = problems(name, KARRAS_SDE)
    assert "with `algorithm_type: sde-dpmsolver++`" in found
    assert found.endswith(f"set `algorithm_type: {way_out}`")
    assert options_of(name, KARRAS_SDE, algorithm_type=way_out) == {
        "algorithm_type": way_out
    }


def test_a_pin_is_nothing_that_the_sweep_wrote() -> None:
    # Nothing is said of the many options that a name pins, only of its own.
    (found,) = problems("dpmpp_2m_karras", SD15, use_beta_sigmas=True)
    assert "got `use_karras_sigmas` and `use_beta_sigmas`" in found
    (found,) = problems(DPM, KARRAS_SDE, use_beta_sigmas=True)
    assert "`use_karras_sigmas` (from the model's config)" in found
    assert problems("dpmpp_2m", KARRAS_SDE, use_beta_sigmas=True) == []


@pytest.mark.parametrize(
    ("name", "config", "called"),
    [
        (DPM, KARRAS_SDE, "dpmpp_2m_sde_karras"),
        (DPM, SD15, "dpmpp_2m"),
        (DPM, KARRAS_SDE | {"solver_order": 1}, DPM),
        ("EulerDiscreteScheduler", KARRAS_SDE, "euler_karras"),
        (SINGLE, KARRAS_SDE, SINGLE),
        ("EulerDiscreteScheduler", TRAILING, "euler"),
        ("euler_sgm_uniform", TRAILING, "euler"),
        ("euler_sgm_uniform", SD15, "euler_sgm_uniform"),
        ("plms", SD15, "pndm"),
        ("plms", SD15 | {"skip_prk_steps": False}, "plms"),
        ("PNDMScheduler", SD15 | {"skip_prk_steps": False}, "pndm"),
        ("dpmpp_2m", KARRAS_SDE, "dpmpp_2m"),
        ("dpmpp_2m", DEIS, "dpmpp_2m"),
        ("ddim_eta", SD15, "ddim_eta"),
    ],
)
def test_a_job_is_called_what_it_is(
    name: str, config: dict[str, Any], called: str
) -> None:
    assert shown(name, config) == called


def test_a_sweep_shows_the_name_that_it_asked_for() -> None:
    assert shown("PLMS", SD15, is_asked=True) == "plms"
    assert shown("euler_sgm_uniform", TRAILING, is_asked=True) == "euler_sgm_uniform"
    assert shown("plms", SD15, is_asked=True, steps_offset=0) == "plms(steps_offset=0)"
    as_another = shown("dpmpp_2m", SD15, is_asked=True, use_karras_sigmas=True)
    assert as_another == "dpmpp_2m_karras"


def test_options_that_a_name_leaves_to_the_model_stand_beside_it() -> None:
    called = shown("Euler Karras", KARRAS_SDE, timestep_spacing="trailing")
    assert called == 'euler_karras(timestep_spacing="trailing")'
    spaced = shown("euler", SD15, timestep_spacing="trailing")
    assert spaced == "euler_sgm_uniform"


@pytest.mark.parametrize("config", CONFIGS)
def test_the_names_of_a_job_are_those_that_make_it(config: str) -> None:
    made = {}
    for entry in schedulers.rows("sd"):
        options = options_of(entry.name, CONFIGS[config])
        job = (entry.class_name, repr(options), repr(entry.extras))
        made.setdefault(job, []).append(entry.name)
        found = names_of(
            entry.class_name, options, entry.extras, config=CONFIGS[config]
        )
        assert entry.name in found
        assert found[: len(made[job])] == made[job]
    together = sorted(names for names in made.values() if len(names) > 1)
    is_trailing = CONFIGS[config].get("timestep_spacing") == "trailing"
    same = [["euler", "euler_sgm_uniform"]] if is_trailing else []
    assert together == [*same, ["pndm", "plms"]]


def test_a_flow_name_says_flow_and_a_diffusion_name_does_not() -> None:
    config = SD3 | {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    (found,) = schedulers.check(NAMES["unipc"].scheduler, config=config, family="other")
    assert "use flow_unipc or flow_dpmpp_2m" in found
    asked = NAMES["flow_unipc"].scheduler
    assert schedulers.check(asked, config=config, family="other") == []


def test_a_solver_of_another_class_is_taken_as_workers_have_it() -> None:
    # Once a UniPC scheduler was made from such a config, it says bh2, not heun.
    config = SD15 | {"_class_name": "UniPCMultistepScheduler", "solver_type": "heun"}
    options = options_of("dpmpp_2m_sde_heun", config)
    assert options == {"algorithm_type": "sde-dpmsolver++", "solver_type": "heun"}
    assert options_of("dpmpp_2m", config) == {}


def test_the_label_of_a_name_is_what_the_web_page_calls_it() -> None:
    for entry in NAMES.values():
        assert label_of(entry.name) == entry.label
    assert label_of("ddim(clip_sample=true)") == "ddim(clip_sample=true)"


def test_a_class_that_is_not_known_any_more_has_its_own_name() -> None:
    of_job = ("OldScheduler", {"order": 2}, {})
    assert schedulers.short_name(*of_job, config=SD15) == "OldScheduler(order=2)"
    assert names_of(*of_job, config=SD15) == []


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        (
            "DDIM trailing",
            "write {class: ddim, options: {timestep_spacing: trailing}}",
        ),
        (
            "UniPC trailing",
            "write {class: unipc, options: {timestep_spacing: trailing}}",
        ),
        (
            "DPM++ 2M SGM Uniform",
            "write {class: dpmpp_2m, options: {timestep_spacing: trailing}}",
        ),
        (
            "DDIMScheduler leading",
            "write {class: DDIMScheduler, options: {timestep_spacing: leading}}",
        ),
        (
            "LMS exponential",
            "write {class: lms, options: {use_exponential_sigmas: true}}",
        ),
        ("Euler Normal", "its plain schedule has no word of its own: write euler"),
        (
            "Euler a Automatic",
            "its plain schedule has no word of its own: write euler_a",
        ),
        ("dpmpp_2m_sde_gpu", "no word of its own: write dpmpp_2m_sde"),
    ],
)
def test_another_programs_word_for_a_schedule_is_translated(
    name: str, way_out: str
) -> None:
    with pytest.raises(UsageError) as caught:
        schedulers.resolve(name)
    assert f"{way_out}; `nightsweep schedulers` lists all" in str(caught.value)


@pytest.mark.parametrize("name", ["LCM Karras", "Normal", "Euler Trailing Normal"])
def test_a_schedule_that_a_class_does_not_have_is_not_offered(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        schedulers.resolve(name)
    assert "write " not in str(caught.value)
