"""The command `nightsweep find`: images by their parameters."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import click

from producer.display.amounts import images
from producer.display.json_lines import json_option, open_row, write_json
from producer.display.messages import talk
from producer.display.tables import TABLE_ROWS, Column, write_table
from producer.display.text_width import terminal_width
from producer.options import sweep_option
from producer.spec.parameters import NUMBERS, shown_as
from storage.job import EXTRAS
from storage.sql.filters import Filter, read_states
from storage.sql.ranges import read_numbers
from storage.sql.schema import JOB_STATES
from storage.store import Store


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    return "" if value is None else str(value)


IMAGE_COLUMNS = (
    Column(name="key", read=lambda row: row["key"][:8]),
    Column(name="prompt", read=lambda row: row["prompt"], narrowest=12),
    Column(
        name="scheduler",
        read=lambda row: row.get("scheduler_label") or row["scheduler"],
    ),
    Column(name="steps", read=lambda row: _text(row, "steps"), is_number=True),
    Column(
        name="seed",
        read=lambda row: _text(row, "seed"),
        is_number=True,
        is_optional=True,
    ),
    Column(
        name="guidance",
        read=lambda row: f"{row['guidance']:g}",
        is_number=True,
        is_optional=True,
    ),
    Column(name="state", read=lambda row: row["state"]),
    Column(
        name="seconds",
        read=lambda row: "" if row["total_s"] is None else f"{row['total_s']:.2f}",
        is_number=True,
        is_optional=True,
    ),
    Column(name="path", read=lambda row: _text(row, "path"), is_optional=True),
)


#: Where the columns go that only some tables have: after the steps.
_MORE_AT = 4
#: Characters to which the long ones of these columns may be cut.
_NARROWEST = {"model": 12, "negative_prompt": 12, "tag": 8}


def columns_with(names: Iterable[str]) -> Sequence[Column]:
    """Return the columns for a table of images that also differ in these parameters."""
    more = [
        Column(
            name=name,
            read=partial(_parameter, name=name),
            is_number=name in NUMBERS,
            narrowest=_NARROWEST.get(name),
            cuts_middle=name == "model",
            is_optional=True,
        )
        for name in sorted(names, key=_NARROWEST.__contains__)  # long ones last
    ]
    return (*IMAGE_COLUMNS[:_MORE_AT], *more, *IMAGE_COLUMNS[_MORE_AT:])


def _parameter(row: Mapping[str, Any], *, name: str) -> str:
    if name not in EXTRAS:
        return _text(row, name)
    return shown_as(json.loads(row["extras"]).get(name, EXTRAS[name]))


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that select images to a command, except sweep and state."""
    for decorate in reversed(_FILTER_OPTIONS):
        command = decorate(command)
    return command


_FILTER_OPTIONS = (
    click.option(
        "--scheduler",
        "schedulers",
        metavar="NAME",
        multiple=True,
        help="Any name that a spec takes, a class name for all its variants, or a "
        "label that the named sweep defines. Repeatable.",
    ),
    click.option(
        "--steps", metavar="N|LOW..HIGH", help="Numbers or ranges: 4,8 or 10..20"
    ),
    click.option("--seed", metavar="N|LOW..HIGH", help="Numbers or ranges: 7 or ..99"),
    click.option(
        "--guidance", metavar="N|LOW..HIGH", help="Numbers or ranges: 2.5 or 3..7.5"
    ),
    click.option(
        "--clip-skip", metavar="N|LOW..HIGH", help="Numbers or ranges: 1 or 0..2"
    ),
    click.option("--eta", metavar="N|LOW..HIGH", help="Numbers or ranges: 0 or 0.5..1"),
    click.option("--tag", metavar="TEXT", help='The whole tag; "" for none.'),
    click.option("--prompt", metavar="TEXT", help="Part of the prompt, ignoring case."),
    click.option(
        "--model",
        metavar="TEXT",
        help="Part of the model's name, in any of its places, ignoring case.",
    ),
)


@click.command(
    epilog="Example: nightsweep find --sweep first-sweep --scheduler ddim --steps 8..20"
)
@sweep_option("Images of this sweep; the same as NAME.  [default: of all]")
@filter_options
@click.option(
    "--state",
    metavar="STATE",
    help=f"{', '.join(JOB_STATES[:-1])} or {JOB_STATES[-1]}; several with commas.",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    help=f"Most rows to show.  [default: all, {TABLE_ROWS} on a terminal]",
)
@json_option
def find(name: str | None, *, limit: int | None, as_json: bool, **asked: Any) -> None:
    """List images by their parameters.

    Conditions are joined by "and". Parameters in which the images differ, such as width
    or eta, get a column of their own. If a terminal has no room for a column, a line
    says so: paths need about 130 characters. Paths are relative to the image folder,
    $NIGHTSWEEP_IMAGES. --json has the columns of the view `images` (for one sweep,
    of `sweep_images`).
    """
    which = read_filter({"sweep": name, **asked})
    if limit is None and not as_json and terminal_width():
        limit = TABLE_ROWS
    with Store() as store:
        rows = store.stream(which, limit=limit)
        if as_json:
            count = write_json(map(open_row, rows))
        else:
            columns = columns_with(store.differing(which, limit=limit))
            count = write_table(rows, columns)
        _say_count(store, count, is_cut=count == limit)


def read_filter(asked: Mapping[str, Any]) -> Filter:
    """Read the options of `find`, by their names."""
    return Filter(
        sweep=asked["sweep"],
        schedulers=asked["schedulers"],
        steps=read_numbers(asked["steps"], name="--steps"),
        seed=read_numbers(asked["seed"], name="--seed"),
        guidance=read_numbers(asked["guidance"], name="--guidance"),
        clip_skip=read_numbers(asked["clip_skip"], name="--clip-skip"),
        eta=read_numbers(asked["eta"], name="--eta"),
        tag=asked["tag"],
        prompt=asked["prompt"],
        model=asked["model"],
        states=read_states(asked["state"]) if asked["state"] else (),
    )


def _say_count(store: Store, count: int, *, is_cut: bool) -> None:
    if not count:
        talk(f"No image matches; {_name_sweeps(store)}.")
    elif is_cut:
        more = "a larger --limit shows more, if there are any"
        shown = "image" if count == 1 else images(count)
        talk(f"The first {shown}; {more}.")
    else:
        talk(f"{images(count)}.")


def _name_sweeps(store: Store) -> str:
    counts = [
        f"{each['name']} ({sum(each['jobs'].values()):,})" for each in store.sweeps()
    ]
    if not counts:
        return "nothing was submitted yet: `nightsweep run SPEC` makes a sweep"
    return f"the sweeps are {', '.join(counts)}"
