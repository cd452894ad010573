"""Strings that name modules: programs that are started, and a command that is found."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest

from tests.processes import ROOT

#: Which module starts which with `python -m`; `docs/design.md` names them too.
PROGRAMS = {
    ("producer.calibration.measuring", "workers.engine.programs"),
    ("producer.health.machine", "workers.devices.gpu_probe"),
    ("producer.reproduction.remaking", "workers.engine.programs"),
    ("producer.running.background", "nightsweep"),
    ("producer.running.local_workers", "nightsweep"),
    ("workers.devices.gpu_probe", "workers.devices.gpu_probe"),
    ("workers.supervision.child", "workers.process.main"),
}
#: Which module names which of another package in a string.
NAMES = {
    ("producer.calibration.measuring", "workers.engine.programs"),
    ("producer.cli", "workers.cli:worker"),
    ("producer.health.machine", "workers.devices.gpu_probe"),
    ("producer.reproduction.remaking", "workers.engine.programs"),
}
PACKAGES = ("storage", "analysis", "producer", "workers")
_MODULE = re.compile(rf"({'|'.join(PACKAGES)})(\.\w+)+(:\w+)?")


@cache
def sources() -> list[tuple[str, ast.Module]]:
    """Every module of the packages, by name."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return [(module_name(file), ast.parse(file.read_text())) for file in files]


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def started(tree: ast.Module) -> Iterator[str]:
    """What follows `-m` in a list or tuple, as it is written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Tuple):
            words = [ast.unparse(each).strip("'") for each in node.elts]
            yield from (word for flag, word in pairwise(words) if flag == "-m")


def named(module: str, tree: ast.Module) -> Iterator[str]:
    """Strings that are the name of a module in another package."""
    package = module.partition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = _MODULE.fullmatch(node.value)
            if found and found[1] != package:
                yield node.value


def test_modules_start_these_programs_only() -> None:
    found = {(module, name) for module, tree in sources() for name in started(tree)}
    assert found == PROGRAMS


def test_no_string_hides_an_import_of_another_package() -> None:
    found = {
        (module, name) for module, tree in sources() for name in named(module, tree)
    }
    assert found == NAMES


@pytest.mark.parametrize("name", sorted({name for _, name in PROGRAMS}))
def test_a_program_that_is_started_is_one(name: str) -> None:
    spec = find_spec(name)
    assert spec is not None, name
    assert spec.origin is not None
    assert 'if __name__ == "__main__":' in Path(spec.origin).read_text()
    assert f"`{name}" in (ROOT / "docs/design.md").read_text()
