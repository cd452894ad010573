import json
from typing import Any

import pytest

from analysis.settings import (
    Setting,
    circumstances_of,
    read_columns,
    setting_of,
)
from storage.errors import UsageError

ROW: dict[str, Any] = {
    "prompt": "a red circle",
    "seed": 3,
    "scheduler": "ddim",
    "steps": 20,
    "guidance": 2.5,
    "negative_prompt": "",
    "model": "builtin:shapes",
    "model_fingerprint": "f" * 32,
    "width": 64,
    "height": 64,
    "dtype": "float32",
    "backend": "torch",
    "generator": "cpu",
    "extras": "{}",
}


def test_a_setting_reads_like_a_phrase() -> None:
    assert str(setting_of(ROW, ("scheduler", "steps"))) == "ddim at 20 steps"
    assert str(setting_of(ROW, ("steps",))) == "20 steps"
    assert str(setting_of(ROW, ("scheduler", "guidance"))) == "ddim, guidance 2.5"


def test_a_series_is_the_setting_without_its_steps() -> None:
    setting = setting_of(ROW, ("scheduler", "steps", "guidance"))

    assert setting.series == "ddim, guidance 2.5"
    assert setting.steps == 20


def test_a_setting_of_steps_alone_is_in_the_one_series_all() -> None:
    setting = setting_of(ROW, ("steps",))

    assert setting.series == "all"


def test_a_sweeps_own_label_names_a_scheduler() -> None:
    row = {**ROW, "scheduler_label": "3M"}

    assert str(setting_of(row, ("scheduler",))) == "3M"


def test_images_of_different_guidance_are_no_pair() -> None:
    by = ("scheduler", "steps")
    other = {**ROW, "guidance": 7.0, "scheduler": "unipc"}

    assert circumstances_of(ROW, by) != circumstances_of(other, by)
    assert circumstances_of(ROW, (*by, "guidance")) == circumstances_of(
        other, (*by, "guidance")
    )


def test_images_that_differ_only_in_what_is_compared_are_a_pair() -> None:
    other = {**ROW, "scheduler": "unipc", "steps": 4}

    assert circumstances_of(ROW, ("scheduler", "steps")) == circumstances_of(
        other, ("scheduler", "steps")
    )


def test_models_are_compared_by_name_and_told_apart_by_nothing_else() -> None:
    other = {**ROW, "model": "./mine", "model_fingerprint": "0" * 32}

    assert circumstances_of(ROW, ("model",)) == circumstances_of(other, ("model",))


def test_eta_belongs_to_the_scheduler_that_is_compared() -> None:
    other = {**ROW, "scheduler": "ddim_eta", "extras": '{"eta": 1.0}'}

    assert circumstances_of(ROW, ("scheduler",)) == circumstances_of(
        other, ("scheduler",)
    )
    assert circumstances_of(ROW, ("steps",)) != circumstances_of(other, ("steps",))


def test_columns_are_read_in_their_order() -> None:
    assert read_columns(" steps , scheduler") == ("steps", "scheduler")


def test_prompts_and_seeds_cannot_be_compared() -> None:
    with pytest.raises(UsageError) as refused:
        read_columns("scheduler,seed")

    assert str(refused.value) == (
        "--by must name settings, got seed: prompts and seeds are what differences are "
        "averaged over; name others, such as scheduler,steps."
    )


def test_an_unknown_column_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as refused:
        read_columns("sampler")

    assert str(refused.value) == (
        "--by must name columns of scheduler, steps, guidance, model, negative_prompt, "
        "width, height, dtype, generator, backend, extras, got 'sampler'."
    )


@pytest.mark.parametrize("text", ["", " , ", "steps,steps"])
def test_each_column_must_be_named_once(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_columns(text)

    assert str(refused.value) == (
        f"--by must name one column or several, each once, got {text!r}."
    )


def test_settings_of_equal_values_are_equal() -> None:
    assert Setting((("steps", 20),)) == setting_of(ROW, ("steps",))


def called(**extras: Any) -> dict[str, Any]:
    return {**ROW, "pipeline": "FluxPipeline", "extras": json.dumps(extras)}


def test_inputs_of_pipelines_are_compared_with_the_default_where_not_set() -> None:
    by = ("call.true_cfg_scale", "steps")
    row, neutral = called(**{"call.true_cfg_scale": 3.5}), called()

    assert str(setting_of(row, by)) == "true_cfg_scale 3.5 at 20 steps"
    assert str(setting_of(neutral, by)) == "true_cfg_scale 1 at 20 steps"
    assert circumstances_of(row, by) == circumstances_of(neutral, by)
    assert circumstances_of(row, ("steps",)) != circumstances_of(neutral, ("steps",))


def test_an_input_that_no_pipeline_has_is_not_compared() -> None:
    assert read_columns("call.true_cfg_scale") == ("call.true_cfg_scale",)
    with pytest.raises(UsageError, match=r"got 'call\.true_cfg'") as refused:
        read_columns("call.true_cfg")

    assert ", call.true_cfg_scale" in str(refused.value)
