"""Names of exported files: a template of columns, safe on Linux, macOS and Windows."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from string import Formatter
from typing import Any

from storage.errors import UsageError
from storage.queries.column_kinds import Column
from storage.queries.columns import COLUMNS, find_column

#: The names of an export, and what is added for each column in which images differ.
DEFAULT = "{prompt:.60}/{scheduler}-{steps}steps-cfg{guidance}-seed{seed}"
#: Bytes of a name before its key and its suffix. File systems allow 255.
MOST_BYTES = 200
#: What a file system or a shell would take for something else.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
#: Names that stand for devices on Windows, whatever their suffix.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
#: Digits of a key that tell images of one name apart.
_SHORT = 8


class Template:
    """A template of file names, such as `{prompt:.40}/{scheduler}-{seed}`.

    Attributes:
        text: As it was written.
        columns: The columns of queries that it names, each once.
    """

    def __init__(self, text: str) -> None:
        """Read a template.

        Raises:
            UsageError: It cannot be read, names no column, or leads out of its folder.
        """
        self.text = text
        try:
            self._parts = [[*Formatter().parse(part)] for part in text.split("/")]
        except ValueError as exc:
            raise _refused(text, f"Python's formats, but {exc}") from exc
        fields = [field for part in self._parts for field in part]
        names = dict.fromkeys(name for _, name, _, _ in fields if name is not None)
        if "" in names or any(conversion for *_, conversion in fields):
            raise _refused(text, "columns between braces, such as {seed}")
        plain = ["".join(field[0] for field in part) for part in self._parts]
        empty = [not any(f[1] for f in part) for part in self._parts]
        if any(e and p.strip(". ") == "" for e, p in zip(empty, plain, strict=True)):
            raise _refused(text, "folders and a file with names of their own")
        self._columns = {name: _column(text, name) for name in names}
        by_name = {column.name: column for column in self._columns.values()}
        self.columns: Sequence[Column] = list(by_name.values())

    def name(self, row: Mapping[str, Any]) -> PurePosixPath:
        """Return the name of an image without its suffix.

        Args:
            row: The values of `columns`, by their names.

        Raises:
            UsageError: A value does not have the form that the template asks for.
        """
        return PurePosixPath(*(self._safe(part, row) for part in self._parts))

    def _safe(self, part: Sequence[Any], row: Mapping[str, Any]) -> str:
        texts = []
        for literal, name, form, _ in part:
            texts.append(literal)
            if name is not None:
                value = row[self._columns[name].name]
                texts.append(self._shown(name, value, form))
        return safe_name("".join(texts))

    def _shown(self, name: str, value: Any, form: str) -> str:
        if value is None or value == "":
            return "none"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, float) and not form:
            return f"{value:.10g}"
        try:
            return format(value, form)
        except ValueError as exc:
            got = f"a format that {name} can have, but {value!r} gives: {exc}"
            raise _refused(self.text, got) from exc


def default_template(differing: Sequence[str]) -> str:
    """Return the template for images that also differ in some columns."""
    return DEFAULT + "".join(f"-{name.split('.')[-1]}{{{name}}}" for name in differing)


class Names:
    """Gives each image a name of its own, also where case does not count."""

    def __init__(self, template: Template) -> None:
        """Give no name yet."""
        self._template = template
        self._taken: set[str] = set()

    def give(self, key: str, row: Mapping[str, Any]) -> str:
        """Return the path of an image's file, with `/` between its parts.

        The first image of a name has it; the key of later ones is added to theirs. So
        names depend on the order, but not on how many images follow.

        Args:
            key: The image's.
            row: As for `Template.name`.

        Raises:
            UsageError: As in `Template.name`.
        """
        name = str(self._template.name(row))
        for path in (f"{name}.png", f"{name}-{key[:_SHORT]}.png", f"{name}-{key}.png"):
            if (folded := _folded(path)) not in self._taken:
                self._taken.add(folded)
                return path
        msg = f"a key must be given a name once, got {key} again"
        raise ValueError(msg)


def safe_name(text: str) -> str:
    """Return the name of a file or folder that is like a text on every system."""
    # Also a letter that Unicode knows as two: other systems compare names by bytes.
    name = _UNSAFE.sub("_", unicodedata.normalize("NFC", text))
    name = "".join(letter for letter in name if _is_kept(letter))
    name = name.encode("utf-8", "ignore")[:MOST_BYTES].decode("utf-8", "ignore")
    # Windows drops blanks and dots at the end; a dot at the beginning hides a file.
    name = name.strip().rstrip(". ")
    if name.startswith((".", "-", "~")) or _DEVICE.fullmatch(name):
        name = f"_{name}"
    return name or "_"


def _is_kept(letter: str) -> bool:
    """Return whether a letter may stay: others are unseen, such as directions."""
    # The joiners of emoji are needed to show them as one.
    return letter == "\u200d" or unicodedata.category(letter) not in (
        *("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"),
    )


def _folded(path: str) -> str:
    """Return what is equal for paths that some file system takes for one."""
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", path).casefold())


def _column(text: str, name: str) -> Column:
    column = find_column(name)
    if column is None or column.raw is None:
        known = ", ".join(name for name, column in COLUMNS.items() if column.raw)
        rule = (
            f"columns of images, which are {known}, cell.AXIS, call.INPUT and "
            f"score.METRIC, but {name} is none"
        )
        raise _refused(text, rule)
    return column


def _refused(text: str, rule: str) -> UsageError:
    msg = (
        f"--names must have {rule}, got {text!r}; write it like "
        "'{prompt:.40}/{scheduler}-{steps}-{seed}'."
    )
    return UsageError(msg)
