"""How long labels are shortened: common words once, then the words that differ."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

#: Letters beyond which a label is too long to repeat at each panel.
LONG = 40
#: Stands for words that are shown elsewhere.
GAP = "…"

# Common words in a row that are left out between words that differ; fewer are kept,
# since a text reads better with them.
_RUN = 4
# Runs after which the rest is taken as a whole.
_MOST_RUNS = 50
# Letters of a label that are always shown.
_SEEN = 80

_Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wording:
    """The labels of an axis as they are shown.

    Attributes:
        common: The words that all of them have, with an ellipsis where they differ;
            empty where each is shown whole.
        shown: Label to what is shown of it.
    """

    common: str
    shown: Mapping[str, str]


def told_apart(labels: Sequence[str]) -> Wording:
    """Shorten long labels to what tells them apart.

    Labels with long common beginnings are numbered, since their ends may be cut.

    Args:
        labels: Different texts, in the order of display.
    """
    whole = Wording("", {label: label for label in labels})
    if len(labels) < 2 or max(map(len, labels)) <= LONG:
        return whole
    common, *differing = _split([tuple(label.split()) for label in labels])
    texts = [_joined(words) for words in differing]
    if common == (GAP,) or len(set(texts)) < len(labels):
        common, texts = (), list(labels)
    if len({text[:_SEEN] for text in texts}) < len(labels):
        texts = [f"{number}. {text}" for number, text in enumerate(texts, start=1)]
    return Wording(" ".join(common), dict(zip(labels, texts, strict=True)))


def _split(texts: Sequence[_Words], *, runs: int = _MOST_RUNS) -> list[_Words]:
    """Split texts at what they share.

    Args:
        texts: The words of each.
        runs: Most runs of words to look for, besides beginning and end.

    Returns:
        The common words, with a `GAP` for what differs; then for each text the words
        that differ, with a `GAP` for what is common.
    """
    start = _count_equal(texts)
    end = _count_equal([text[start:][::-1] for text in texts])
    middles = [text[start : len(text) - end] for text in texts]
    first, last = texts[0][:start], texts[0][len(texts[0]) - end :]
    inner = _split_inside(middles, runs=runs)
    return [
        (*first, *inner[0], *last),
        *((GAP,) * bool(first) + each + (GAP,) * bool(last) for each in inner[1:]),
    ]


def _split_inside(texts: Sequence[_Words], *, runs: int) -> list[_Words]:
    """Split texts that neither begin nor end alike at a run that all of them have."""
    if not any(texts):
        return [(), *texts]
    run = _find_run(texts) if runs else ()
    if not run:
        return [(GAP,), *texts]
    places = [_place(text, run) for text in texts]
    both = list(zip(texts, places, strict=True))
    before = _split([text[:at] for text, at in both], runs=runs - 1)
    after = _split([text[at + len(run) :] for text, at in both], runs=runs - 1)
    pairs = zip(before[1:], after[1:], strict=True)
    return [
        (*before[0], *run, *after[0]),
        *((*left, GAP, *right) for left, right in pairs),
    ]


def _find_run(texts: Sequence[_Words]) -> _Words:
    """Return the first run of words that all texts have, at its full length."""
    shared = set.intersection(*(set(_runs(text)) for text in texts))
    run = next((each for each in _runs(texts[0]) if each in shared), ())
    if not run:
        return run
    rests = [text[_place(text, run) + len(run) :] for text in texts]
    return run + rests[0][: _count_equal(rests)]


def _runs(text: _Words) -> Iterable[_Words]:
    return (text[at : at + _RUN] for at in range(len(text) - _RUN + 1))


def _place(text: _Words, run: _Words) -> int:
    """Return where a run begins in a text that has it."""
    starts = range(len(text) - len(run) + 1)
    return next(at for at in starts if text[at : at + len(run)] == run)


def _count_equal(texts: Sequence[_Words]) -> int:
    """Count the words that all texts begin with."""
    columns = zip(*texts, strict=False)  # the shortest text ends them
    count = 0
    for words in columns:
        if len(set(words)) > 1:
            break
        count += 1
    return count


def _joined(words: Iterable[str]) -> str:
    """Join words, with one `GAP` where several meet."""
    kept: list[str] = []
    for word in words:
        if word != GAP or kept[-1:] != [GAP]:
            kept.append(word)
    return " ".join(kept)
