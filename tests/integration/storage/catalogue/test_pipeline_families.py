"""The table of pipeline families against the classes of the installed diffusers."""

import inspect
from collections.abc import Mapping
from typing import Any

import diffusers
import pytest

from storage.catalogue.pipeline_families import FAMILIES

#: Families whose numbers are not the defaults of their class, and say why.
OTHER_STEPS = {"StableDiffusionPipeline", "StableDiffusionXLPipeline"}
OTHER_GUIDANCE = {"StableDiffusion3Pipeline"}
#: Without sentencepiece, diffusers has only a stand-in without a signature.
NEEDS_SENTENCEPIECE = {"KolorsPipeline"}
OPTIONAL_INPUTS = {"negative_prompt", "eta", "clip_skip"}

names = pytest.mark.parametrize("name", sorted(FAMILIES.keys() - NEEDS_SENTENCEPIECE))


def inputs_of(name: str) -> Mapping[str, inspect.Parameter]:
    call: Any = getattr(diffusers, name).__call__
    return inspect.signature(call).parameters


@names
def test_steps_are_the_default_of_the_class(name: str) -> None:
    default = inputs_of(name)["num_inference_steps"].default
    assert (FAMILIES[name].steps == default) is (name not in OTHER_STEPS)


@names
def test_guidance_is_the_default_of_the_class(name: str) -> None:
    taken = inputs_of(name).get("guidance_scale")
    default = taken.default if taken else None
    assert (FAMILIES[name].guidance == default) is (name not in OTHER_GUIDANCE)


@names
def test_the_input_for_the_scale_is_one_of_the_class(name: str) -> None:
    assert FAMILIES[name].takes_scale is ("guidance_scale" in inputs_of(name))


@names
def test_a_scale_of_its_own_is_the_default_of_the_class(name: str) -> None:
    taken = inputs_of(name).get("true_cfg_scale")
    if taken:
        assert FAMILIES[name].own_scale == taken.default
    else:
        assert FAMILIES[name].own_scale in (None, 1.0)


@names
def test_optional_inputs_are_those_of_the_class(name: str) -> None:
    assert FAMILIES[name].inputs == OPTIONAL_INPUTS & inputs_of(name).keys()


@names
def test_a_stated_side_is_the_default_of_the_class(name: str) -> None:
    default = inputs_of(name)["height"].default
    if isinstance(default, int):
        assert FAMILIES[name].side == default


@names
def test_a_setting_that_embeds_guidance_is_one_of_its_network(name: str) -> None:
    family = FAMILIES[name]
    if family.embeds in (None, "always"):
        return
    part, _, setting = family.embeds.partition(".")
    network = inspect.signature(getattr(diffusers, name).__init__).parameters[part]
    taken = inspect.signature(network.annotation.__init__).parameters
    default = taken[setting].default
    assert family.is_embedded_unstated is (default not in (None, False))


@names
def test_pipelines_begin_at_their_first_timestep_as_the_table_says(name: str) -> None:
    source = inspect.getsource(inspect.getmodule(getattr(diffusers, name)))
    assert ("set_begin_index(0)" in source) is FAMILIES[name].begins_at_zero
