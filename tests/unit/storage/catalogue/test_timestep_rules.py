"""What a pipeline for flow matching can drive, and what is refused at plan."""

from typing import Any

import pytest

from storage.catalogue import schedulers
from storage.catalogue.scheduler_sets import choose
from storage.catalogue.schedulers import NAMES
from tests.builders import SD3, SD15

DYNAMIC = {**SD3, "use_dynamic_shifting": True}
SHIFTED = {**SD3, "use_dynamic_shifting": False}
#: The first name of each class for flow matching.
NAMED = ("flow_euler", "flow_heun", "flow_unipc", "flow_dpmpp_2m")


def problems(
    name: str, pipeline: str, config: dict[str, Any], **options: Any
) -> list[str]:
    asked = schedulers.resolve(name, options)
    return schedulers.check(asked, config=config, family="other", pipeline=pipeline)


def that_run(pipeline: str, config: dict[str, Any]) -> list[str]:
    return [name for name in NAMED if not problems(name, pipeline, config)]


@pytest.mark.parametrize(
    ("pipeline", "config", "expected"),
    [
        ("StableDiffusion3Pipeline", SD3, NAMED),
        (
            "StableDiffusion3Pipeline",
            DYNAMIC,
            ("flow_euler", "flow_unipc", "flow_dpmpp_2m"),
        ),
        ("FluxPipeline", DYNAMIC, ("flow_euler", "flow_unipc", "flow_dpmpp_2m")),
        ("FluxPipeline", SHIFTED, ("flow_euler", "flow_unipc")),
        ("Flux2KleinPipeline", SHIFTED, ("flow_euler", "flow_unipc")),
        ("QwenImagePipeline", DYNAMIC, ("flow_euler", "flow_unipc")),
        ("ChromaPipeline", SHIFTED, ("flow_euler", "flow_unipc")),
        ("Krea2Pipeline", DYNAMIC, ("flow_euler", "flow_unipc")),
        ("ZImagePipeline", SHIFTED, ("flow_euler",)),
        ("CogView4Pipeline", DYNAMIC, ("flow_euler",)),
        ("ErnieImagePipeline", SHIFTED, ("flow_euler",)),
        ("HunyuanImagePipeline", SHIFTED, ("flow_euler", "flow_unipc")),
        ("AuraFlowPipeline", SHIFTED, NAMED),
    ],
)
def test_a_pipeline_drives_what_takes_its_inputs(
    pipeline: str, config: dict[str, Any], expected: tuple[str, ...]
) -> None:
    assert that_run(pipeline, config) == list(expected)


def test_a_scheduler_that_lacks_an_input_is_refused_with_those_that_work() -> None:
    assert problems("flow_heun", "QwenImagePipeline", DYNAMIC) == [
        "a scheduler of a QwenImagePipeline must take its mu and sigmas, got"
        " FlowMatchHeunDiscreteScheduler, which does not; use flow_euler or flow_unipc"
    ]


def test_unipc_is_refused_where_the_sigmas_are_no_array() -> None:
    assert problems("flow_unipc", "ZImagePipeline", SHIFTED) == [
        "a scheduler of a ZImagePipeline must compute with sigmas that are no array,"
        " got UniPCMultistepScheduler, which fails; use flow_euler"
    ]


def test_karras_sigmas_of_unipc_must_not_begin_half_way() -> None:
    (said,) = problems(
        "flow_unipc", "QwenImagePipeline", DYNAMIC, use_karras_sigmas=True
    )
    assert "must be false for a QwenImagePipeline, with whose sigmas it begins" in said
    assert not problems("flow_unipc", "FluxPipeline", DYNAMIC, use_karras_sigmas=True)


def test_dpm_solver_needs_a_model_that_shifts_by_size_where_it_is_handed_a_shift() -> (
    None
):
    (said,) = problems("flow_dpmpp_2m", "FluxPipeline", SHIFTED)
    assert "only on models with `use_dynamic_shifting: true`, got false" in said
    assert said.endswith("use flow_euler or flow_unipc")


def test_a_shift_by_size_needs_a_pipeline_that_works_it_out() -> None:
    (said,) = problems(
        "flow_euler", "AuraFlowPipeline", SHIFTED, use_dynamic_shifting=True
    )
    assert "must be false for a AuraFlowPipeline, which works out no shift" in said


@pytest.mark.parametrize(
    ("name", "option"), [("flow_euler", "shift"), ("flow_unipc", "flow_shift")]
)
def test_a_shift_that_the_shift_by_size_replaces_is_refused(
    name: str, option: str
) -> None:
    (said,) = problems(name, "QwenImagePipeline", DYNAMIC, **{option: 5.0})
    assert said == (
        f"`{option}` of {NAMES[name].class_name} does nothing with"
        " `use_dynamic_shifting: true`, as here, got 5; set that to false too, as the"
        " parameter `shift` does, or leave it out"
    )
    fixed = {option: 5.0, "use_dynamic_shifting": False}
    assert not problems(name, "QwenImagePipeline", DYNAMIC, **fixed)


def test_a_limit_of_the_shift_that_the_pipeline_never_reads_is_refused() -> None:
    (said,) = problems("flow_euler", "Flux2Pipeline", DYNAMIC, max_shift=2.0)
    assert "`max_shift` does nothing in a Flux2Pipeline" in said
    assert not problems("flow_euler", "FluxPipeline", DYNAMIC, max_shift=2.0)


def test_a_scheduler_for_noise_is_refused_whatever_the_models_own_is() -> None:
    for pipeline in ("SanaPipeline", "FluxPipeline", "ZImagePipeline"):
        (said,) = problems("euler", pipeline, SD15)
        assert said.startswith("a flow-matching model needs a flow-matching scheduler")


def test_what_all_stands_for_is_what_the_pipeline_drives() -> None:
    chosen = choose(
        "all", family="other", config=SHIFTED, pipeline="ZImagePipeline"
    ).schedulers
    assert [one.class_name for one in chosen] == ["FlowMatchEulerDiscreteScheduler"]
