"""Durations as people write them: `90s`, `30m`, `1h30m`, or plain seconds."""

import re
from typing import Any

import click

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PARTS = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")


class Duration(click.ParamType[float]):
    """A time span as an option's value; a float of seconds."""

    name = "duration"

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Return the seconds."""
        if isinstance(value, float):
            return value
        text = str(value).strip().lower()
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return float(text)
        if not _PARTS.fullmatch(text):
            self.fail(f"a duration is 90s, 30m, 8h or 1h30m, got {value!r}", param, ctx)
        parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
        return sum(float(amount) * _UNITS_S[unit] for amount, unit in parts)
