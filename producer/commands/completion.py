"""The command `nightsweep completion`: what a shell reads to complete our words."""

import os
from collections.abc import Mapping
from pathlib import Path

import click
from click.shell_completion import (
    BashComplete,
    FishComplete,
    ShellComplete,
    ZshComplete,
)

from storage.errors import UsageError

#: The variable by which a shell asks; click derives it from the program's name.
VARIABLE = "_NIGHTSWEEP_COMPLETE"


class _Bash(BashComplete):
    """Takes `steps:20` for one word, and puts no blank after `steps:`."""

    source_template = 'COMP_WORDBREAKS="${COMP_WORDBREAKS//:}"\n' + (
        BashComplete.source_template.replace(
            "    return 0\n",
            '    [[ "${COMPREPLY[*]}" == *: ]] && compopt -o nospace\n    return 0\n',
        )
    )


class _Zsh(ZshComplete):
    """Puts no blank after `steps:`."""

    source_template = (
        ZshComplete.source_template.replace(
            """\
                completions_with_descriptions+=("$key":"$descr")
""",
            """\
                if [[ "$key" == *: ]]; then
                    begun+=("$key":"$descr")
                else
                    completions_with_descriptions+=("$key":"$descr")
                fi
""",
        )
        .replace(
            """\
    if [ -n "$completions_with_descriptions" ]; then
""",
            """\
    if [ -n "$begun" ]; then
        _describe -V begun begun -U -S ''
    fi

    if [ -n "$completions_with_descriptions" ]; then
""",
        )
        .replace("    local -a response\n", "    local -a response begun\n")
    )


class _Fish(FishComplete):
    """Takes `steps,guidance` for one word, and descriptions with their commas."""

    source_template = FishComplete.source_template.replace(
        'string split ","', 'string split --max 1 ","'
    )


_SHELLS: Mapping[str, type[ShellComplete]] = {
    "bash": _Bash,
    "zsh": _Zsh,
    "fish": _Fish,
}


@click.command(epilog="Example: nightsweep completion bash")
@click.argument("shell", type=click.Choice(tuple(_SHELLS)), required=False)
def completion(shell: str | None) -> None:
    """Print what lets a shell complete commands, sweeps and queries.

    \b
    bash: eval "$(nightsweep completion bash)"   in ~/.bashrc
    zsh:  eval "$(nightsweep completion zsh)"    in ~/.zshrc, after compinit
    fish: nightsweep completion fish | source    in ~/.config/fish/config.fish

    Without SHELL, it is that of $SHELL.
    """  # noqa: D301 - click reads the backspace
    name = shell or Path(os.environ.get("SHELL", "")).name
    if name not in _SHELLS:
        msg = f"shell must be one of {', '.join(_SHELLS)}, got {name!r}; name it."
        raise UsageError(msg)
    made = _SHELLS[name](click.Group(), {}, "nightsweep", VARIABLE)
    click.echo(made.source())
