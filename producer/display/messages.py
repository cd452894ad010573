"""What commands say beside their answers: on standard error, wrapped on a terminal."""

import sys

import click

from producer.display.text_width import hang, terminal_width

#: Columns by which the further lines of a sentence stand back.
INDENT = 2


def talk(text: str) -> None:
    """Say a text; its lines are wrapped at words on a terminal, and whole elsewhere."""
    click.echo(wrapped(text), err=True)


def wrapped(text: str) -> str:
    """Return a text as it fits standard error."""
    width = terminal_width(sys.stderr)
    lines = text.split("\n")
    return "\n".join(
        each for line in lines for each in hang(line, width=width, indent=INDENT)
    )
