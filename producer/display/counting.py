"""A line now and then while a command reads or draws a lot."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import click

#: Seconds between two lines; what takes less time prints none.
COUNT_LINE_S = 5.0

T = TypeVar("T")


def _one(_item: object) -> int:
    return 1


def counted(
    items: Iterable[T],
    doing: str,
    *,
    total: int | None = None,
    size: Callable[[T], int] = _one,
) -> Iterator[T]:
    """Pass items on, and print on standard error how many there were so far.

    Args:
        items: Any number.
        doing: What is done with them, to begin each line: `Reading images`.
        total: How many there are, if that is known.
        size: Returns how many an item counts for; one by default.
    """
    said, count = time.monotonic(), 0
    of = f" of {total:,}" if total is not None else ""
    for item in items:
        yield item
        count += size(item)
        now = time.monotonic()
        if now - said >= COUNT_LINE_S:
            said = now
            click.echo(f"{doing}: {count:,}{of}", err=True)
