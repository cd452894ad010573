"""The table of schedulers, held against Flax's classes and torch's catalogue."""

from inspect import signature
from typing import Any

import diffusers
import jax
import jax.numpy as jnp
import pytest

from storage.catalogue.backends import FLAX_SCHEDULERS, SUPPORTED
from storage.catalogue.schedulers import CLASSES
from storage.errors import JobError
from tests.builders import SD15
from workers.flax import flax_schedulers

DDPM = "DDPMScheduler"
LMS = "LMSDiscreteScheduler"


def test_the_table_has_each_class_that_diffusers_has_for_flax() -> None:
    known = {name for name in CLASSES if hasattr(diffusers, f"Flax{name}")}
    assert set(FLAX_SCHEDULERS) == known


@pytest.mark.parametrize("name", SUPPORTED)
def test_an_option_is_one_of_flax_or_has_one_value(name: str) -> None:
    taken = signature(getattr(diffusers, f"Flax{name}").__init__).parameters
    limits = FLAX_SCHEDULERS[name].limits
    assert limits.keys() <= CLASSES[name].options.keys()
    for option in CLASSES[name].options.values():
        is_inactive = bool(option.needs) and not any(
            value in limits.get(switch, (value,))
            for switch, value in option.needs.items()
        )
        is_ending = option.name == "final_sigmas_type"
        is_offset = option.name == "steps_offset" and name.startswith(("DPM", "Euler"))
        is_fixed = len(limits.get(option.name, ())) == 1
        assert option.name in taken or is_fixed or is_inactive or is_ending or is_offset


@pytest.mark.parametrize("name", SUPPORTED)
def test_flax_has_the_values_that_torch_takes_from_a_model(name: str) -> None:
    scheduler, _ = flax_schedulers.build(name, {}, config=SD15)
    values = CLASSES[name].values({}, SD15)
    for option, value in scheduler.config.items():
        if option in values or option in SD15:
            assert value == values.get(option, SD15.get(option))


def _step(name: str) -> None:
    scheduler = getattr(diffusers, f"Flax{name}")()
    shape = (1, 4, 8, 8)
    state = scheduler.set_timesteps(
        scheduler.create_state(), num_inference_steps=4, shape=shape
    )

    def body(index: Any, carried: Any) -> Any:
        sample, state = carried
        timestep = state.timesteps[index]
        return scheduler.step(state, sample, timestep, sample, return_dict=False)

    jax.lax.fori_loop(0, 4, body, (jnp.ones(shape), state))


@pytest.mark.parametrize(
    ("name", "error"),
    [(DDPM, TypeError), (LMS, jax.errors.TracerBoolConversionError)],
)
def test_a_refused_class_still_fails(name: str, error: type[Exception]) -> None:
    assert FLAX_SCHEDULERS[name].refusal
    with pytest.raises(error):
        _step(name)


def test_a_refusal_says_the_rule_the_value_and_the_way_out() -> None:
    with pytest.raises(JobError) as caught:
        flax_schedulers.build(LMS, {}, config=SD15)
    assert str(caught.value) == (
        "a scheduler of `backend: flax` must be DDIMScheduler, "
        "DPMSolverMultistepScheduler, EulerDiscreteScheduler or PNDMScheduler, got "
        "LMSDiscreteScheduler: that of diffusers for Flax cannot be compiled; name "
        "another one, or use `backend: torch`"
    )
