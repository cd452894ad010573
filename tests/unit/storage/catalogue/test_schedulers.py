from typing import Any

import pytest

from storage.catalogue import schedulers
from storage.catalogue.scheduler_case import is_noisy
from storage.catalogue.scheduler_options import CLASSES
from storage.catalogue.schedulers import Scheduler
from storage.errors import UsageError
from tests.builders import SD3, SD15
from tests.model_configs import EDM, EDM_WITH_BETAS


def problems(
    name: str,
    options: dict[str, Any] | None = None,
    *,
    family: str = "sd",
    **config: Any,
) -> str:
    base = SD3 if family in ("sd3", "flux") else SD15
    found = schedulers.check(
        schedulers.resolve(name, options), config=base | config, family=family
    )
    return "\n".join(found)


def effective(name: str, **options: Any) -> dict[str, Any]:
    return schedulers.effective_options(schedulers.resolve(name, options), SD15)


def cost(name: str, *, steps: int, **options: Any) -> int:
    scheduler = schedulers.resolve(name, options)
    return schedulers.evaluations(
        scheduler.class_name, scheduler.options, config=SD15, steps=steps
    )


@pytest.mark.parametrize(
    "name",
    [
        "dpmpp_2m_karras",
        "DPM++ 2M Karras",
        "dpm++ 2m karras",
        "dpmpp_2m_k",
        "DPMPP-2M-KARRAS",
    ],
)
def test_a_scheduler_has_many_spellings(name: str) -> None:
    found = schedulers.resolve(name)
    assert found.class_name == "DPMSolverMultistepScheduler"
    assert found.options == {"use_karras_sigmas": True}


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("Euler a", "euler_a"),
        ("euler_ancestral", "euler_a"),
        ("kdpm_2_a_k", "dpm2_a_karras"),
        ("DPM2 a Karras", "dpm2_a_karras"),
        ("uni_pc", "unipc"),
        ("PLMS", "plms"),
        ("DPM++ SDE Karras", "dpmpp_sde_karras"),
        ("DPM++ 3M SDE Exponential", "dpmpp_3m_sde_exponential"),
        ("DPM-Solver 2M", "dpmsolver_2m"),
        ("DDIM", "ddim"),
        ("SA-Solver", "sa_solver"),
    ],
)
def test_names_of_other_programs_are_understood(name: str, canonical: str) -> None:
    assert schedulers.resolve(name) == schedulers.NAMES[canonical].scheduler


def test_every_spelling_means_one_scheduler() -> None:
    for entry in schedulers.NAMES.values():
        for text in (entry.name, entry.label, *entry.aliases):
            assert schedulers.resolve(text) == entry.scheduler, text


@pytest.mark.parametrize("name", schedulers.CLASSES)
def test_a_class_name_pins_nothing(name: str) -> None:
    for text in (name, name.removesuffix("Scheduler"), name.lower()):
        found = schedulers.resolve(text)
        assert (found.class_name, found.settings) == (name, {})


def test_a_class_that_is_spelt_like_a_name_is_the_name_which_pins_nothing() -> None:
    classes = {name.removesuffix("Scheduler") for name in schedulers.CLASSES}
    shared = [each for each in schedulers.NAMES.values() if each.label in classes]
    assert [each.label for each in shared] == ["DDIM", "DDPM", "PNDM", "LCM", "TCD"]
    assert all(schedulers.resolve(each.label) == each.scheduler for each in shared)
    assert all(not each.pins for each in shared)


def test_every_class_has_a_name_without_options() -> None:
    plain = {name.class_name for name in schedulers.NAMES.values() if not name.options}
    assert plain == set(schedulers.CLASSES)


def test_options_are_set_on_top_of_those_of_the_name() -> None:
    found = schedulers.resolve("DPM++ 2M Karras", {"solver_order": 3})
    assert found.options == {"use_karras_sigmas": True, "solver_order": 3}


def test_eta_belongs_to_the_name() -> None:
    assert schedulers.resolve("DDIM eta").extras == {"eta": 1.0}


def test_an_unknown_name_gets_the_nearest_ones() -> None:
    with pytest.raises(UsageError, match=r"got 'dpmpp_2mm'; did you mean .*dpmpp_2m"):
        schedulers.resolve("dpmpp_2mm")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("EDMEulerScheduler", "trained as in EDM"),
        ("EDMEuler", "trained as in EDM"),
        ("DPM++ 2S a Karras", "no equivalent"),
        ("dpm fast", "no equivalent"),
    ],
)
def test_a_scheduler_that_is_not_offered_says_why(name: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        schedulers.resolve(name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "ddim",
            {"use_karras_sigmas": True},
            "DDIMScheduler has no option `use_karras_sigmas` and would ignore it",
        ),
        ("dpmpp_2m", {"solver_ordr": 3}, "did you mean `solver_order`?"),
        ("dpmpp_2m", {"solver_order": 4}, "must be a whole number from 1 to 3, got 4"),
        ("dpmpp_2m", {"solver_order": 2.5}, "must be a whole number from 1 to 3"),
        ("dpmpp_2m", {"solver_order": True}, "must be a whole number from 1 to 3"),
        ("dpmpp_2m", {"use_karras_sigmas": 1}, "must be true or false, got 1"),
        ("dpmpp_2m", {"algorithm_type": "ddim"}, "must be dpmsolver++ or"),
        ("ddim", {"timestep_spacing": "lin"}, "must be leading or linspace or trail"),
        ("ddim", {"beta_start": 0.1}, "cannot be set, got 0.1: the model was trained"),
        ("ddim", {"prediction_type": "sample"}, "the model was trained with it"),
        ("dpmpp_2m", {"prediction_type": "v_prediction"}, "the model was trained"),
        ("dpmpp_sde", {"noise_sampler_seed": 3}, "vary `seed` instead"),
        ("sa_solver", {"tau_func": "x"}, "a sweep file cannot hold"),
        ("deis", {"algorithm_type": "dpmsolver++"}, "must be deis, got dpmsolver++"),
        ("lcm", {"timestep_spacing": "trailing"}, "never reads it"),
        (
            "euler_karras",
            {"use_beta_sigmas": True},
            "got `use_karras_sigmas` and `use_beta_sigmas`; set all but one to false",
        ),
        ("dpmpp_2m_karras", {"use_lu_lambdas": True}, "one of its sigma schedules"),
        (
            "dpmpp_2m",
            {"algorithm_type": "dpmsolver"},
            "set `final_sigmas_type: sigma_min`",
        ),
        ("unipc", {"solver_type": "bh1"}, "gives NaN at sigma zero"),
        ("unipc", {"predict_x0": False}, "gives NaN at sigma zero"),
        (
            "unipc",
            {
                "solver_order": 3,
                "lower_order_final": False,
                "final_sigmas_type": "sigma_min",
            },
            "singular matrix",
        ),
        (
            "ddim",
            {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
            "needs a model with prediction_type v_prediction, got epsilon",
        ),
        (
            "sa_solver",
            {"algorithm_type": "noise_prediction", "thresholding": True},
            "leave one of them out",
        ),
        ("ddim", {"clip_sample_range": 2}, "does nothing without `clip_sample: true`"),
        ("dpmpp_2m", {"use_flow_sigmas": True}, "is for flow-matching models"),
        ("flow_unipc", None, "is for flow-matching models, and this one is not"),
        ("flow_euler", None, "is for flow-matching models, and this one is not"),
    ],
)
def test_bad_options_get_rule_value_and_way_out(
    name: str, options: dict[str, Any] | None, message: str
) -> None:
    assert message in problems(name, options)


@pytest.mark.parametrize(
    ("name", "options", "family", "message"),
    [
        ("euler", None, "sd3", "needs a flow-matching scheduler"),
        ("dpmpp_2m", None, "sd3", "paints noise without them; use flow_unipc"),
        ("flow_heun", None, "flux", "use flow_euler or flow_unipc"),
        ("flow_dpmpp_2m", None, "flux", "use flow_euler or flow_unipc"),
        ("flow_unipc", {"predict_x0": False}, "sd3", "must predict the image"),
        ("flow_euler", {"stochastic_sampling": True}, "sd3", "must draw no noise"),
        (
            "flow_dpmpp_2m",
            {"algorithm_type": "sde-dpmsolver++"},
            "sd3",
            "`algorithm_type: sde-dpmsolver++`; leave that out",
        ),
    ],
)
def test_flow_models_refuse_what_they_cannot_use(
    name: str, options: dict[str, Any] | None, family: str, message: str
) -> None:
    assert message in problems(name, options, family=family)


def test_a_sigma_schedule_of_the_models_config_counts() -> None:
    by_class = ("EulerDiscreteScheduler", {"use_beta_sigmas": True})
    found = problems(*by_class, use_karras_sigmas=True)
    assert "`use_karras_sigmas` (from the model's config)" in found


def test_zero_snr_is_for_v_prediction() -> None:
    options = {"rescale_betas_zero_snr": True}
    assert problems("ddim", options, prediction_type="v_prediction") == ""


def test_eta_is_for_classes_that_take_it() -> None:
    wrong = Scheduler(class_name="EulerDiscreteScheduler", extras={"eta": 0.5})
    large = Scheduler(class_name="DDIMScheduler", extras={"eta": 1.5})
    (ignored,) = schedulers.check(wrong, config=SD15, family="sd")
    (outside,) = schedulers.check(large, config=SD15, family="sd")
    assert "ignores it, got 0.5" in ignored
    assert "must be a number from 0 to 1, got 1.5" in outside


def test_several_problems_are_told_at_once() -> None:
    found = problems("ddim", {"nonsense": 1, "clip_sample": "yes"})
    assert len(found.splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "options", "steps", "message"),
    [
        ("pndm", {"skip_prk_steps": False}, 3, "needs 4 or more steps, got 3"),
        ("lcm", None, 51, "original_inference_steps, 50, got 51"),
        ("ddim", None, 1001, "num_train_timesteps, 1000, got 1001"),
        ("euler_sgm_uniform", None, 61, "the last at timestep -1, got 61"),
    ],
)
def test_step_counts_that_fail_are_refused(
    name: str, options: dict[str, Any] | None, steps: int, message: str
) -> None:
    scheduler = schedulers.resolve(name, options)
    (found,) = schedulers.check_steps(scheduler, config=SD15, steps=steps)
    assert message in found


def test_one_step_cannot_reach_a_terminal_shift() -> None:
    scheduler = schedulers.resolve("flow_euler", {"shift_terminal": 0.1})
    (found,) = schedulers.check_steps(scheduler, config=SD3, steps=1)
    assert "needs 2 or more steps" in found


def test_an_option_is_dropped_where_the_models_config_says_the_same() -> None:
    assert effective("ddim", clip_sample=False) == {}
    assert effective("ddim", steps_offset=1) == {}
    assert effective("plms") == {}


def test_an_option_that_equals_only_the_class_default_is_kept() -> None:
    assert effective("ddim", clip_sample=True) == {"clip_sample": True}


def test_an_option_is_dropped_where_the_class_default_decides() -> None:
    assert effective("dpmpp_2m", solver_order=2, use_karras_sigmas=False) == {}


def test_a_default_that_diffusers_filled_in_is_no_value_of_the_config() -> None:
    config = SD15 | {"prediction_type": "x", "_use_default_values": ["clip_sample"]}
    scheduler = schedulers.resolve("ddim", {"clip_sample": True})
    assert schedulers.effective_options(scheduler, config) == {}


def test_a_solver_type_of_another_class_is_no_value_of_the_config() -> None:
    scheduler = schedulers.resolve("unipc", {"solver_type": "bh2"})
    config = SD15 | {"solver_type": "midpoint"}
    assert schedulers.effective_options(scheduler, config) == {}


def test_numbers_have_one_form() -> None:
    options = effective("ddim", clip_sample=True, clip_sample_range=2)
    assert repr(options["clip_sample_range"]) == "2.0"
    assert repr(effective("dpmpp_2m", solver_order=3.0)) == "{'solver_order': 3}"


@pytest.mark.parametrize(
    ("class_name", "options", "extras", "name"),
    [
        ("PNDMScheduler", {}, {}, "pndm"),
        ("PNDMScheduler", {"skip_prk_steps": True}, {}, "plms"),
        ("DDIMScheduler", {}, {"eta": 1.0, "clip_skip": 2}, "ddim_eta"),
        ("DDIMScheduler", {}, {"eta": 0.5}, "ddim(eta=0.5)"),
        ("DDIMScheduler", {"clip_sample": True}, {}, "ddim(clip_sample=true)"),
        (
            "DPMSolverMultistepScheduler",
            {"solver_order": 1, "use_karras_sigmas": True},
            {},
            "DPMSolverMultistepScheduler(solver_order=1, use_karras_sigmas=true)",
        ),
        (
            "UniPCMultistepScheduler",
            {"disable_corrector": [0]},
            {},
            "UniPCMultistepScheduler(disable_corrector=[0])",
        ),
    ],
)
def test_the_shown_name_is_the_canonical_one(
    class_name: str, options: dict[str, Any], extras: dict[str, Any], name: str
) -> None:
    assert schedulers.short_name(class_name, options, extras, config={}) == name


def test_every_name_is_shown_as_itself() -> None:
    for entry in schedulers.NAMES.values():
        of_job = (entry.class_name, entry.options, entry.extras)
        assert schedulers.short_name(*of_job, config={}) == entry.name
        assert schedulers.names_of(*of_job, config={}) == [entry.name]


@pytest.mark.parametrize(
    ("name", "options", "counts"),
    [
        ("ddim", {}, (1, 4, 20)),
        ("heun", {}, (1, 7, 39)),
        ("dpmpp_sde_karras", {}, (1, 7, 39)),
        ("pndm", {}, (1, 5, 21)),
        ("flow_heun", {}, (1, 7, 39)),
    ],
)
def test_evaluations_are_not_steps(
    name: str, options: dict[str, Any], counts: tuple[int, ...]
) -> None:
    assert tuple(cost(name, steps=n, **options) for n in (1, 4, 20)) == counts


def test_pndm_with_its_runge_kutta_start_costs_nine_more() -> None:
    assert cost("pndm", skip_prk_steps=False, steps=20) == 29


def test_a_pipeline_that_hands_a_generator_takes_noise_in_flow_matching() -> None:
    asked = schedulers.resolve("flow_euler", {"stochastic_sampling": True})
    of_sana, of_aura_flow = (
        schedulers.check(asked, config=SD3, family="other", pipeline=pipeline)
        for pipeline in ("SanaPipeline", "AuraFlowPipeline")
    )
    assert of_sana == []
    assert ["AuraFlowPipeline hands it no" in each for each in of_aura_flow] == [True]


def test_the_models_config_can_make_a_scheduler_stochastic() -> None:
    of = CLASSES["DPMSolverMultistepScheduler"]
    config = SD15 | {"algorithm_type": "sde-dpmsolver++"}
    assert not is_noisy(of, of.values({}, SD15), 0.0)
    assert is_noisy(of, of.values({}, config), 0.0)


def test_schedulers_that_draw_noise_are_known() -> None:
    noisy = {row.name for row in schedulers.rows() if not row.is_deterministic}
    assert noisy == {
        *("ddim_eta", "ddpm", "euler_a", "dpm2_a", "dpm2_a_karras", "sa_solver"),
        *("dpmpp_2m_sde", "dpmpp_2m_sde_karras", "dpmpp_2m_sde_exponential"),
        *("dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_karras", "dpmpp_3m_sde"),
        *("dpmpp_3m_sde_karras", "dpmpp_3m_sde_exponential", "dpmpp_2s_sde"),
        *("dpmpp_sde", "dpmpp_sde_karras", "lcm", "tcd_eta"),
    }


def test_only_dpm_solver_sde_takes_the_seed() -> None:
    takers = [name for name in schedulers.CLASSES if schedulers.takes_seed(name)]
    assert takers == ["DPMSolverSDEScheduler"]


def test_eta_takers_are_ddim_and_tcd() -> None:
    takers = [name for name in schedulers.CLASSES if schedulers.takes_eta(name)]
    assert takers == ["DDIMScheduler", "TCDScheduler"]


def test_the_list_can_be_cut_to_a_models_family() -> None:
    names = [row.name for row in schedulers.rows("sd3")]
    assert names == [row.name for row in schedulers.rows("flow")]
    assert "flow_unipc" in names
    assert "euler" not in names
    assert len(schedulers.rows()) == len(schedulers.NAMES)


def test_the_list_names_packages_and_costs() -> None:
    by_name = {row.name: row for row in schedulers.rows()}
    assert by_name["dpmpp_sde"].requires == ("torchsde",)
    assert by_name["euler_beta"].requires == ("scipy",)
    assert by_name["heun"].evaluations == "2n-1"
    assert by_name["pndm"].evaluations == "n+9 (n+1 as PLMS)"


@pytest.mark.parametrize("name", ["ddim", "euler", "dpmpp_2m", "lcm"])
def test_a_model_without_betas_is_for_schedulers_as_in_edm(name: str) -> None:
    asked = schedulers.resolve(name)
    (said,) = schedulers.check(asked, config=EDM, family="sdxl")
    assert "was trained as in EDM (Karras et al. 2022), where" in said
    assert said.endswith("paints noise; name another model")
    assert schedulers.check(asked, config=EDM_WITH_BETAS, family="sdxl") == []
