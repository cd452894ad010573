"""Prompts: choices in braces, and files of prompts."""

import hashlib
import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path

from producer.spec.parameters import Prompt
from producer.spec.problems import Place, Problems, shown
from producer.spec.prompt_syntax import find_signs
from producer.spec.remarks import remark_on_text
from storage.errors import UsageError

#: The most characters of a prompt; models read a tenth of it at most.
MOST_PROMPT_CHARACTERS = 20_000
#: The most characters of a line of a prompt file, with all the choices in it.
MOST_IN_LINE = 100_000

#: A doubled brace, choices in braces, or a brace that is neither.
_BRACES = re.compile(r"\{\{|\}\}|\{([^{}|]*\|[^{}]*)\}|[{}]")

# `{{word}}`, or `{{` alone; `}}` alone may end two choices.
_PLAIN_BRACES = re.compile(r"\{\{[^{}]*\}\}|\{\{")
_PLAIN_PAIRS = re.compile(r"\{\{[^{}]*\}\}(?!\})")
_NESTED = re.compile(r"\{[^{}]*\{[^{}|]*\|[^{}]*\}")


def expand_prompt(text: str, *, limit: int) -> list[Prompt]:
    """Write out every combination of a prompt's choices.

    `{a|b}` stands for a and for b, as written between the bars; a choice may be
    empty. `{{` and `}}` stand for the braces themselves. Braces cannot be nested.

    Args:
        text: The prompt as written. White space at its ends is dropped.
        limit: The most prompts there may be, checked before any is made.

    Returns:
        At least one prompt; the last choice varies fastest.

    Raises:
        UsageError: A brace stands alone, there are more than `limit` prompts, or one
            is longer than a prompt may be.
    """
    text = text.strip()
    parts = list(_split(text))
    _check_extent(parts, limit)
    is_template = any(len(part) > 1 for part in parts)
    return [
        Prompt(
            "".join(chosen).strip(),
            text if is_template else None,
            tuple(c for c, part in zip(chosen, parts, strict=True) if len(part) > 1),
        )
        for chosen in itertools.product(*parts)
    ]


def read_prompt_file(
    file: Path, *, place: Place, problems: Problems, limit: int
) -> list[Prompt]:
    """Read a file of prompts: one per line, blank lines and `#` comments skipped.

    Args:
        file: UTF-8 text.
        place: Where the spec names the file.
        problems: Where lines that cannot be read are noted, with their numbers.
        limit: The most prompts that the file may hold.

    Raises:
        UsageError: The file cannot be read, or holds no prompts.
    """
    prompts: list[Prompt] = []
    wrong = 0
    for line_number, line in enumerate(_read_lines(file), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            where = f"{file.name} line {line_number}"
            for kind in find_signs(line):
                problems.remarks.append(
                    remark_on_text(
                        "prompt", shown(line.strip()), where=where, kind=kind
                    )
                )
            try:
                prompts += expand_prompt(line, limit=limit)
            except UsageError as error:
                problems.add(place, f"{where}: {error}")
                wrong += 1
        _check_count(len(prompts) + wrong, file, limit)
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
        range(len(prompts)), key=lambda index: _draw(prompts[index].text, seed)
    )
    return [prompts[index] for index in sorted(drawn[:count])]


def _draw(text: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{text}".encode()).digest()


def _split(text: str) -> Iterator[tuple[str, ...]]:
    """Cut a prompt into fixed texts (tuples of one) and choices (of several)."""
    end = 0
    for match in _BRACES.finditer(text):
        yield (text[end : match.start()],)
        end = match.end()
        yield _choices(match, text)
    yield (text[end:],)


def _check_extent(parts: list[tuple[str, ...]], limit: int) -> None:
    count = math.prod(map(len, parts))
    if count > limit:
        msg = (
            f"a prompt's choices must give at most {limit} prompts (limits.max_jobs), "
            f"got {shown(count)}; write fewer choices or raise the limit"
        )
        raise UsageError(msg)
    longest = sum(max(map(len, part)) for part in parts)
    if longest > MOST_PROMPT_CHARACTERS:
        msg = (
            f"a prompt must have at most {MOST_PROMPT_CHARACTERS} characters, got"
            f" {longest}; shorten it"
        )
        raise UsageError(msg)


def _choices(match: re.Match[str], text: str) -> tuple[str, ...]:
    if match[1] is not None:
        return tuple(match[1].split("|"))
    if match[0] in ("{{", "}}"):
        return (match[0][0],)
    raise UsageError(_say_of_brace(match[0], text))


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


def _check_count(count: int, file: Path, limit: int) -> None:
    if count > limit:
        msg = (
            f"a prompt file must give at most {limit} prompts (limits.max_jobs), got "
            f"more from {file.name}; shorten it or raise the limit"
        )
        raise UsageError(msg)


def _read_lines(file: Path) -> Iterator[str]:
    """Read a file line by line; it may be larger than memory."""
    try:
        with file.open(encoding="utf-8-sig") as opened:
            # One character more shows that a line is too long.
            while line := opened.readline(MOST_IN_LINE + 1):
                _check_line(line, file)
                yield line
    except UnicodeError as error:
        msg = f"a prompt file must be UTF-8 text, got {file}; save it as UTF-8"
        raise UsageError(msg) from error
    except OSError as error:
        msg = (
            f"a prompt file must be a file that can be read, got {file} "
            f"({error.strerror}); check the path"
        )
        raise UsageError(msg) from error


def _check_line(line: str, file: Path) -> None:
    if "\0" in line:
        msg = f"a prompt file must be text, got the character NUL in {file}; remove it"
        raise UsageError(msg)
    if len(line) > MOST_IN_LINE:
        msg = (
            f"a line of a prompt file must have at most {MOST_IN_LINE} characters, got "
            f"more in {file}; write one prompt a line"
        )
        raise UsageError(msg)
