"""Options that several commands share, and what they name."""

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import click

from producer.completion import complete_spec, complete_sweep
from producer.spec.orders import ORDERS
from storage.errors import UsageError

#: Exit code of a command that Ctrl-C ended.
INTERRUPTED = 130
#: Exit code of a command that ended since a limit of its sweep is reached.
AT_LIMIT = 3
#: The argument of commands that change sweeps.
sweeps_argument = click.argument(
    "names",
    metavar="NAME...",
    nargs=-1,
    required=True,
    shell_complete=complete_sweep,
)


def with_name(sets: Sequence[str], name: str | None) -> tuple[str, ...]:
    """Return the values of `--set`, followed by the value of `--name`."""
    return (*sets, f"name={name}") if name is not None else tuple(sets)


def program() -> str:
    """Return the words that start this program, for hints that can be copied."""
    if shutil.which("nightsweep"):
        return "nightsweep"
    own = Path(sys.argv[0])
    return "python -m nightsweep" if own.suffix == ".py" else str(own)


def _only_spec(
    context: click.Context, _parameter: click.Parameter, words: tuple[str, ...]
) -> str:
    """Return the one SPEC; if there are more words, say how to write an option."""
    # Imported only for commands with a SPEC: it imports the scheduler catalogue.
    from producer.spec.overrides import as_option

    if len(words) == 1:
        return words[0]
    other = next((word for word in words if "=" in word), words[1])
    option = as_option(other)
    way_out = f"write {option}" if option else "give each a command of its own"
    msg = f"SPEC must be one, got {other} too; {way_out}."
    raise click.UsageError(msg, context)


def _refuse_multirun(
    context: click.Context, parameter: click.Parameter, is_given: bool
) -> None:
    if is_given:
        context.fail(
            f"{parameter.opts[-1]} must not be given, since every axis is swept; leave "
            "it out."
        )


def spec_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument and options that name a sweep to a command."""
    decorators = (
        click.argument(
            "spec",
            nargs=-1,
            required=True,
            metavar="SPEC",
            callback=_only_spec,
            shell_complete=complete_spec,
        ),
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
            "steps+=40. Repeatable, once for each axis.",
        ),
        click.option(
            "-m",
            "--multirun",
            is_flag=True,
            hidden=True,
            expose_value=False,
            callback=_refuse_multirun,
            help="Hydra's option for what always happens here.",
        ),
        click.option(
            "--name",
            metavar="NAME",
            help="Name of the sweep, instead of the one in its file.",
        ),
    )
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add options that set values of the file, besides those of `spec_options`."""
    order = click.option(
        "--order",
        type=click.Choice(ORDERS),
        help="In which order to make the images.  [default: order of the file, else "
        "breadth-first]",
    )
    sample = click.option(
        "--sample",
        metavar="N",
        help="Make N of the images only, drawn evenly.  [default: sample of the file, "
        "else all]",
    )
    return stop_options(order(sample(_set_by_options(command))))


def stop_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that stop a sweep before all of it is made."""
    decorators = (
        click.option(
            "--until",
            metavar="TIME",
            help="Stop at a time: the next 07:30, or 2026-11-29T07:30 for a date.",
        ),
        click.option(
            "--gpu-hours",
            metavar="N",
            help="Stop once its images took N hours of GPUs.",
        ),
        click.option(
            "--stop-after",
            metavar="N",
            help="Stop once N images are made.",
        ),
    )
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


#: Options that set a value of the file, and which.
_SETTING = {
    "until": "limits.until",
    "gpu_hours": "limits.gpu_hours",
    "stop_after": "limits.stop_after_jobs",
    "order": "order",
    "sample": "sample.count",
}


def _set_by_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn options that set a value of the file into values of `--set`."""

    @wraps(command)
    def call(*args: Any, sets: Sequence[str], **given: Any) -> Any:
        values = {key: given.pop(name) for name, key in _SETTING.items()}
        more = (f"{key}={text}" for key, text in values.items() if text is not None)
        return command(*args, sets=(*sets, *more), **given)

    return call


def _read_device(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> str | None:
    if text and not re.fullmatch(r"cpu|cuda:\d{1,3}", text):
        msg = f"--device must be cpu, or cuda:0 and so on, got {text!r}."
        raise UsageError(msg)
    return text


def device_option(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option for the device of images that are not made by the queue.

    Args:
        what: The beginning of its help: "What to measure."
    """
    return click.option(
        "--device",
        metavar="cpu|cuda:0",
        callback=_read_device,
        help=f"{what}  [default: the first GPU, or the CPU where there is none]",
    )


yes_option = click.option(
    "--yes",
    is_flag=True,
    help="Change a stored sweep without asking, even if unmade images leave it.",
)

retry_option = click.option(
    "--retry-failed", is_flag=True, help="Retry jobs that failed before."
)
