"""What commands say besides their answers: on standard error, wrapped on a terminal."""

import sys

import click

from producer.display.text_width import hang, terminal_width

#: Columns by which all lines of a sentence but the first are indented.
INDENT = 2


def talk(text: str) -> None:
    """Print a text, its lines wrapped at words on a terminal and whole elsewhere."""
    click.echo(wrapped(text), err=True)


def wrapped(text: str) -> str:
    """Return a text wrapped to fit standard error."""
    width = terminal_width(sys.stderr)
    lines = text.split("\n")
    return "\n".join(
        each for line in lines for each in hang(line, width=width, indent=INDENT)
    )
