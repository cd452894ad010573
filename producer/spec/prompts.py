"""Prompts: choices in braces, and files of prompts."""

import hashlib
import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from producer.spec.parameters import Prompt
from producer.spec.problems import Place, Problems, shown
from producer.spec.prompt_syntax import WILDCARD, find_signs
from producer.spec.remarks import remark_on_text
from producer.spec.text_files import read_lines
from storage.errors import UsageError

#: The most characters of a prompt; models read a tenth of it at most.
MOST_PROMPT_CHARACTERS = 20_000
#: Returns the texts that `__name__` stands for.
LookUp = Callable[[str], Sequence[str]]
#: Makes the prompts of a text.
Expand = Callable[[str], Sequence[Prompt]]

#: A doubled brace, choices in braces, or a brace that is neither.
_BRACES = re.compile(r"\{\{|\}\}|\{([^{}|]*\|[^{}]*)\}|[{}]")

# `{{word}}`, or `{{` alone; `}}` alone may end two choices.
_PLAIN_BRACES = re.compile(r"\{\{[^{}]*\}\}|\{\{")
_PLAIN_PAIRS = re.compile(r"\{\{[^{}]*\}\}(?!\})")
_NESTED = re.compile(r"\{[^{}]*\{[^{}|]*\|[^{}]*\}")


class _Part(NamedTuple):
    """A part of a prompt: a fixed text, or a choice of several."""

    texts: Sequence[str]
    is_choice: bool


def expand_prompt(
    text: str, *, limit: int, look_up: LookUp | None = None
) -> list[Prompt]:
    """Write out every combination of a prompt's choices.

    `{a|b}` stands for a and for b, as written between the bars; a choice may be
    empty. `{{` and `}}` stand for the braces themselves. Braces cannot be nested.

    Args:
        text: The prompt as written. White space at its ends is dropped.
        limit: The most prompts there may be, checked before any is made.
        look_up: Finds the choices of `__name__`; None leaves it as plain text.

    Returns:
        At least one prompt; the last choice varies fastest.

    Raises:
        UsageError: A brace stands alone, there are more than `limit` prompts, or one
            is longer than a prompt may be.
    """
    text = text.strip()
    parts = list(_split(text, limit=limit, look_up=look_up))
    _check_extent(parts, limit)
    choices = [index for index, part in enumerate(parts) if part.is_choice]
    return [
        Prompt(
            "".join(chosen).strip(),
            text if choices else None,
            tuple(chosen[index] for index in choices),
        )
        for chosen in itertools.product(*(part.texts for part in parts))
    ]


def read_prompt_file(
    file: Path,
    expand: Expand,
    *,
    place: Place,
    problems: Problems,
    limit: int,
    has_wildcards: bool = False,
) -> list[Prompt]:
    """Read a file of prompts: one per line, blank lines and `#` comments skipped.

    Args:
        file: UTF-8 text.
        expand: Makes the prompts of a line.
        place: Where the spec names the file.
        problems: Where lines that cannot be read are noted, with their numbers.
        limit: The most prompts that the file may hold.
        has_wildcards: Whether `__name__` is more than text.

    Raises:
        UsageError: The file cannot be read, or holds no prompts.
    """
    prompts: list[Prompt] = []
    wrong = 0
    for line_number, line in enumerate(read_lines(file), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            where = f"{file.name} line {line_number}"
            for kind in find_signs(line, has_wildcards=has_wildcards):
                problems.remarks.append(
                    remark_on_text(
                        "prompt", shown(line.strip()), where=where, kind=kind
                    )
                )
            try:
                prompts += expand(line)
            except UsageError as error:
                problems.add(place, f"{where}: {error}")
                wrong += 1
        check_count(len(prompts) + wrong, file, limit)
    if not prompts:
        msg = (
            f"a prompt file must hold at least one prompt, got none in {file}; "
            "write one prompt a line"
        )
        raise UsageError(msg)
    return prompts


def sample_prompts(prompts: list[Prompt], count: int, *, seed: int) -> list[Prompt]:
    """Choose `count` prompts, the same ones everywhere and always.

    Each prompt draws a number from its own text and the seed, so that a line added to
    a long file changes at most one of the chosen prompts.

    Raises:
        UsageError: There are fewer than `count` prompts.
    """
    if count > len(prompts):
        msg = (
            f"sample must be at most the number of prompts, {len(prompts)}, got "
            f"{count}; lower or remove it"
        )
        raise UsageError(msg)
    drawn = sorted(
        range(len(prompts)), key=lambda index: draw_of(prompts[index].text, seed)
    )
    return [prompts[index] for index in sorted(drawn[:count])]


def draw_of(text: str, seed: int) -> bytes:
    """Return what a text draws: those that draw least are sampled."""
    return hashlib.sha256(f"{seed}\n{text}".encode()).digest()


def _split(text: str, *, limit: int, look_up: LookUp | None) -> Iterator[_Part]:
    end = 0
    for match in _BRACES.finditer(text):
        yield from _split_plain(text[end : match.start()], look_up)
        end = match.end()
        if match[1] is None:
            yield _Part([_plain_brace(match[0], text)], is_choice=False)
            continue
        texts: list[str] = []
        for choice in match[1].split("|"):
            texts += _write_out(choice, limit=limit, look_up=look_up)
        yield _Part(texts, is_choice=True)
    yield from _split_plain(text[end:], look_up)


def _split_plain(text: str, look_up: LookUp | None) -> Iterator[_Part]:
    """Cut a text without braces at its wildcards."""
    if look_up is None:
        yield _Part([text], is_choice=False)
        return
    end = 0
    for match in WILDCARD.finditer(text):
        yield _Part([text[end : match.start()]], is_choice=False)
        yield _Part(look_up(match[1]), is_choice=True)
        end = match.end()
    yield _Part([text[end:]], is_choice=False)


def _write_out(choice: str, *, limit: int, look_up: LookUp | None) -> list[str]:
    """Return the texts that one choice stands for: several if it has wildcards."""
    parts = list(_split_plain(choice, look_up))
    _check_extent(parts, limit)
    return ["".join(texts) for texts in itertools.product(*(p.texts for p in parts))]


def _check_extent(parts: Sequence[_Part], limit: int) -> None:
    count = math.prod(len(part.texts) for part in parts)
    if count > limit:
        msg = (
            f"a prompt's choices must give at most {limit} prompts (limits.max_jobs), "
            f"got {shown(count)}; write fewer choices or raise the limit"
        )
        raise UsageError(msg)
    longest = sum(max(map(len, part.texts)) for part in parts)
    if longest > MOST_PROMPT_CHARACTERS:
        msg = (
            f"a prompt must have at most {MOST_PROMPT_CHARACTERS} characters, got"
            f" {longest}; shorten it"
        )
        raise UsageError(msg)


def _plain_brace(brace: str, text: str) -> str:
    if brace in ("{{", "}}"):
        return brace[0]
    raise UsageError(_say_of_brace(brace, text))


def _say_of_brace(brace: str, text: str) -> str:
    single = _PLAIN_BRACES.sub("", text)
    is_paired = text.count("{") == text.count("}")
    if is_paired and _NESTED.search(_PLAIN_PAIRS.sub("", text)):
        wrong = "choices in braces must not be nested"
        way_out = "spell them out, {a b|a c|d} for {a {b|c}|d}"
    elif brace == "}":
        wrong, way_out = "a `}` has no `{` before it", "write }} for a plain brace"
    elif single.count("{") > single.count("}"):
        wrong = "a `{` is not closed"
        way_out = "write `}` after the choices, or {{ for a plain brace"
    else:
        wrong = "braces in a prompt must hold choices such as {cat|dog}"
        way_out = "write {{ and }} for braces that are meant as such"
    return f"{wrong}, got {shown(text)}; {way_out}"


def check_count(count: int, file: Path, limit: int) -> None:
    """Refuse a file that gives too many prompts.

    Raises:
        UsageError: It does.
    """
    if count > limit:
        msg = (
            f"a prompt file must give at most {limit} prompts (limits.max_jobs), got "
            f"more from {file.name}; shorten it or raise the limit"
        )
        raise UsageError(msg)
