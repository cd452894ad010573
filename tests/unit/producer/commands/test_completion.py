"""Completion: what a real bash offers for a command line."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from producer.cli import COMMANDS, cli
from producer.commands.completion import VARIABLE
from tests.matrices import shorten
from tests.unit.filled_store import filled

#: Reads our script, then asks for the last word as bash does.
ASK = """
eval "$1"; shift
COMP_WORDS=(nightsweep "$@"); COMP_CWORD=$#
compopt() { echo "option ${!#}"; }
_nightsweep_completion nightsweep
printf '%s\\n' "${COMPREPLY[@]}"
"""
#: What each script has besides click's own words.
OURS = {"bash": "compopt -o nospace", "zsh": "-V begun", "fish": "--max 1"}

#: Words, and what bash offers for the last of them.
OFFERS = (
    (("comp",), ["compare", "completion"]),
    (("pause", ""), ["shapes"]),
    (("pause", "shapes", ""), [""]),
    (("run", "sha"), ["shapes"]),
    (("run", "examples/f"), ["option default", ""]),
    (("status", "--by", "s"), ["scheduler", "steps"]),
    (("find", "--sort", "steps,-gui"), ["steps,-guidance"]),
    (("find", "sha"), ["shapes"]),
    (("find", "shapes", "guid"), ["option nospace", "guidance:"]),
    (("find", "shapes", "steps:2"), ["steps:2", "steps:20"]),
    (("find", "--scheduler", "dpmpp_2m_sde_k"), ["dpmpp_2m_sde_karras"]),
    (("show", "gone.png", "--scr"), ["--script"]),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    filled(folder)
    return folder


@pytest.fixture
def offered(home: Path) -> Callable[..., list[str]]:
    """Return what bash offers for the last of these words."""
    script = CliRunner().invoke(cli, ["completion", "bash"]).stdout
    bin_folder = home / "bin"
    bin_folder.mkdir(exist_ok=True)
    program = bin_folder / "nightsweep"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m nightsweep "$@"\n')
    program.chmod(0o755)

    def ask(*words: str, home: Path = home) -> list[str]:
        said = subprocess.run(
            ["bash", "-c", ASK, "bash", script, *words],
            env={"NIGHTSWEEP_HOME": str(home), "PATH": f"{bin_folder}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert not said.stderr
        return said.stdout.split("\n")[:-1]

    return ask


@pytest.mark.parametrize(("words", "expected"), shorten(OFFERS, OFFERS[3::5]))
def test_bash_offers(
    words: tuple[str, ...], expected: list[str], offered: Callable[..., list[str]]
) -> None:
    assert offered(*words) == expected


def test_without_a_database_nothing_is_offered_and_nothing_is_said(
    tmp_path: Path, offered: Callable[..., list[str]]
) -> None:
    assert offered("find", "sha", home=tmp_path) == [""]
    assert offered("pause", "", home=tmp_path) == [""]
    assert not list(tmp_path.iterdir())


def test_commands_are_offered_without_importing_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(type(cli), "get_command", refuse)
    asked = ShellComplete(cli, {}, "nightsweep", VARIABLE)
    assert [one.value for one in asked.get_completions([], "")] == list(COMMANDS)


def test_a_shell_that_starts_waits_for_no_sqlalchemy() -> None:
    code = (
        "import sys; from producer.cli import cli; "
        "cli(['completion', 'bash'], standalone_mode=False); "
        "sys.exit(' '.join({'sqlalchemy', 'celery'} & set(sys.modules)) or None)"
    )
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_which_asks_this_program(shell: str) -> None:
    said = CliRunner().invoke(cli, ["completion", shell])
    assert said.exit_code == 0
    assert f"{VARIABLE}={shell}_complete" in said.stdout
    assert OURS[shell] in said.stdout
    by_itself = CliRunner(env={"SHELL": f"/usr/bin/{shell}"})
    assert by_itself.invoke(cli, ["completion"]).stdout == said.stdout


def test_an_unknown_shell_is_answered_with_those_that_there_are() -> None:
    said = CliRunner(env={"SHELL": "/bin/tcsh"}).invoke(cli, ["completion"])
    assert said.exit_code == 2
    assert "must be one of bash, zsh, fish, got 'tcsh'" in said.stderr
