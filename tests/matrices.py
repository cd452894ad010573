"""Long lists of cases: the suite tries some of them, `make soak` tries all."""

from collections.abc import Container, Iterable
from typing import Any

import pytest


def sample(cases: Iterable[Any], tried: Container[Any]) -> list[Any]:
    """Mark as slow all cases but those that the suite tries.

    Args:
        cases: Values of a parameter, or tuples of values of several ones.
        tried: Those of them that differ most in the code that they run.
    """
    marked = []
    for case in cases:
        values = case if isinstance(case, tuple) else (case,)
        marks = () if case in tried else pytest.mark.slow
        marked.append(pytest.param(*values, marks=marks))
    assert any(not each.marks for each in marked), "the suite tries none of them"
    return marked
