"""What is said of numbers of steps that fail; that they do is tried with diffusers."""

from collections.abc import Mapping
from typing import Any

import pytest

from storage.catalogue import schedulers
from tests.builders import SD3, SD15, ZERO_SNR
from tests.model_configs import COSINE, EDM_WITH_BETAS, PIXART, V_PREDICTION

ZERO_SNR_DDIM = {**ZERO_SNR, "_class_name": "DDIMScheduler"}


def refusals(
    name: str,
    steps: int,
    *,
    config: Mapping[str, Any] = SD15,
    dtype: str = "float32",
    options: Mapping[str, Any] | None = None,
    begins_at_zero: bool = False,
) -> list[str]:
    return schedulers.check_steps(
        schedulers.resolve(name, options),
        config=config,
        steps=steps,
        dtype=dtype,
        begins_at_zero=begins_at_zero,
    )


def test_a_first_timestep_that_is_there_twice_is_refused_with_the_nearest_count() -> (
    None
):
    assert refusals("dpmpp_2m_beta", 31) == []
    assert refusals("dpmpp_2m_beta", 32) == [
        "DPMSolverMultistepScheduler looks up its first timestep, which must occur"
        " once, but 32 steps with `use_beta_sigmas` can round to it twice on this"
        " model; use 31 steps or fewer"
    ]


@pytest.mark.parametrize(
    ("name", "config", "last"),
    [
        ("dpmpp_2m_karras", ZERO_SNR_DDIM, 20),
        ("unipc_karras", ZERO_SNR_DDIM, 20),
        ("dpmpp_2m_beta", ZERO_SNR_DDIM, 3),
        ("dpmpp_2m_beta", COSINE, 2),
        ("dpm2_karras", COSINE, 5),
        ("euler_beta", COSINE, 353),
        ("flow_unipc", SD3, 333),
    ],
)
def test_the_largest_count_with_one_first_timestep_is_known(
    name: str, config: Mapping[str, Any], last: int
) -> None:
    assert refusals(name, last, config=config) == []
    (said,) = refusals(name, last + 1, config=config)
    assert said.endswith(f"; use {last} steps or fewer")


def test_a_pipeline_that_begins_at_its_first_timestep_may_have_it_twice() -> None:
    assert refusals("dpmpp_2m_beta", 50, begins_at_zero=True) == []


@pytest.mark.parametrize("name", ["ddim", "ddpm", "plms"])
def test_timesteps_beyond_the_training_are_refused(name: str) -> None:
    assert refusals(name, 999) == []
    (said,) = refusals(name, 1000)
    assert "must not begin beyond timestep 999, got 1000 steps" in said
    assert said.endswith("; use 999 steps or fewer")


def test_a_step_behind_the_training_has_the_level_of_the_next() -> None:
    leading = {**SD15, "timestep_spacing": "leading", "steps_offset": 1}
    for name in ("lms", "dpmpp_sde"):
        assert refusals(name, 1000) == []
        assert refusals(name, 999, config=leading) == []
        (said,) = refusals(name, 1000, config=leading)
        assert "two steps of 1000 have the same, which gives NaN; use 999" in said
        assert refusals(f"{name}_karras", 1000, config=leading) == []


@pytest.mark.parametrize("name", ["dpmpp_2m", "dpmpp_3m", "deis", "unipc", "sa_solver"])
def test_as_many_steps_as_the_training_has_are_refused(name: str) -> None:
    assert refusals(name, 999) == []
    (said,) = refusals(name, 1000)
    assert "two steps of 1000 have the same, which gives NaN; use 999 steps or" in said


@pytest.mark.parametrize(
    ("name", "config"), [("dpm2_a", PIXART), ("dpm2_a_karras", EDM_WITH_BETAS)]
)
def test_a_jump_that_float32_cannot_subtract_is_refused(
    name: str, config: Mapping[str, Any]
) -> None:
    (said,) = refusals(name, 2, config=config)
    assert "more than 2048 times smaller" in said
    assert said.endswith("; use 3 steps")


def test_a_first_level_that_float16_cannot_hold_is_refused() -> None:
    assert refusals("euler", 20, config=COSINE) == []
    assert refusals("euler", 20, config=COSINE, dtype="bfloat16") == []
    assert refusals("euler", 20, dtype="float16") == []
    (said,) = refusals("euler", 20, config=COSINE, dtype="float16")
    assert "begins at noise level 20291 on this model; set `dtype: float32`" in said


@pytest.mark.parametrize("low", [True, False])
def test_a_third_order_step_between_equal_levels_is_refused(*, low: bool) -> None:
    options = {"final_sigmas_type": "sigma_min", "lower_order_final": low}
    first = 15 if low else 3
    assert refusals("dpmpp_3m_karras", first - 1, options=options) == []
    (said,) = refusals("dpmpp_3m_karras", first, options=options)
    assert said.endswith("set `solver_order: 2`")


def test_noise_in_full_on_a_zero_snr_model_is_refused() -> None:
    asked = schedulers.resolve("ddim_eta")
    (said,) = schedulers.check(asked, config=ZERO_SNR_DDIM, family="sd")
    assert "must be below 1" in said
    assert "set `eta: 0.99`" in said
    assert schedulers.check(asked, config=V_PREDICTION, family="sd") == []


@pytest.mark.parametrize("name", ["euler_a", "dpm2", "dpm2_a", "dpmpp_sde", "plms"])
def test_a_class_that_cannot_predict_images_is_refused_on_such_a_model(
    name: str,
) -> None:
    config = {**SD15, "prediction_type": "sample"}
    (said,) = schedulers.check(schedulers.resolve(name), config=config, family="sd")
    assert "cannot work with what this model predicts" in said
    assert said.endswith("use ddim, euler or dpmpp_2m")
    assert not schedulers.check(schedulers.resolve("euler"), config=config, family="sd")


def test_an_unknown_prediction_type_is_told() -> None:
    config = {**SD15, "prediction_type": "v-prediction"}
    (said,) = schedulers.check(schedulers.resolve("ddim"), config=config, family="sd")
    assert said.endswith("from its config; correct the model's config")


def test_the_stochastic_dpm_solver_has_no_third_order() -> None:
    options = {
        "algorithm_type": "sde-dpmsolver",
        "solver_order": 3,
        "final_sigmas_type": "sigma_min",
    }
    asked = schedulers.resolve("DPMSolverMultistepScheduler", options)
    (said,) = schedulers.check(asked, config=SD15, family="sd")
    assert said.endswith("set `solver_order: 2`")
