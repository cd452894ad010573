"""What else names the version and the Pythons agrees with `pyproject.toml`."""

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_python_that_is_named_is_tried() -> None:
    named = [
        each.rpartition(" ")[2]
        for each in PROJECT["classifiers"]
        if each.startswith("Programming Language :: Python :: 3.")
    ]
    file = ROOT / ".github" / "workflows" / "checks.yml"
    checks = yaml.safe_load(file.read_text())["jobs"]["checks"]
    assert checks["strategy"]["matrix"]["python"] == named
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_a_citation_names_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
