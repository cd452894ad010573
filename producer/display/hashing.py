"""The message before a model is hashed, which may take minutes."""

import sys

import click

from producer.display.amounts import size
from storage.models.located import Located

#: Bytes from which on hashing a model takes longer than a moment.
LARGE_BYTES = 10**9


def tell_hashing(model: Located) -> None:
    """Say on a terminal that a large model's files are about to be hashed."""
    if model.size_bytes >= LARGE_BYTES and sys.stderr.isatty():
        click.echo(f"Hashing {model.name}, {size(model.size_bytes)}.", err=True)
