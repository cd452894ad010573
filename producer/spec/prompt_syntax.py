"""Signs in prompts that mean something to other programs, and nothing here.

A prompt goes to the model's tokenizer word for word, but for `{a|b}`. Whoever comes
from another program is told so, once for each kind of sign.
"""

import re
from collections.abc import Iterator
from pathlib import Path

_NUMBER = r"-?\d*\.?\d+"
#: Each kind of sign, and what is said of it. Only what is hardly ever meant as text:
#: plain parentheses and brackets are common in prompts.
_SIGNS = (
    (
        rf"\([^()]*[^\W\d_][^()]*:\s*{_NUMBER}\s*\)|\(\([^()]*\)\)|\[\[[^\[\]]*\]\]"
        rf"|\)\d*\.\d|\w::{_NUMBER}",
        "a weight such as (cat:1.3) or ((cat)) is plain text here and changes no weight"
        "; leave out its signs and its number",
    ),
    (
        r"\[[^\[\]]*\|[^\[\]]*\]",
        "[a|b] is plain text here and does not alternate; write {a|b} for one prompt "
        "each",
    ),
    (
        r"\[[^\[\]]*:\s*(?:\d+|\d*\.\d+)\s*\]",
        "[a:b:0.5] is plain text here and changes no prompt under way; write {a|b} for "
        "one prompt each",
    ),
    (
        r"\bBREAK\b",
        "BREAK is plain text here and begins no new chunk; leave it out",
    ),
    (
        r"(?<=\s)AND(?=\s)",
        "AND is plain text here and joins no two prompts; write a comma or `and`",
    ),
    (
        r"<(?:lora|lyco|hypernet|ti|embedding)\w*:[^<>]+>|\bembedding:\S",
        "<lora:name:1> is plain text here and loads nothing; merge it into a model, "
        "and name the folder of that as `model`",
    ),
    (
        r"__[\w*/][\w*/ -]*?__",
        "__word__ is plain text here and stands for no file; write its lines as {a|b}",
    ),
    (
        rf"\{{[^{{}}]*?\$\$|[{{|]\s*{_NUMBER}::",
        "2$$ and 0.5:: are plain text here and choose nothing, since {a|b} makes a "
        "prompt of each; leave them out",
    ),
    (
        r"\\[()\[\]]",
        "a backslash before a bracket is plain text here; leave it out",
    ),
    (
        r"(?:^|\s)--[a-z]\w*\b",
        "an option such as --ar 3:2 is plain text here and sets nothing; write "
        "`width`, `height` and the like beside the prompt",
    ),
)
_PATTERNS = tuple((re.compile(pattern), said) for pattern, said in _SIGNS)
#: A text without any of these has none of the signs.
_ANY = re.compile(r"[(\[<$:\\]|__|--|BREAK|AND")
_CHOICES = re.compile(r"\{[^{}]*\|[^{}]*\}")
#: What may be the name of a file.
_FILE = re.compile(r"(?:@|file:)?([^\n]{1,200}\.\w{1,8})")


def find_signs(text: str) -> Iterator[str]:
    """Return a sentence for each kind of sign that a prompt holds.

    Args:
        text: As it was written, with its `{a|b}`.
    """
    if _ANY.search(text):
        for pattern, said in _PATTERNS:
            if pattern.search(text):
                yield said


def find_choices(text: str) -> Iterator[str]:
    """Return a sentence where a negative prompt seems to have choices."""
    if _CHOICES.search(text):
        yield (
            "{a|b} is plain text in a negative prompt and makes no two of it; write a "
            "list under `axes`"
        )


def find_file(text: str, folder: Path) -> Iterator[str]:
    """Return a sentence where a prompt is the name of a file that is there."""
    named = _FILE.fullmatch(text)
    if named and _is_file(folder / named[1]):
        yield (
            "the name of a file is plain text here, and that file is not read; write "
            f"{{file: {named[1]}}} for its lines"
        )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # its name is too long
        return False
