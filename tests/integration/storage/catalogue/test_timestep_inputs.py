"""What pipelines really hand to `set_timesteps`, and what the classes really take."""

import functools
import inspect
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest

from storage.catalogue.pipeline_calls import fixed_inputs
from storage.catalogue.schedulers import CLASSES
from storage.catalogue.timestep_inputs import HANDED, TAKEN
from tests.matrices import sample
from tests.tiny_kinds import KINDS, allow_small_sizes
from workers.engine.schedulers import fetch_class

#: What diffusers and transformers say of small models that stand in for large ones.
pytestmark = pytest.mark.filterwarnings("ignore")

_INPUTS = {"sigmas", "mu", "timesteps"}
KNOWN = [kind for kind in KINDS if kind.partition(" ")[0] in HANDED]
#: One of each way to hand over.
TRIED = ("FluxPipeline", "QwenImagePipeline", "ZImagePipeline", "CogView4Pipeline")
SOLVER = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}


class _AskedError(Exception):
    """Ends a pipeline's call once it has asked for timesteps."""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_small_sizes(monkeypatch)


@pytest.mark.parametrize("name", CLASSES)
def test_the_catalogue_knows_what_a_class_takes(name: str) -> None:
    taken = inspect.signature(fetch_class(name).set_timesteps).parameters
    assert TAKEN[name] == _INPUTS & taken.keys()


@pytest.mark.parametrize("kind", sample(KNOWN, TRIED))
def test_the_catalogue_knows_what_a_pipeline_hands_over(
    kind: str, tmp_path: Path
) -> None:
    pipe = diffusers.DiffusionPipeline.from_pretrained(
        KINDS[kind](tmp_path / "model"), use_safetensors=True, local_files_only=True
    )
    pipeline, config = type(pipe).__name__, dict(pipe.scheduler.config)
    for class_name, options in (
        ("FlowMatchEulerDiscreteScheduler", {}),
        ("UniPCMultistepScheduler", SOLVER),
        ("DPMSolverMultistepScheduler", SOLVER),
    ):
        for is_dynamic in (False, True):
            own = {**config, "use_dynamic_shifting": is_dynamic}
            pipe.scheduler = getattr(diffusers, class_name).from_config(own, **options)
            given = _inputs_of(pipe)
            handed = HANDED[pipeline]
            if pipeline == "HiDreamImagePipeline" and options and "mu" not in given:
                assert class_name == "UniPCMultistepScheduler"
                continue
            expected = handed.inputs(
                is_flow_solver=bool(options), is_dynamic=is_dynamic
            )
            assert given.keys() == expected, (class_name, is_dynamic)
            if "sigmas" in given:
                is_array = isinstance(given["sigmas"], np.ndarray)
                assert is_array == (handed.sigmas == "array")


def _inputs_of(pipe: Any) -> dict[str, Any]:
    """Return what a pipeline hands to its scheduler, as if that took everything."""
    given: dict[str, Any] = {}
    everything = diffusers.FlowMatchEulerDiscreteScheduler.set_timesteps

    @functools.wraps(everything)
    def set_timesteps(*args: Any, **kwargs: Any) -> None:
        given.update({n: v for n, v in kwargs.items() if n in _INPUTS})
        raise _AskedError

    pipe.scheduler.set_timesteps = set_timesteps
    with pytest.raises(_AskedError):
        pipe(
            prompt="a cat",
            num_inference_steps=4,
            width=64,
            height=64,
            **fixed_inputs(type(pipe).__name__),
        )
    return {name: value for name, value in given.items() if value is not None}
