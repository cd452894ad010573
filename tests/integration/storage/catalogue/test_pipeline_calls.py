"""The catalogue of pipelines' inputs against the source of the installed diffusers."""

import ast
import inspect
import re
from collections import defaultdict
from typing import Any

import diffusers
import pytest

from storage.catalogue.pipeline_calls import (
    FILE,
    OWN,
    PREFIX,
    all_parameters,
    bounds_of,
    fixed_inputs,
    parameters_of,
    why_refused,
)
from tests.call_signatures import as_json, inputs_of, pipelines
from tests.integration.storage.catalogue.test_pipeline_families import (
    NEEDS_SENTENCEPIECE,
)

#: Those whose class can be imported here.
IMPORTED = sorted(set(pipelines()) - NEEDS_SENTENCEPIECE - {"KolorsPAGPipeline"})


def test_the_catalogue_is_what_the_installed_diffusers_has() -> None:
    assert FILE.read_text() == as_json(), "run `python -m tests.call_signatures`"


@pytest.mark.parametrize("pipeline", IMPORTED)
def test_names_and_defaults_are_those_that_python_sees(pipeline: str) -> None:
    call: Any = getattr(diffusers, pipeline).__call__
    seen = inspect.signature(call).parameters
    read = [name for name, _, _ in inputs_of(pipeline)]
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    assert read == [n for n, p in seen.items() if n != "self" and p.kind not in kinds]
    for name, one in parameters_of(pipeline).items():
        default = seen[name.removeprefix(PREFIX)].default
        assert one.default == (
            tuple(default) if one.kind == "integers" and default else default
        )


@pytest.mark.parametrize("pipeline", pipelines())
def test_every_input_is_in_the_catalogue_or_refused_or_a_parameter_of_jobs(
    pipeline: str,
) -> None:
    for name, _, _ in inputs_of(pipeline):
        homes = (
            f"{PREFIX}{name}" in parameters_of(pipeline),
            bool(why_refused(name)),
            name in OWN,
        )
        assert sum(homes) == 1, (name, homes)


def test_a_name_means_the_same_kind_of_value_in_every_pipeline() -> None:
    kinds = defaultdict(set)
    for pipeline in pipelines():
        for name, one in parameters_of(pipeline).items():
            kinds[name].add((one.kind, one.length))
    assert {name: len(found) for name, found in kinds.items()} == dict.fromkeys(
        all_parameters(), 1
    )


@pytest.mark.parametrize("pipeline", pipelines())
def test_every_default_is_a_value_that_a_sweep_may_set(pipeline: str) -> None:
    for name, one in parameters_of(pipeline).items():
        if one.default is None or one.kind in ("flag", "text"):
            continue
        low, high = bounds_of(name, one.kind)
        values = one.default if one.kind == "integers" else (one.default,)
        assert all(low <= value <= (one.maximum or high) for value in values), name


@pytest.mark.parametrize("pipeline", pipelines())
def test_no_language_model_rewrites_the_prompt(pipeline: str) -> None:
    defaults = {name: default for name, _, default in inputs_of(pipeline)}
    rewriting = [name for name in defaults if re.search(r"_pe$|rewrit|upsampl", name)]
    assert all(map(why_refused, rewriting))
    is_on = [
        name
        for name in rewriting
        if ast.unparse(defaults[name] or ast.Pass()) == "True"
    ]
    assert fixed_inputs(pipeline) == dict.fromkeys(is_on, False)
