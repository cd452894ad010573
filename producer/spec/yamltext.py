"""YAML as it was written: nodes with their text and line.

YAML turns `no` into false, `1:30` into 90 and `1e-3` into a text. Here every scalar
keeps its text in the file, and its parameter decides what the text means. JSON is read
by the same code, since it is YAML too.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from producer.spec.composing import LimitedLoader, LimitError
from producer.spec.problems import Place, Problems, shown
from storage.errors import Problem, SpecError, UsageError

#: The start of the tags that are written as `!!`.
_STANDARD = "tag:yaml.org,2002:"
_NULL, _MERGE = f"{_STANDARD}null", f"{_STANDARD}merge"
_PLAIN_KINDS = (
    *("str", "int", "float", "bool", "null", "timestamp", "map", "seq"),
    *("merge", "value"),  # the words `<<` and `=`
)
#: What plain YAML and JSON are made of; any other tag asks for a Python object.
_PLAIN_TAGS = frozenset(f"{_STANDARD}{kind}" for kind in _PLAIN_KINDS)

#: The largest sweep file in bytes; a hundred thousand prompts take four million.
MOST_FILE_BYTES = 16_000_000
#: Bytes that are read at a time.
CHUNK_BYTES = 1_000_000
#: The most characters of any one text in a sweep file.
MOST_SCALAR_CHARACTERS = 100_000

_QUOTES_HINT = (
    "check the indentation, and put quotes around a text that holds one of "
    "the characters : # { [ * & @ %"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSpec:
    """A spec that was submitted before, as stored in SQL.

    Attributes:
        name: Name of the sweep, for messages.
        text: YAML.
        folder: What relative paths are relative to.
    """

    name: str
    text: str
    folder: Path


#: How messages call standard input.
_INPUT = "standard input"


@dataclass(frozen=True, slots=True)
class InputText:
    """A spec that is in no file, such as what was read from standard input.

    Attributes:
        text: YAML or JSON.
        name: How messages call it.
    """

    text: str
    name: str = _INPUT


#: A sweep file, `-` for standard input, the text read from there, or a spec that was
#: submitted before.
Source = Path | Literal["-"] | InputText | StoredSpec


def place_of(node: Node) -> Place:
    """Return the place where `node` starts."""
    mark = node.start_mark
    option = mark.name if mark.name.startswith("--") else ""
    return Place(option, mark.line + 1, mark.column + 1, mark.name)


def read_source(source: Source) -> tuple[str, str]:
    """Read a spec's text.

    Returns:
        The name that messages use, and the text.

    Raises:
        SpecError: There is no such file, it is too large, or not UTF-8 text.
    """
    if isinstance(source, StoredSpec):
        return f"the spec of {source.name}", source.text
    if isinstance(source, InputText):
        return source.name, source.text
    name = _INPUT if source == "-" else Path(source).name
    try:
        content = _read_bytes(source)
        if len(content) <= MOST_FILE_BYTES:
            return name, content.decode("utf-8-sig")
        message = (
            f"a sweep file must have at most {MOST_FILE_BYTES // 10**6} MB, got more; "
            "put prompts into a file of their own, {file: prompts.txt}"
        )
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        message = (
            f"a sweep file must be UTF-8 text, got byte 0x{byte:02x} at offset "
            f"{error.start}; save it as UTF-8"
        )
    except OSError as error:
        message = (
            f"a sweep file must be a file that can be read, got {source} "
            f"({error.strerror}); check the path"
        )
    raise SpecError([Problem(where=name, message=message)])


def compose(text: str, *, source: str) -> Node | None:
    """Read YAML text to nodes; None where it holds nothing but comments.

    Args:
        text: YAML or JSON.
        source: Name of the file, or the command-line option that holds the text.

    Raises:
        SpecError: The text is not YAML, is beyond a limit, or holds what a spec never
            needs: tags, double keys, an alias inside itself.
    """
    try:
        loader = LimitedLoader(text)
        loader.name = source
        root: Node | None = loader.get_single_node()
    except yaml.YAMLError as error:
        raise SpecError([_syntax_problem(error, source=source)]) from error
    if root is not None:
        problems = Problems()
        _check_tree(root, problems, above=(), seen=set())
        problems.check()
    return root


def text_of(node: Node, *, what: str) -> str:
    """Return the text of a scalar as it was written.

    Raises:
        UsageError: It is a list or a mapping, or no value was written.
    """
    if not isinstance(node, ScalarNode):
        kind = "list" if isinstance(node, SequenceNode) else "mapping"
        msg = f"{what} must be a single value here, got a {kind}; write one value"
        raise UsageError(msg)
    if not node.value and not is_quoted(node):
        msg = f'{what} must have a value, got nothing; write one, or "" for no text'
        raise UsageError(msg)
    return str(node.value)


def check_text(node: ScalarNode, problems: Problems) -> None:
    """Join the surrogate pairs that JSON escapes make; refuse what SQL cannot hold."""
    try:
        node.value = node.value.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        problems.add(
            place_of(node), "a text must be valid Unicode, got half a surrogate pair"
        )
    if "\0" in node.value:
        problems.add(place_of(node), "a text must not hold the character NUL")
    if len(node.value) > MOST_SCALAR_CHARACTERS:
        problems.add(
            place_of(node),
            f"a text must have at most {MOST_SCALAR_CHARACTERS} characters, got "
            f"{len(node.value)}; shorten it",
        )


def is_null(node: Node) -> bool:
    """Return whether `null` or `~` was written, without quotes."""
    return isinstance(node, ScalarNode) and node.tag == _NULL and bool(node.value)


def is_quoted(node: ScalarNode) -> bool:
    """Return whether a scalar was written in quotes or as a block of text."""
    return bool(node.style)


def folder_of(source: Source) -> Path:
    """Return what a spec's relative paths are relative to."""
    if isinstance(source, StoredSpec):
        return source.folder
    if source == "-" or isinstance(source, InputText):
        return Path.cwd()
    return source.resolve().parent


def read_once(source: Source) -> Source:
    """Read standard input, which can be read only once; return others unchanged.

    Raises:
        SpecError: It is not UTF-8 text.
    """
    return InputText(read_source(source)[1]) if source == "-" else source


def _read_bytes(source: Path | Literal["-"]) -> bytes:
    if source == "-":
        return _read_some(sys.stdin.buffer)
    with Path(source).open("rb") as file:
        return _read_some(file)


def _read_some(file: BinaryIO) -> bytes:
    """Read a file to its end, or until it is known to be too large."""
    content = b""
    while len(content) <= MOST_FILE_BYTES and (more := file.read(CHUNK_BYTES)):
        content += more
    return content


def _syntax_problem(error: Exception, *, source: str) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        where = f"{source} line {error.problem_mark.line + 1}"
        message = str(error.problem)
        if not isinstance(error, LimitError):
            message = _syntax_message(message)
        return Problem(where=where, message=message)
    reason = getattr(error, "reason", "unreadable text")
    character = getattr(error, "character", 0)
    message = (
        f"a sweep file must be printable text, got character 0x{character:02x} "
        f"({reason}); save it as plain text"
    )
    return Problem(where=source, message=message)


def _syntax_message(problem: str) -> str:
    if r"'\t'" in problem:
        return "YAML is indented with spaces, got a tab; replace tabs by spaces"
    if "undefined alias" in problem:
        return (
            "a text that starts with * must be in quotes, since YAML takes it for an "
            f"alias, got an error ({problem}); put quotes around it"
        )
    if "another document" in problem or "document start" in problem:
        return "a sweep file must hold one YAML document, got more; split the file"
    if "end of stream" in problem:
        return "a text in quotes must end, got the end of the file; close the quotes"
    return f"the file must be valid YAML, got an error ({problem}); {_QUOTES_HINT}"


def _check_tree(
    node: Node, problems: Problems, *, above: tuple[int, ...], seen: set[int]
) -> None:
    """Note what a spec never needs; each node is visited once, aliased or not."""
    if id(node) in above:
        problems.add(
            place_of(node), "an alias must not stand inside itself; write the value out"
        )
    if id(node) in seen:
        return
    seen.add(id(node))
    _check_tag(node, problems)
    if isinstance(node, ScalarNode):
        check_text(node, problems)
        return
    if isinstance(node, MappingNode):
        _check_keys(node, problems)
    for child in _children(node):
        _check_tree(child, problems, above=(*above, id(node)), seen=seen)


def _children(node: Node) -> Iterator[Node]:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield key
            yield value
    else:
        yield from node.value


def _check_tag(node: Node, problems: Problems) -> None:
    if node.tag not in _PLAIN_TAGS:
        written = node.tag.replace(_STANDARD, "!!")
        problems.add(
            place_of(node),
            f"a sweep file must be plain YAML, got the tag {shown(written)}; remove "
            "it, or put quotes around a text that starts with !",
        )


def _check_keys(node: MappingNode, problems: Problems) -> None:
    first: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, ScalarNode):
            problems.add(
                place_of(key),
                "a key must be a single word, got a list or a mapping; "
                "put quotes around a text that starts with { or [",
            )
        elif key.tag == _MERGE:
            problems.add(
                place_of(key),
                "mappings are not merged by `<<` here; write out what it would add",
            )
        elif key.value in first:
            problems.add(
                place_of(key),
                f"a key must appear once, got `{shown(key.value)}` again (first on "
                f"line {first[key.value]}); remove one of the two",
            )
        else:
            first[key.value] = place_of(key).line
