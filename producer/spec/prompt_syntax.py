"""Signs in prompts that mean something to other programs, but nothing here.

A prompt goes to the model's tokenizer word for word, except for `{a|b}`. A warning
says so to users of other programs, once for each kind of sign.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from producer.spec.problems import shown
from storage.errors import UsageError

_NUMBER = r"-?(?:\d+(?:\.\d+)?|\.\d+)"
#: Up to the first letter, inside brackets. Every pattern reads a text of a hundred
#: thousand characters in one go, whatever is in it.
_LETTER = r"(?:(?![()\[\]])[\W\d_])*[^\W\d_]"
_EACH = "write {a|b} for one prompt each"
_LISTED = "write a list under `axes`"


class _Sign(NamedTuple):
    """A kind of sign, and what the warning says about it.

    Attributes:
        pattern: What it looks like. Every match is removed before the search for the
            next kind, so that no sign is reported as two kinds.
        said: What it means here.
        way_out: What to do instead.
        in_negative: The way out in a negative prompt, which has no `{a|b}`; empty
            where it is the same.
    """

    pattern: str
    said: str
    way_out: str
    in_negative: str = ""


_COMBINED = _Sign(
    r"(?<=\{)\s*[\d-]+\$\$(?:[^{}|$]*\$\$)?",
    "2$$ is plain text here and combines no choices",
    "spell each combination out, as in {a, b|a, c|b, c}",
    _LISTED,
)
_DRAWN = _Sign(
    rf"(?<=[{{|])\s*{_NUMBER}::|(?<=\{{)\s*(?:[@~!]|\$\$)",
    "0.5::, @, ~ and $$ before a choice are plain text here and choose nothing",
    "leave them out, since {a|b} makes a prompt of each",
    _LISTED,
)
#: Only signs that are hardly ever meant as text: plain parentheses and brackets are
#: common in prompts, so they count only where they hold all between two commas.
_SIGNS = (
    _Sign(
        r"(?is)(?<!\s)\s*\b(?:negative prompt\s*:|steps:\s*\d+\s*,[^\n:]+:).*",
        "the parameters of an image are plain text here and set nothing",
        "write `negative_prompt`, `steps` and the like beside the prompt",
    ),
    _Sign(
        r"(?<=\S)[^\S\n]*\n\s*(?=\S)",
        "a text of several lines is plain text here, and one prompt",
        "write a list under `axes` for several, or > for | to join the lines",
    ),
    _Sign(
        r"\\[()\[\]]",
        "a backslash before a bracket is plain text here",
        "leave it out",
    ),
    _Sign(
        r"<(?:lora|lyco)\w*:[^<>]+>",
        "<lora:name:1> is plain text here and loads nothing",
        "write it as `loras: {file: name.safetensors, scale: 1}`",
    ),
    _Sign(
        r"<hypernet\w*:[^<>]+>",
        "<hypernet:name:1> is plain text here and loads nothing",
        "leave it out",
    ),
    _Sign(
        r"<ti:[^<>]+>|<?\bembedding:\S+",
        "embedding:name is plain text here and loads nothing",
        "write it as `embeddings: {file: name.safetensors, token: name}`, and its token"
        " in the prompt",
    ),
    _Sign(
        r"\[[^\[\]]*:\s*(?:\d+|\d*\.\d+)\s*\]",
        "[a:b:0.5] is plain text here and switches no prompt midway",
        _EACH,
        _LISTED,
    ),
    _Sign(
        r"\[[^\[\]]*\|[^\[\]]*\]",
        "[a|b] is plain text here and does not alternate",
        _EACH,
        _LISTED,
    ),
    _Sign(
        r"\.(?:and|blend|swap)\s*\(",
        ".and(), .blend() and .swap() are plain text here and mix no prompts",
        _EACH,
        _LISTED,
    ),
    _Sign(
        rf"\({_LETTER}[^()]*:\s*{_NUMBER}\s*\)|\(\([^()]*\)\)|\[\[[^\[\]]*\]\]"
        rf"|\)\d*\.\d|\w::{_NUMBER}"
        rf"|(?:^|(?<=,))\s*(?:\({_LETTER}[^()]*\)|\[{_LETTER}[^\[\]]*\])\s*(?=,|$)",
        "a weight such as (cat:1.3), ((cat)) or [cat] is plain text here and changes no"
        " weight",
        "leave out its signs and its number",
    ),
    _Sign(
        r"(?<=\w\w)\+{2,}(?!\w)|(?<=\w\w)--(?=\s*(?:[,)]|$))|\)[+-]+(?=[\s,]|$)",
        "a weight such as cat++ or (a cat)- is plain text here and changes no weight",
        "leave out its signs",
    ),
    _Sign(
        r"\bBREAK\b",
        "BREAK is plain text here and begins no new chunk",
        "leave it out",
    ),
    _Sign(
        r"(?<=\s)AND(?=\s)",
        "AND is plain text here and joins no prompts",
        "write a comma or `and`",
    ),
    _Sign(
        r"__[@~!]?[\w*/][\w*/ -]*?__",
        "__word__ is plain text here and stands for no file",
        "name the folder of its file as `wildcards`, or write its lines as {a|b}",
        "write its lines as a list under `axes`",
    ),
    _COMBINED,
    _DRAWN,
    _Sign(
        r"(?:^|\s)--[a-z]\w*\b",
        "an option such as --ar 3:2 is plain text here and sets nothing",
        "write `width`, `height` and the like beside the prompt",
    ),
)
#: Reported where a bar is left after everything in braces is removed.
_BAR = _Sign(
    r"\|",
    "a | outside braces is plain text here and makes no second prompt",
    _EACH,
    _LISTED,
)
#: A wildcard, where a sweep has a folder of them.
WILDCARD = re.compile(r"__([\w*./@~!-](?:(?!__)[^{}|$#\n])*?)__")
_PATTERNS = tuple((re.compile(sign.pattern), sign) for sign in _SIGNS)
#: A text without any of these has none of the signs above.
_ANY = re.compile(r"[(\[<$:\\\n]|\{\s*[@~!]|__|--|\+\+|BREAK|AND")
#: Replaces a sign that was found: a word without a meaning.
_FOUND = " x "
_BRACES = re.compile(r"\{[^{}]*\}")
_CHOICES = re.compile(r"\{[^{}|]*\|[^{}]*\}")
#: What may be a file name, and what counts as one even if there is no such file.
_FILE = re.compile(r"(?:@|file:)?([^\n]{1,200}\.\w{1,8})")
_SURE_FILE = re.compile(r"[\w./\\~-]{1,100}\.(?:txt|csv|tsv|jsonl?|ya?ml|md)")


def find_signs(
    text: str, *, is_negative: bool = False, has_wildcards: bool = False
) -> Iterator[str]:
    """Yield a sentence for each kind of sign that a prompt holds.

    Args:
        text: As it was written, with its `{a|b}`.
        is_negative: Whether it is a negative prompt.
        has_wildcards: Whether `__word__` stands for a file.
    """
    text = text.strip()
    if has_wildcards:
        text = WILDCARD.sub(_FOUND, text)
    found = []
    for pattern, sign in _PATTERNS if _ANY.search(text) else ():
        text, count = pattern.subn(_FOUND, text)
        if count:
            found.append(sign)
    if "|" in text and "|" in _BRACES.sub("", text):
        found.append(_BAR)
    for sign in found:
        way_out = (is_negative and sign.in_negative) or sign.way_out
        yield f"{sign.said}; {way_out}"


def refuse_draws(text: str) -> None:
    """Refuse signs before choices that draw some of them, where there are wildcards.

    Raises:
        UsageError: A prompt has one.
    """
    if re.search(_COMBINED.pattern, text):
        rule, way_out = "choices must not be combined by 2$$", _COMBINED.way_out
    elif re.search(_DRAWN.pattern, text):
        rule = "a choice must have no 0.5::, @, ~, ! or $$ before it"
        way_out = _DRAWN.way_out
    else:
        return
    msg = f"{rule}, got {shown(text)}; {way_out}"
    raise UsageError(msg)


def find_choices(text: str) -> Iterator[str]:
    """Yield a sentence if a negative prompt seems to have choices."""
    if _CHOICES.search(text):
        yield (
            "{a|b} is plain text in a negative prompt and makes no second one; "
            f"{_LISTED}"
        )


def find_file(text: str, folder: Path, *, is_negative: bool = False) -> Iterator[str]:
    """Yield a sentence if a prompt is the name of a file, or looks like one."""
    named = _FILE.fullmatch(text)
    if named is None:
        return
    is_there = _is_file(folder / named[1])
    if is_there or _SURE_FILE.fullmatch(named[1]):
        fate, of = "that file is not read", "its lines"
        if not is_there:
            fate, of = "there is no such file", "the lines of one"
        way_out = f"write {{file: {named[1]}}} for {of}"
        if is_negative:
            way_out = f"write {of} as a list under `axes`"
        yield f"the name of a file is plain text here, and {fate}; {way_out}"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # its name is too long
        return False
