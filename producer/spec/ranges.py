"""Ranges of numbers, `{start, stop, step}` and `{start, count}`, exact in decimals."""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from yaml.nodes import Node

from producer.spec.entries import fields
from producer.spec.parameters import INTEGERS, PARSERS, Parser, integer, parse_step
from producer.spec.problems import Problems, shown
from producer.spec.yamltext import text_of
from storage.errors import UsageError

_KEYS = ("start", "stop", "step", "count")


def read_range(
    parameter: str, node: Node, problems: Problems, *, limit: int
) -> Sequence[Any]:
    """Read a range; `stop` is part of it if a step ends there.

    Args:
        parameter: A parameter that is a number.
        node: A mapping of start, and stop or count; step is 1 where not given.
        problems: Where unknown keys are noted.
        limit: The most values there may be, checked before any is made.

    Returns:
        The values; for whole numbers a `range`, which takes no memory,
            unless the step is 0.

    Raises:
        UsageError: It is no range, or has more than `limit` values.
    """
    entry = fields(node, problems, what=f"a range of {parameter}", known=_KEYS)
    if "start" not in entry or ("stop" in entry) == ("count" in entry):
        msg = (
            f"a range of {parameter} must have start, and stop or count, got "
            f"{', '.join(entry) or 'nothing'}; write {{start: 0, stop: 8, step: 2}} or "
            "{start: 0, count: 4}"
        )
        raise UsageError(msg)
    parse = PARSERS[parameter]
    start = _decimal(entry["start"], "start", parse)
    step = _read_step(parameter, entry)
    if "count" in entry:
        count = read_integer(entry["count"], "count", low=1, high=10**18)
    else:
        stop = _decimal(entry["stop"], "stop", parse)
        count = _count(parameter, start, stop=stop, step=step)
    if count > limit:
        msg = (
            f"a range of {parameter} must have at most {limit} values "
            f"(limits.max_jobs), got {shown(count)}; take fewer or raise the limit"
        )
        raise UsageError(msg)
    parse(_plain(start + (count - 1) * step))
    if parameter in INTEGERS and step:
        return range(int(start), int(start + count * step), int(step))
    return [parse(_plain(start + index * step)) for index in range(count)]


def read_integer(node: Node, name: str, *, low: int, high: int) -> int:
    """Read a whole number.

    Raises:
        UsageError: It is not one from `low` to `high`.
    """
    return int(integer(name, low, high)(text_of(node, what=name)))


def _read_step(parameter: str, entry: Mapping[str, Node]) -> Decimal:
    if "step" not in entry:
        return Decimal(1)
    step = _decimal(entry["step"], "step", parse_step)
    if parameter in INTEGERS and step != step.to_integral_value():
        msg = f"step of {parameter} must be an integer, got {step}; round it"
        raise UsageError(msg)
    return step


def _count(parameter: str, start: Decimal, *, stop: Decimal, step: Decimal) -> int:
    if step == 0 or (stop - start) / step < 0:
        msg = (
            f"step of {parameter} must lead from {start} to {stop}, got {step}; change "
            "its sign or its value"
        )
        raise UsageError(msg)
    return math.floor((stop - start) / step) + 1


def _decimal(node: Node, name: str, parse: Parser) -> Decimal:
    text = text_of(node, what=name)
    parse(text)
    return Decimal(text)


def _plain(value: Decimal) -> str:
    """Write a decimal in digits, without an exponent or a trailing `.0`."""
    whole = value.to_integral_value()
    return f"{whole:f}" if value == whole else f"{value:f}"
