"""Long lists of cases: `make test` tries a few of them, `make soak` tries all."""

from collections.abc import Container, Iterable
from typing import Any

import pytest


def sample(
    cases: Iterable[Any], tried: Container[Any], *, quick: Container[Any] | None = None
) -> list[Any]:
    """Mark the cases of a parameter by the suite that tries them.

    Args:
        cases: Values of a parameter, or tuples of values of several ones.
        tried: Those that the suite tries; they differ most in the code that they run.
            The others are marked `slow`.
        quick: Those of `tried` that `make test` tries; the others are marked `long`.
            None if it tries all of them.
    """
    marked = [_mark(case, tried, tried if quick is None else quick) for case in cases]
    assert any(not each.marks for each in marked), "the suite tries none of them"
    return marked


def shorten(cases: Iterable[Any], quick: Container[Any]) -> list[Any]:
    """Mark all cases as `long` but those of `quick`, which `make test` tries."""
    listed = list(cases)
    return sample(listed, listed, quick=quick)


def _mark(case: Any, tried: Container[Any], quick: Container[Any]) -> Any:
    values = case if isinstance(case, tuple) else (case,)
    if case not in tried:
        return pytest.param(*values, marks=pytest.mark.slow)
    return pytest.param(*values, marks=() if case in quick else pytest.mark.long)
