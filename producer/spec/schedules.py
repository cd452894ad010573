"""Schedules as a sweep writes them: `ays`, or a list of timesteps or of sigmas."""

from yaml.nodes import MappingNode, Node, SequenceNode

from producer.spec.choices import optional_text
from producer.spec.entries import fields
from producer.spec.parameters import ScheduleChoice, integer, number
from producer.spec.problems import Problems, shown
from producer.spec.yamltext import text_of
from storage.errors import UsageError

_KINDS = ("timesteps", "sigmas")
#: As many as there may be steps, and the end.
_MOST = 1001
_EXAMPLES = "write ays, {timesteps: [999, 500, 100]} or {sigmas: [1, 0.6, 0.2]}"


def read_schedule(node: Node, problems: Problems) -> ScheduleChoice:
    """Read a schedule: `ays`, or `{timesteps, label}` or `{sigmas, label}`.

    Raises:
        UsageError: It is none of these, or a number is wrong.
    """
    if not isinstance(node, MappingNode):
        text = text_of(node, what="schedule").strip()
        if text != "ays":
            msg = f"schedule must be ays or a list with its kind, got {shown(text)}; "
            raise UsageError(msg + _EXAMPLES)
        return ScheduleChoice(values=("ays",), label="ays")
    entry = fields(node, problems, what="a schedule", known=(*_KINDS, "label"))
    given = [kind for kind in _KINDS if kind in entry]
    if len(given) != 1:
        got = shown(", ".join(given)) or "neither"
        msg = f"a schedule must have one of timesteps and sigmas, got {got}; "
        raise UsageError(msg + _EXAMPLES)
    numbers = _read_numbers(given[0], entry[given[0]])
    return ScheduleChoice(
        values=(given[0], *numbers), label=optional_text(entry, "label")
    )


def _read_numbers(kind: str, node: Node) -> list[float]:
    if not isinstance(node, SequenceNode) or not 1 <= len(node.value) <= _MOST:
        got = len(node.value) if isinstance(node, SequenceNode) else "no list"
        msg = f"{kind} must be a list of 1 to {_MOST} numbers, got {got}; "
        raise UsageError(msg + "write it in brackets, such as [900, 500, 100]")
    what = f"each number of {kind}"
    parse = integer(what, 0, 65535) if kind == "timesteps" else number(what, 0, 1000)
    return [parse(text_of(each, what=what)) for each in node.value]
