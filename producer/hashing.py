"""What people are told while models are hashed, which may take minutes."""

import sys

import click

from producer.amounts import size
from storage.models import Located


def tell_hashing(model: Located) -> None:
    """Say on a terminal that a model's files are about to be hashed."""
    if sys.stderr.isatty():
        click.echo(f"Hashing {model.name}, {size(model.size_bytes)}.", err=True)
