"""Completion in zsh and fish as people have them; skipped where they are missing."""

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from producer.cli import SUMMARIES
from tests.matrices import shorten
from tests.processes import wait_until
from tests.unit.filled_store import filled

#: A zsh that completes as in a terminal. Ctrl-O notes the line as it is by then.
ZSHRC = """
autoload -Uz compinit && compinit -u -D
eval "$(nightsweep completion zsh)"
setopt menu_complete
note() { print -r -- "$BUFFER" >> $NOTES }
zle -N note
bindkey '^O' note
print -r -- ready >> $NOTES
"""
COMPARE = SUMMARIES["compare"]
#: Words, and what each shell makes of them.
IN_FISH = (
    ("comp", ["compare", "completion"]),
    ("pause ", ["shapes"]),
    ("find --sort steps,-gui", ["steps,-guidance"]),
    ("find shapes steps:2", ["steps:2", "steps:20"]),
)
IN_ZSH = (
    ("comp", ["compare", "completion"]),
    ("find --sort steps,-gui", ["find --sort steps,-guidance "]),
    # No blank after the colon, so that Tab goes on with a value.
    ("find shapes guid", ["find shapes guidance:", "find shapes guidance:2.5"]),
)
FISH = "nightsweep completion fish | source; complete --do-complete $argv[1]"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Return the environment of a shell that finds our program and a store."""
    home = tmp_path_factory.mktemp("home")
    filled(home)
    bin_folder = home / "bin"
    bin_folder.mkdir()
    program = bin_folder / "nightsweep"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m nightsweep "$@"\n')
    program.chmod(0o755)
    return {
        "HOME": str(home),
        "NIGHTSWEEP_HOME": str(home),
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "TERM": "dumb",
    }


def shell(name: str) -> str:
    return shutil.which(name) or pytest.skip(f"there is no {name}; install it")


@pytest.mark.parametrize(("line", "expected"), shorten(IN_FISH, IN_FISH[:1]))
def test_fish_offers(
    line: str, expected: list[str], environment: Mapping[str, str]
) -> None:
    said = subprocess.run(
        [shell("fish"), "-c", FISH, f"nightsweep {line}"],
        env={**environment, "XDG_CONFIG_HOME": environment["HOME"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not said.stderr
    offered = [one.partition("\t") for one in said.stdout.splitlines()]
    assert [word for word, _, _ in offered] == expected
    # A description stays whole, whatever its commas.
    assert [about for word, _, about in offered if word == "compare"] in ([], [COMPARE])


@pytest.mark.parametrize(("typed", "expected"), shorten(IN_ZSH, IN_ZSH[-1:]))
def test_zsh_completes(
    typed: str,
    expected: list[str],
    environment: Mapping[str, str],
    tmp_path: Path,
) -> None:
    (tmp_path / ".zshrc").write_text(ZSHRC)
    notes = tmp_path / "notes"
    notes.touch()
    screen, its = pty.openpty()
    with subprocess.Popen(
        [shell("zsh"), "-i"],
        env={**environment, "ZDOTDIR": str(tmp_path), "NOTES": str(notes)},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    ) as process:
        os.close(its)
        try:
            wait_until(lambda: notes.read_text() == "ready\n")
            tabs = "\t\x0f" * len(expected)
            os.write(screen, f"nightsweep {typed}{tabs}".encode())
            wait_until(lambda: notes.read_text().count("\n") > len(expected))
        finally:
            process.kill()
    os.close(screen)
    lines = notes.read_text().splitlines()[1:]
    assert lines == [f"nightsweep {one}" for one in expected]
