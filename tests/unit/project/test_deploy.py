import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from producer.cli import cli
from storage.settings import VARIABLES

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
SCRIPT = DEPLOY / "slurm/workers.sbatch"
FILES = sorted([*DEPLOY.rglob("*.yaml"), SCRIPT])
#: Of the scripts themselves.
OWN = {"NIGHTSWEEP_SCRATCH", "NIGHTSWEEP_WORKER_OPTIONS"}


def containers() -> list[dict[str, Any]]:
    found = []
    for path in (DEPLOY / "kubernetes").glob("*.yaml"):
        for one in yaml.safe_load_all(path.read_text()):
            spec = one.get("spec", {})
            pod = spec.get("jobTargetRef", spec).get("template")
            found += pod["spec"]["containers"] if pod else []
    return found


def commands() -> set[str]:
    text = "\n".join(path.read_text() for path in FILES)
    shown = re.findall(r"nightsweep (worker (?:-.*|--.*))$", text, flags=re.MULTILINE)
    default = re.findall(r"WORKER_OPTIONS:-(.*?)\}", text)
    args = [one["args"] for one in containers() if "args" in one]
    lines = [*shown, *(f"worker {words}" for words in default), *map(" ".join, args)]
    return {line for line in lines if "${" not in line}


def test_there_are_commands() -> None:
    assert len(commands()) >= 3


@pytest.mark.parametrize("line", sorted(commands()))
def test_every_command_of_the_files_exists(line: str) -> None:
    arguments = shlex.split(line)
    with click.Context(cli) as context:
        command = cli.get_command(context, arguments[0])
        assert command
        command.make_context(arguments[0], arguments[1:], parent=context)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_variable_of_ours_is_one_that_is_read(path: Path) -> None:
    used = set(re.findall(r"NIGHTSWEEP_[A-Z_]+", path.read_text()))
    assert used <= VARIABLES.keys() | OWN


def test_servers_have_the_versions_of_the_compose_file() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    theirs = {services["redis"]["image"], services["postgres"]["image"]}
    assert {one["image"] for one in containers()} == {*theirs, "nightsweep"}


def test_no_file_has_a_password() -> None:
    for path in FILES:
        for value in re.findall(r"PASSWORD: (.*)$", path.read_text(), re.MULTILINE):
            assert value == "CHANGE-ME"


def test_the_script_for_slurm_is_one_for_bash() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    assert "#SBATCH --signal=B:USR1@" in SCRIPT.read_text()
    assert "USR1" in re.findall(r"trap .* (\w+)$", SCRIPT.read_text(), re.MULTILINE)


def test_the_page_names_each_file_or_its_folder() -> None:
    page = (ROOT / "docs/cluster.md").read_text()
    for path in FILES:
        names = [str(parent.relative_to(ROOT)) for parent in (path, path.parent)]
        assert any(name in page for name in names)
