"""Models and schedulers as a sweep writes them: a name, or a mapping."""

import re
from collections.abc import Mapping
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode

from producer.spec.entries import fields
from producer.spec.numerals import way_out_of_list
from producer.spec.parameters import ModelChoice, SchedulerChoice
from producer.spec.problems import Problems, WrongValueError, shown
from producer.spec.yamltext import is_null, is_quoted, text_of
from storage.catalogue import scheduler_sets, schedulers
from storage.errors import ModelError, UsageError
from storage.models.checkpoint_names import CheckpointName

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,40}\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_WORDS = {"true": True, "false": False}


def read_model(node: Node, problems: Problems) -> ModelChoice:
    """Read a model: its name, `{id, revision, variant, label}`, or a single file.

    Raises:
        UsageError: It is neither.
    """
    if not isinstance(node, MappingNode):
        return ModelChoice(name=text_of(node, what="model").strip())
    entry = fields(node, problems, what="a model", known=_of_model(node))
    if not entry.keys() & {"id", "file"}:
        msg = "a model must have an id or a file, got a mapping with neither; add one"
        raise UsageError(msg)
    return ModelChoice(
        name=_name_of_file(entry) or text_of(entry["id"], what="id").strip(),
        revision=optional_text(entry, "revision"),
        variant=optional_text(entry, "variant"),
        label=optional_text(entry, "label"),
    )


def _of_model(node: MappingNode) -> tuple[str, ...]:
    """Return the keys that the mapping of a model may have."""
    if any(key.value == "file" for key, _ in node.value):
        return ("file", "config", "revision", "prediction", "zero_snr", "label")
    return ("id", "revision", "variant", "label")


def _name_of_file(entry: Mapping[str, Node]) -> str | None:
    """Return the name of a single file; None for another model.

    Raises:
        UsageError: An entry is no text, or none that such a file can have.
    """
    if "file" not in entry:
        return None
    snr = optional_text(entry, "zero_snr")
    if snr not in (None, *_WORDS):
        msg = f"zero_snr must be true or false, got {shown(str(snr))}; change it"
        raise UsageError(msg)
    try:
        name = CheckpointName(
            file=text_of(entry["file"], what="file").strip(),
            config=optional_text(entry, "config"),
            prediction=optional_text(entry, "prediction"),
            zero_snr=None if snr is None else _WORDS[snr],
        )
    except ModelError as error:
        raise UsageError(str(error)) from error
    return str(name)


def read_scheduler(node: Node, problems: Problems) -> SchedulerChoice:
    """Read a scheduler: its name, `all`, `every`, a pattern, or `{class, options}`.

    Raises:
        UsageError: It is none of these, or the catalogue has no such name.
    """
    if not isinstance(node, MappingNode):
        return choose_scheduler(text_of(node, what="scheduler").strip())
    known = ("class", "options", "label")
    entry = fields(node, problems, what="a scheduler", known=known)
    if "class" not in entry:
        msg = "a scheduler must have a class, got a mapping without `class`; add it"
        raise UsageError(msg)
    options = {}
    if "options" in entry:
        options = fields(entry["options"], problems, what="`options`", with_nulls=True)
    name = text_of(entry["class"], what="class").strip()
    given = {option: _json_value(child) for option, child in options.items()}
    return SchedulerChoice(
        scheduler=schedulers.resolve(name, given),
        label=optional_text(entry, "label"),
        written=name,
    )


def choose_scheduler(name: str) -> SchedulerChoice:
    """Return the choice for a name, or for a word that means several schedulers.

    Raises:
        UsageError: The catalogue has no such name.
    """
    if way_out := way_out_of_list("scheduler", name):
        rule = f"scheduler must be one name here, got {shown(name)}"
        raise WrongValueError(rule, way_out)
    if not scheduler_sets.is_set(name):
        return SchedulerChoice(scheduler=schedulers.resolve(name), written=name)
    if scheduler_sets.is_glob(name):
        scheduler_sets.require_match(name)
    return SchedulerChoice(scheduler=None, written=name)


def optional_text(entry: Mapping[str, Node], key: str) -> str | None:
    """Return the text under `key`, or None where there is no such key.

    Raises:
        UsageError: It is not a text.
    """
    return text_of(entry[key], what=key).strip() if key in entry else None


def _json_value(node: Node) -> Any:
    """Return an option's value as JSON would: numbers, true, false, null, else text."""
    if isinstance(node, MappingNode):
        return {key.value: _json_value(child) for key, child in node.value}
    if not isinstance(node, ScalarNode):
        return [_json_value(child) for child in node.value]
    text = str(node.value)
    if is_quoted(node):
        return text
    if is_null(node):
        return None
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
