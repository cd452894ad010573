"""Wildcards: `__colour__` in a prompt is a choice of the lines of `colour.txt`.

Written as in dynamic prompts, but every line makes a prompt: none is drawn at random.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from producer.spec.parameters import Prompt
from producer.spec.problems import Problems, nearest, shown
from producer.spec.prompt_syntax import find_signs, refuse_draws
from producer.spec.prompts import expand_prompt
from producer.spec.remarks import remark_on_text
from producer.spec.text_files import read_lines
from storage.errors import UsageError

_WHAT = "a wildcard file"
_SUFFIX = ".txt"
#: A weight before a line.
_WEIGHT = re.compile(r"\s*(?:\d+(?:\.\d*)?|\.\d+)::")


@dataclass(slots=True)
class Wildcards:
    """The files of a folder of wildcards; each is read once.

    Attributes:
        folder: Where they are.
        limit: The most prompts that a prompt or a file may stand for.
        problems: Where warnings are noted.
    """

    folder: Path
    limit: int
    problems: Problems
    _known: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)
    _files: dict[str, Path] | None = None

    def expand(self, text: str) -> list[Prompt]:
        """Write out every combination of a prompt's choices and wildcards.

        Raises:
            UsageError: A file is missing or cannot be read, something is to be drawn,
                or there are too many prompts.
        """
        refuse_draws(text)
        return expand_prompt(text, limit=self.limit, look_up=self._look_up)

    def _look_up(self, name: str) -> Sequence[str]:
        """Return what a wildcard stands for; a line with choices stands for several."""
        if name in self._open:
            msg = (
                f"a wildcard must not stand inside itself, got `__{name}__` again; "
                "write its lines out"
            )
            raise UsageError(msg)
        if name not in self._known:
            self._open.append(name)
            try:
                self._known[name] = self._read(name)
            finally:
                self._open.pop()
        return self._known[name]

    def _read(self, name: str) -> tuple[str, ...]:
        texts: dict[str, None] = {}
        for file in self._find(name):
            for number, line in enumerate(read_lines(file, what=_WHAT), start=1):
                if line.strip() and not line.lstrip().startswith("#"):
                    where = f"{file.name} line {number}"
                    texts.update(dict.fromkeys(self._read_line(line.strip(), where)))
                self._check_count(len(texts), name)
        if not texts:
            msg = (
                f"a wildcard must stand for at least one line, got none for "
                f"`__{name}__`; write one choice a line"
            )
            raise UsageError(msg)
        return tuple(texts)

    def _read_line(self, line: str, where: str) -> list[str]:
        for kind in find_signs(line, has_wildcards=True):
            self.problems.remarks.append(
                remark_on_text("prompt", shown(line), where=where, kind=kind)
            )
        try:
            _check_weight(line)
            return [prompt.text for prompt in self.expand(line)]
        except UsageError as error:
            msg = f"{where}: {error}"
            raise UsageError(msg) from error

    def _check_count(self, count: int, name: str) -> None:
        if count > self.limit:
            msg = (
                f"a wildcard must stand for at most {self.limit} texts "
                f"(limits.max_jobs), got more for `__{name}__`; name a shorter file or "
                "raise the limit"
            )
            raise UsageError(msg)

    def _find(self, name: str) -> list[Path]:
        """Return the files that a name or a pattern stands for, by their paths."""
        if not self.folder.is_dir():
            msg = (
                f"wildcards must be a folder, got {self.folder}; name the folder of "
                f"the files, such as that of {shown(name)}{_SUFFIX}"
            )
            raise UsageError(msg)
        path = PurePosixPath(f"{name}{_SUFFIX}")
        is_inside = not path.is_absolute() and ".." not in path.parts
        if is_inside and "*" not in name and (self.folder / path).is_file():
            return [self.folder / path]
        files = self._list()
        found = [file for each, file in files.items() if fnmatchcase(each, name)]
        if not found:
            way_out = nearest(name, files) if files else "put the file there"
            msg = (
                f"a wildcard must be a file of {self.folder}, got `__{shown(name)}__` "
                f"and no {shown(name)}{_SUFFIX}; {way_out}"
            )
            raise UsageError(msg)
        return found

    def _list(self) -> dict[str, Path]:
        """Return the files of the folder, by the names of their wildcards."""
        if self._files is None:
            self._files = {
                file.relative_to(self.folder).as_posix().removesuffix(_SUFFIX): file
                for file in sorted(self.folder.rglob(f"*{_SUFFIX}"))
            }
        return self._files


def _check_weight(line: str) -> None:
    if _WEIGHT.match(line):
        msg = (
            f"a line of a wildcard file must have no weight, got {shown(line)}; leave "
            "its number and `::` out, since every line makes a prompt"
        )
        raise UsageError(msg)
