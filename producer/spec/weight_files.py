"""Weights besides the model, as a sweep names them: LoRAs and textual inversions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from yaml.nodes import MappingNode, Node

from producer.spec.choices import optional_text
from producer.spec.entries import fields, items
from producer.spec.parameters import number
from producer.spec.problems import Problems, shown
from producer.spec.yamltext import is_null, text_of
from storage.errors import UsageError
from storage.models.model_files import is_hub_id
from storage.models.part_files import SUFFIX

_WHERE = ("file", "id", "weight", "revision")
_SCALE = number("scale of a LoRA", -10, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFile:
    """A file of weights besides the model.

    Attributes:
        name: An absolute path, or a Hub id.
        weight: The file within a repository of the Hub; None for its only one.
        revision: Branch, tag or commit; Hub only.
        label: What labels call it.
        scale: How much a LoRA counts.
        token: The word of a prompt that a textual inversion stands for.
    """

    name: str
    weight: str | None = None
    revision: str | None = None
    label: str
    scale: float = 1.0
    token: str = ""


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """All files of a kind that a job has, in the order in which they are added."""

    files: tuple[WeightFile, ...]

    def __str__(self) -> str:
        """Return how messages show them."""
        return " + ".join(map(label_of, self.files)) or "none"


def label_of(file: WeightFile) -> str:
    """Return how labels show a file: `ink`, or `ink@0.5` where its scale is not 1."""
    return file.label if file.scale == 1 else f"{file.label}@{file.scale:g}"


def read_loras(node: Node, *, folder: Path, problems: Problems) -> WeightFiles:
    """Read LoRAs: each a file, a Hub id or `{file|id, scale, adapter}`.

    Raises:
        UsageError: One is none of these.
    """

    def read(entry: Mapping[str, Node], place: WeightFile) -> WeightFile:
        scale = 1.0
        if "scale" in entry:
            scale = _SCALE(text_of(entry["scale"], what="scale"))
        name = optional_text(entry, "adapter") or place.label
        return replace(place, label=name, scale=scale)

    return _read("a LoRA", node, ("scale", "adapter"), read, folder, problems)


def read_embeddings(node: Node, *, folder: Path, problems: Problems) -> WeightFiles:
    """Read textual inversions: each a file, a Hub id or `{file|id, token}`.

    Raises:
        UsageError: One is none of these.
    """

    def read(entry: Mapping[str, Node], place: WeightFile) -> WeightFile:
        token = optional_text(entry, "token") or place.label
        if not token or any(letter.isspace() for letter in token):
            msg = (
                f"token must be one word of a prompt, got {shown(token)}; write it"
                " without blanks"
            )
            raise UsageError(msg)
        return replace(place, label=token, token=token)

    return _read("a textual inversion", node, ("token",), read, folder, problems)


def _read(
    what: str,
    node: Node,
    more: Sequence[str],
    read: Callable[[Mapping[str, Node], WeightFile], WeightFile],
    folder: Path,
    problems: Problems,
) -> WeightFiles:
    files = []
    for item in items(node):
        if is_null(item):
            continue
        entry = _entry(what, item, (*_WHERE, *more), problems)
        files.append(read(entry, _place(what, entry, folder)))
    return WeightFiles(tuple(files))


def _entry(
    what: str, node: Node, known: Sequence[str], problems: Problems
) -> Mapping[str, Node]:
    if isinstance(node, MappingNode):
        return fields(node, problems, what=what, known=known)
    text = text_of(node, what=what).strip()
    return {"id" if is_hub_id(text) and not text.endswith(SUFFIX) else "file": node}


def _place(what: str, entry: Mapping[str, Node], folder: Path) -> WeightFile:
    file, name = optional_text(entry, "file"), optional_text(entry, "id")
    if (file is None) == (name is None):
        got = "both" if file else "none"
        msg = f"{what} must have a file or an id, got {got}; write one of the two"
        raise UsageError(msg)
    weight, revision = (optional_text(entry, key) for key in ("weight", "revision"))
    if file is None and name is not None:
        if not is_hub_id(name):
            msg = (
                f"id must be a Hub id such as org/name, got {shown(name)}; write `file`"
                " for a file"
            )
            raise UsageError(msg)
        label = PurePath(weight).stem if weight else name.partition("/")[2]
        return WeightFile(name=name, weight=weight, revision=revision, label=label)
    if weight or revision:
        msg = f"only {what} of the Hub has a weight or a revision; leave them out"
        raise UsageError(msg)
    path = _absolute(str(file), folder)
    return WeightFile(name=str(path), label=path.stem)


def _absolute(file: str, folder: Path) -> Path:
    try:
        return (folder / Path(file).expanduser()).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        msg = f"the file {shown(file)} cannot be resolved: {error}; change the path"
        raise UsageError(msg) from error
