"""The command `nightsweep doctor`: all that a sweep needs, checked before the night."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import click

from producer.display.json_lines import json_option, write_json
from producer.display.text_width import plain
from producer.health import holdings, machine, services
from producer.health.check import Check, guarded
from storage.errors import NightsweepError
from storage.settings import Settings, read_settings
from storage.sql.database import Database, open_for_reading

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
#: A URL's password, before the host or among the options.
PASSWORD = re.compile(r"://[^:@/ ]*:(\S*)@|[?&]password=([^&\s]*)")
#: Characters of the longest name of a check.
CHECK_NAME_WIDTH = 13


@click.command(epilog="Example: nightsweep doctor")
@json_option
def doctor(*, as_json: bool) -> None:
    """Check this machine and what it reaches, and say what to do.

    Looks at versions, folders, disks, Redis, SQL, the image folder, GPUs, models and
    clocks. It starts nothing, and writes only a small file with this host's name, in
    `.hosts` of the image folder, for the doctors of other hosts to read, and a key in
    Redis, which it removes at once. The exit code is 1 if something fails.
    """
    settings = read_settings()
    counts: Counter[str] = Counter()
    checks = _counted(_masked(examine(settings), settings), counts)
    if as_json:
        write_json(map(_row, checks))
    else:
        for check in checks:
            click.echo(_line(check))
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in COLOURS)
    click.echo(f"{told}.", err=True)
    sys.exit(1 if counts["fail"] else 0)


def examine(settings: Settings) -> Iterator[Check]:
    """Check everything, and yield each outcome as soon as it is known."""
    yield from guarded("Python", machine.check_python())
    yield from guarded("torch", machine.check_torch())
    yield from guarded("state folder", machine.check_home(settings))
    yield from guarded("disks", machine.check_disks(settings))
    yield from guarded("Redis", services.check_redis(settings))
    yield from guarded("SQL", services.check_sql(settings))
    with _reading(settings) as database:
        yield from guarded("clock", services.check_clock(database))
        yield from guarded("image folder", holdings.check_images(settings, database))
        yield from guarded("workers", holdings.check_workers(database))
        yield from guarded("models", holdings.check_models(settings, database))
    yield from guarded("GPUs", machine.check_gpus())


@contextmanager
def _reading(settings: Settings) -> Iterator[Database | None]:
    """Open the database; None if there is none, or if its error was shown already."""
    database = None
    with suppress(NightsweepError):
        database = open_for_reading(settings.database_url)
    yield database
    if database:
        database.close()


def _masked(checks: Iterator[Check], settings: Settings) -> Iterator[Check]:
    """Mask passwords, whatever text they are in."""
    urls = f"{settings.database_url} {settings.redis_url}"
    written = {text for found in PASSWORD.findall(urls) for text in found if text}
    passwords = written | set(map(unquote, written))
    for check in checks:
        detail = check.detail
        for password in passwords:
            detail = detail.replace(password, "***")
        yield replace(check, detail=plain(detail))


def _counted(checks: Iterator[Check], counts: Counter[str]) -> Iterator[Check]:
    for check in checks:
        counts[check.verdict] += 1
        yield check


def _line(check: Check) -> str:
    verdict = click.style(f"{check.verdict:<4}", fg=COLOURS[check.verdict])
    advice = f"; {check.advice}" if check.advice else ""
    return f"{verdict}  {check.name:<{CHECK_NAME_WIDTH}}  {check.detail}{advice}"


def _row(check: Check) -> dict[str, Any]:
    return {
        "check": check.name,
        "verdict": check.verdict,
        "detail": check.detail,
        "advice": check.advice,
    }
