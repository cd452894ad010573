"""Warnings of a spec: many of one kind become one line with a count and examples."""

from collections.abc import Iterable
from dataclasses import dataclass

#: Examples in the line that sums up many warnings.
EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One warning.

    Attributes:
        sentence: The warning if it is the only one of its kind, without a full stop.
        kind: What all warnings of its kind have in common, in a sentence; empty for a
            warning that has no others of its kind.
        case: What is special about this one, in a few words.
    """

    sentence: str
    kind: str = ""
    case: str = ""


def remark_on_text(parameter: str, text: str, *, where: object, kind: str) -> Remark:
    """Return a remark about a text of a prompt.

    Args:
        parameter: The parameter that has the text.
        text: As a message repeats it.
        where: Where it was written.
        kind: The warning, without text and place.
    """
    return Remark(
        sentence=f'{where}: {parameter} "{text}": {kind}',
        kind=kind,
        case=f'"{text}" ({where})',
    )


def remark_on_null_seed(where: object, advice: str) -> Remark:
    """Return a remark about a seed that was perhaps meant to be random."""
    kind = f"`seed: null` is seed 0 here, {advice}"
    return Remark(sentence=f"{where}: {kind}", kind=kind, case=str(where))


def collect(remarks: Iterable[Remark]) -> tuple[str, ...]:
    """Return one sentence for each kind, in the order of their first remarks.

    A repeated remark counts once.
    """
    kinds: dict[str, list[Remark]] = {}
    for remark in dict.fromkeys(remarks):
        kinds.setdefault(remark.kind or remark.sentence, []).append(remark)
    return tuple(map(_sentence, kinds.values()))


def _sentence(alike: list[Remark]) -> str:
    first, *others = alike
    if not others:
        return first.sentence
    cases = "; ".join(remark.case for remark in alike[:EXAMPLES])
    more = "; and so on" if len(alike) > EXAMPLES else ""
    return f"{first.kind} ({len(alike):,} times): {cases}{more}"
