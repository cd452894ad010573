"""Mappings as other programs write values, and how to write them here."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from producer.spec.numerals import list_of, range_of, way_out_of_count
from producer.spec.parameters import INTEGERS, NUMBERS
from producer.spec.problems import WayOut, WrongValueError, shown
from storage.catalogue.scheduler_names import resolve, translate
from storage.errors import UsageError

#: Other programs' words for the keys of a range; None for words without a meaning.
_RANGE_WORDS: Mapping[str, str | None] = {
    **dict.fromkeys(("min", "low", "lo", "from", "first", "begin"), "start"),
    **dict.fromkeys(("max", "high", "hi", "to", "last", "end"), "stop"),
    **dict.fromkeys(("by", "q", "inc", "increment", "interval", "stride"), "step"),
    **dict.fromkeys(("n", "num", "number", "length", "size"), "count"),
    "distribution": None,
}
_SAMPLERS = ("sampler", "sampler_name")
_SCHEDULES = ("scheduler", "schedule", "schedule_type")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?")


def refuse_foreign(parameter: str, node: MappingNode) -> None:
    """Refuse a mapping in another program's words, and say how to write it here.

    Raises:
        UsageError: It is W&B's `{values: [...]}` or `{min, max}`, ComfyUI's pair of a
            sampler and a schedule, or a range with both its stop and its count.
    """
    entry = {str(key.value): child for key, child in node.value}
    for word in ("values", "value"):
        if word in entry:
            way_out = _unwrapped(parameter, entry[word])
            rule = (
                f"{parameter} must be a value or a list of values, got a mapping with "
                f"`{word}`"
            )
            raise WrongValueError(rule, way_out)
    if parameter in NUMBERS:
        _refuse_range(parameter, entry)
    sampler, schedule = _text_of(entry, _SAMPLERS), _text_of(entry, _SCHEDULES)
    if parameter == "scheduler" and sampler:
        way_out = as_one_name(sampler, schedule) if schedule else f"write {sampler}"
        msg = f"scheduler must be one name, got {', '.join(entry)}; {way_out}"
        raise UsageError(msg)


def is_workflow(root: MappingNode) -> bool:
    """Return whether a file is a ComfyUI workflow, as saved or as its API takes it."""
    keys = {str(key.value) for key, _ in root.value}
    nodes = [node for _, node in root.value if isinstance(node, MappingNode)]
    words = {str(key.value) for node in nodes for key, _ in node.value}
    return {"nodes", "links"} <= keys or {"class_type", "inputs"} <= words


def as_one_name(sampler: str, schedule: str) -> str:
    """Return how to write a sampler and a schedule of another program here."""
    name = f"{sampler.removesuffix('_gpu')}_{schedule}"
    try:
        return f"write both as one, {resolve(name).name or name}"
    except UsageError:
        return translate(name) or "write both as one, such as dpmpp_2m_karras"


def _refuse_range(parameter: str, entry: Mapping[str, Node]) -> None:
    renamed = {_RANGE_WORDS.get(key, key): node for key, node in entry.items()}
    is_double = {"start", "stop", "count"} <= renamed.keys()
    if _RANGE_WORDS.keys().isdisjoint(entry) and not is_double:
        return
    way_out: str | WayOut = "write {start: 0, stop: 8, step: 2} or {start: 0, count: 4}"
    texts = {
        key: node.value
        for key, node in renamed.items()
        if key and isinstance(node, ScalarNode) and _NUMBER.fullmatch(node.value)
    }
    if {"start", "stop", "count"} <= texts.keys() and texts["count"].isdigit():
        start, stop, count = (Decimal(texts[key]) for key in ("start", "stop", "count"))
        way_out = way_out_of_count(
            parameter,
            start,
            stop=stop,
            count=int(count),
            is_whole=parameter in INTEGERS,
        )
    elif "start" in texts and ("stop" in texts or "count" in texts):
        keys = [key for key in ("start", "stop", "count", "step") if key in texts]
        way_out = range_of(parameter, **{key: texts[key] for key in keys})
    rule = (
        f"a range of {parameter} must have start, and either stop or count, got "
        f"{', '.join(entry)}"
    )
    raise WrongValueError(rule, way_out)


def _unwrapped(parameter: str, node: Node) -> str | WayOut:
    if not isinstance(node, SequenceNode):
        value = shown(node.value) if isinstance(node, ScalarNode) else "its mapping"
        return f"write the value itself, {value}"
    texts = [each.value for each in node.value if isinstance(each, ScalarNode)]
    if len(texts) < len(node.value) or any("," in text for text in texts):
        return "write the list itself under `axes`"
    return list_of(parameter, texts)


def _text_of(entry: Mapping[str, Node], words: Iterable[str]) -> str:
    nodes = (entry[word] for word in words if word in entry)
    return next((str(node.value) for node in nodes if isinstance(node, ScalarNode)), "")
