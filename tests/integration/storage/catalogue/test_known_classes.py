"""The names of classes that a plan knows against the installed diffusers."""

import inspect
import warnings
from typing import Any

import diffusers
import pytest

from storage.catalogue.known_classes import OTHER_SCHEDULERS, UNTRIED_PIPELINES
from storage.catalogue.schedulers import CLASSES

#: What `workers.engine.plain` hands to every pipeline.
NEEDED = {
    *("prompt", "num_inference_steps", "width", "height", "generator", "output_type"),
}


def find(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(diffusers, name)


def test_all_schedulers_of_diffusers_are_known() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {name for name in dir(diffusers) if name.endswith("Scheduler")}
    there = CLASSES.keys() | OTHER_SCHEDULERS
    assert {name for name in names if not name.startswith("Flax")} == there


@pytest.mark.parametrize("name", sorted(UNTRIED_PIPELINES))
def test_untried_pipelines_take_what_they_are_called_with(name: str) -> None:
    made_by = find(name)
    if not hasattr(made_by, "_get_signature_keys"):
        pytest.skip(f"{name} needs a package that is not installed")
    taken = inspect.signature(made_by.__call__).parameters
    assert taken.keys() >= NEEDED
    required = [n for n, each in taken.items() if each.default is inspect._empty]
    assert set(required) <= {"self", "prompt", "args", "kwargs"}
    assert "scheduler" in inspect.signature(made_by.__init__).parameters
