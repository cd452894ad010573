"""What is left to `make test-long` and `make soak` has a quick test beside it."""

import ast
from pathlib import Path

import pytest

from tests.processes import ROOT

#: Marks of tests that `make test` leaves out.
LEFT_OUT = {"pytest.mark.long", "pytest.mark.slow"}
FILES = sorted((ROOT / "tests").rglob("test_*.py"))
WITH_LONG = [file for file in FILES if "pytest.mark.long" in file.read_text()]


def marks_of(test: ast.FunctionDef) -> set[str]:
    """Return what decorates a test; cases of a parameter have marks of their own."""
    return {ast.unparse(each) for each in test.decorator_list}


@pytest.mark.parametrize("file", WITH_LONG, ids=lambda file: file.stem)
def test_a_file_with_long_tests_has_a_quick_one(file: Path) -> None:
    body = ast.parse(file.read_text()).body
    tests = [each for each in body if isinstance(each, ast.FunctionDef)]
    tests = [each for each in tests if each.name.startswith("test_")]
    assert any(not marks_of(test) & LEFT_OUT for test in tests)
    for each in body:
        if (
            isinstance(each, ast.Assign)
            and ast.unparse(each.targets[0]) == "pytestmark"
        ):
            assert "pytest.mark.long" not in ast.unparse(each.value)
