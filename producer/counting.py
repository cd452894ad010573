"""A line now and then while a command reads or draws very much."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import click

#: Seconds between two lines; what takes less than that says nothing.
LINE_S = 5.0

T = TypeVar("T")


def counted(items: Iterable[T], doing: str, *, total: int | None = None) -> Iterator[T]:
    """Give items on, and say on standard error how many there were so far.

    Args:
        items: Any number.
        doing: What is done with them, as a line begins: `Reading images`.
        total: How many there are, where that is known.
    """
    said = time.monotonic()
    of = f" of {total:,}" if total is not None else ""
    for count, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - said >= LINE_S:
            said = now
            click.echo(f"{doing}: {count:,}{of}", err=True)
