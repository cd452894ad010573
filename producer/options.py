"""Options that several commands share, and what they name."""

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

#: Exit code of a command that Ctrl-C ended.
INTERRUPTED = 130
#: The argument of commands that change sweeps.
sweeps_argument = click.argument("names", metavar="NAME...", nargs=-1, required=True)


def with_name(sets: Sequence[str], name: str | None) -> tuple[str, ...]:
    """Return the values of `--set`, with that of `--name`."""
    return (*sets, f"name={name}") if name is not None else tuple(sets)


def program() -> str:
    """Give the words that call this program, for hints that can be copied."""
    if shutil.which("nightsweep"):
        return "nightsweep"
    own = Path(sys.argv[0])
    return "python -m nightsweep" if own.suffix == ".py" else str(own)


def spec_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument and options that name a sweep."""
    decorators = (
        click.argument("spec", type=str),
        click.option(
            "--set",
            "sets",
            multiple=True,
            metavar="KEY=VALUE",
            help="Change a value of the file: --set base.width=768. Repeatable.",
        ),
        click.option(
            "--axis",
            "axes",
            multiple=True,
            metavar="NAME=VALUES",
            help="Replace or add an axis: --axis steps=8,12,20; add to one: --axis "
            "steps+=40. Repeatable.",
        ),
        click.option(
            "--name",
            metavar="NAME",
            help="Another name for the sweep than its file gives it.",
        ),
    )
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


yes_option = click.option(
    "--yes",
    is_flag=True,
    help="Change a stored sweep without a question: let unmade images leave it.",
)

retry_option = click.option(
    "--retry-failed", is_flag=True, help="Try the jobs again that failed before."
)
