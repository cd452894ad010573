"""Prompts and negative prompts as a sweep writes them: texts, or files of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from yaml.nodes import MappingNode, Node

from producer.spec.entries import fields
from producer.spec.parameters import Prompt, parse_text
from producer.spec.problems import Problems, shown
from producer.spec.prompt_syntax import find_choices, find_file, find_signs
from producer.spec.prompts import expand_prompt, read_prompt_file, sample_prompts
from producer.spec.ranges import read_integer
from producer.spec.remarks import remark_on_text
from producer.spec.tables import is_table
from producer.spec.text_files import find_path
from producer.spec.wildcards import Wildcards
from producer.spec.yamltext import place_of, text_of
from storage.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class TextReader:
    """Reads texts; notes what other programs would take for more than text.

    Attributes:
        folder: What paths of files are relative to.
        limit: The most prompts that a text or a file may hold.
        problems: Where mistakes and warnings are noted.
        wildcards: What `__name__` in a prompt stands for; None for plain text.
    """

    folder: Path
    limit: int
    problems: Problems
    wildcards: Wildcards | None = None

    def read_text(self, parameter: str, node: Node) -> str:
        """Read one text as it is.

        Raises:
            UsageError: It is a list, a mapping, or nothing.
        """
        if isinstance(node, MappingNode):
            msg = (
                f"{parameter} must be a text, got a mapping; put quotes around a text "
                "that starts with a brace, and write several, such as the lines of a "
                "file, as a list under `axes`"
            )
            raise UsageError(msg)
        text = text_of(node, what=parameter)
        negative = parameter == "negative_prompt"
        kinds = [
            *find_signs(
                text,
                is_negative=negative,
                has_wildcards=not negative and self.wildcards is not None,
            ),
            *find_file(text.strip(), self.folder, is_negative=negative),
            *(find_choices(text) if negative else ()),
        ]
        for kind in kinds:
            self.problems.remarks.append(
                remark_on_text(parameter, shown(text), where=place_of(node), kind=kind)
            )
        return str(parse_text(text))

    def read_prompts(self, node: Node) -> list[Prompt]:
        """Read a prompt with its choices, or a file of prompts.

        Raises:
            UsageError: It is neither, the file cannot be read, or there are too many.
        """
        if not isinstance(node, MappingNode):
            return self._expand(self.read_text("prompt", node))
        if all(key.value != "file" for key, _ in node.value):
            msg = (
                "a prompt must be a text or {file: prompts.txt}, got a mapping without "
                "`file`; put quotes around a text that starts with a brace, and write "
                "several as a list"
            )
            raise UsageError(msg)
        if is_table(node):
            msg = (
                "a table must be a value of an axis, got one elsewhere; write it under "
                "`axes`"
            )
            raise UsageError(msg)
        known = ("file", "sample", "sample_seed")
        entry = fields(node, self.problems, what="a prompt file", known=known)
        if "file" not in entry:
            msg = "file must have a value, got null; write the path of a prompt file"
            raise UsageError(msg)
        prompts = read_prompt_file(
            find_path(self.folder, text_of(entry["file"], what="file")),
            self._expand,
            place=place_of(entry["file"]),
            problems=self.problems,
            limit=self.limit,
            has_wildcards=self.wildcards is not None,
        )
        if "sample" not in entry:
            return prompts
        count = read_integer(entry["sample"], "sample", low=1, high=10**9)
        return sample_prompts(prompts, count, seed=_read_sample_seed(entry))

    def _expand(self, text: str) -> list[Prompt]:
        if self.wildcards:
            return self.wildcards.expand(text)
        return expand_prompt(text, limit=self.limit)


def _read_sample_seed(entry: Mapping[str, Node]) -> int:
    if "sample_seed" not in entry:
        return 0
    return read_integer(entry["sample_seed"], "sample_seed", low=0, high=2**63 - 1)
