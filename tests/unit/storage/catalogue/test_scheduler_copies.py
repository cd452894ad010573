from collections.abc import Mapping
from typing import Any

import pytest

from storage.catalogue.scheduler_copies import why_same
from storage.catalogue.schedulers import resolve
from tests.builders import KARRAS_SDE, SD15


@pytest.mark.parametrize(
    ("first", "second", "config", "why"),
    [
        ("pndm", "plms", SD15, "sets `skip_prk_steps: true`"),
        ("DDIM", "ddim", SD15, "two spellings of one scheduler"),
        ("EulerDiscreteScheduler", "euler", SD15, "only one of them sets what the"),
        (
            *("EulerDiscreteScheduler", "euler_karras", KARRAS_SDE),
            "sets `use_karras_sigmas: true`",
        ),
        (
            *("DPMSolverMultistepScheduler", "dpmpp_2m_sde_karras", KARRAS_SDE),
            "sets `algorithm_type: sde-dpmsolver++`, `use_karras_sigmas: true`",
        ),
    ],
)
def test_two_names_of_one_scheduler_are_told_with_the_reason(
    first: str, second: str, config: Mapping[str, Any], why: str
) -> None:
    said = why_same(resolve(first), resolve(second), config=config)
    assert said.startswith("since ")
    assert why in said
