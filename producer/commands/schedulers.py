"""The command `nightsweep schedulers`: the catalogue, for people and programs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from producer.display.json_lines import json_option, write_json
from producer.display.messages import talk
from producer.display.tables import Column, write_table
from storage.catalogue.schedulers import Name, names_of, rows
from storage.errors import ModelError, UsageError


def _describe_options(row: Mapping[str, Any]) -> str:
    given = {**row["options"], **row["extras"]}
    return " ".join(f"{name}={json.dumps(value)}" for name, value in given.items())


SCHEDULER_COLUMNS = (
    Column(name="name", read=lambda row: row["name"] + (" *" if row["is_own"] else "")),
    Column(
        name="other names",
        read=lambda row: ", ".join((row["label"], *row["aliases"])),
        folds_at=", ",
    ),
    Column(
        name="class",
        read=lambda row: row["class"].removesuffix("Scheduler"),
        is_optional=True,
    ),
    Column(name="evaluations", read=lambda row: row["evaluations"], folds_at=" "),
    Column(
        name="noise",
        read=lambda row: "" if row["deterministic"] else "yes",
        is_optional=True,
    ),
    Column(name="needs", read=lambda row: " ".join(row["needs"]), is_optional=True),
    Column(name="family", read=lambda row: row["family"]),
    Column(name="options", read=_describe_options, narrowest=20, is_optional=True),
)


@click.command(epilog="Example: nightsweep schedulers --model builtin:shapes")
@click.option(
    "--model",
    metavar="MODEL",
    help="Only those that this model can use: builtin:shapes, a folder, or a Hub id.  "
    "[default: the whole catalogue]",
)
@json_option
def schedulers(model: str | None, *, as_json: bool) -> None:
    """List the schedulers and their names.

    A name means the same scheduler on every model; its options are those in which it
    differs from its class, and --json has all that it pins. A spec also takes a class,
    as the model configures it. Evaluations are the model's calls for n steps; noise
    marks schedulers that draw it at every step. If a terminal has no room for a column,
    a line says so: all columns need 140 characters.
    """
    try:
        listed = list_schedulers(model)
    except ModelError as error:
        raise UsageError(str(error)) from error
    if as_json:
        write_json(listed)
        return
    write_table(listed, SCHEDULER_COLUMNS)
    if model:
        talk(f"{len(listed)} fit {model}; * is its own.")


def list_schedulers(model: str | None = None) -> list[dict[str, Any]]:
    """Return the catalogue as rows, or the part of it that fits a model.

    Args:
        model: As a spec names it; None for the whole catalogue.

    Raises:
        ModelError: The model cannot be found or read.
    """
    if model is None:
        return [_row(name, is_own=False) for name in rows()]
    # Imported here: it reads tokenizers and the Hub's cache.
    from producer.models.cards import describe

    card = describe(model, base_dir=Path.cwd())
    config = card.scheduler_config
    own = names_of(card.scheduler_class, {}, {}, config=config)
    return [
        _row(name, is_own=name.name in own)
        for name in rows()
        if not card.check_scheduler(name.scheduler)
    ]


def _row(name: Name, *, is_own: bool) -> dict[str, Any]:
    return {
        "name": name.name,
        "label": name.label,
        "aliases": list(name.aliases),
        "class": name.class_name,
        "options": dict(name.options),
        "pins": dict(name.pins),
        "extras": dict(name.extras),
        "evaluations": name.evaluations,
        "deterministic": name.is_deterministic,
        "needs": list(name.requires),
        "family": name.family,
        "about": name.about,
        "is_own": is_own,
    }
