"""Input images as a sweep writes them: the path of a file."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from yaml.nodes import MappingNode, Node

from producer.spec.choices import optional_text
from producer.spec.entries import fields
from producer.spec.problems import Problems, shown
from producer.spec.yamltext import text_of
from storage.errors import UsageError
from storage.files.inputs import InputFolder, digest_of, read_image


@dataclass(frozen=True, slots=True, kw_only=True)
class InputImage:
    """An image that jobs begin with; equal to any other one with its pixels.

    Attributes:
        digest: Of its size and pixels.
        file: Where it is.
        label: The sweep's own name for it, or else the file's.
        size: Width and height in pixels.
    """

    digest: str
    file: Path = field(compare=False)
    label: str = field(compare=False)
    size: tuple[int, int] = field(compare=False)

    def __str__(self) -> str:
        """Return what grids and tables show."""
        return self.label

    def copy_to(self, folder: InputFolder) -> None:
        """Copy it to where workers find it.

        Raises:
            UsageError: The file is gone, or has other pixels by now.
            ImageStoreError: The copy cannot be written.
        """
        if folder.note_use(self.digest) and folder.fault(self.digest) is None:
            return
        image = read_image(self.file)
        if digest_of(image) != self.digest:
            msg = (
                f"an input image must stay as it is until its sweep is submitted, but"
                f" {self.file} has other pixels now; submit the sweep again"
            )
            raise UsageError(msg)
        folder.save(image)


def read_input(
    parameter: str, node: Node, folder: Path, problems: Problems
) -> InputImage:
    """Read an input image: its path, or `{file, label}`.

    Args:
        parameter: What names it.
        node: The value.
        folder: What its path is relative to.
        problems: Where mistakes in a mapping are noted.

    Raises:
        UsageError: It is neither, or the file is no image.
    """
    label = None
    if isinstance(node, MappingNode):
        known = ("file", "label")
        entry = fields(node, problems, what=parameter, known=known)
        if "file" not in entry:
            msg = (
                f"{parameter} must name a file, got a mapping without `file`; write"
                " {file: cat.png}"
            )
            raise UsageError(msg)
        label, node = optional_text(entry, "label"), entry["file"]
    file, state = _find(parameter, text_of(node, what=parameter).strip(), folder)
    digest, size = _look(file, state)
    return InputImage(digest=digest, file=file, label=label or file.name, size=size)


def _find(parameter: str, text: str, folder: Path) -> tuple[Path, tuple[int, int]]:
    """Return a file, and what tells it from what it may become."""
    try:
        file = (folder / Path(text).expanduser()).resolve()
        found = file.stat()
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreadable(parameter, text, error) from error
    return file, (found.st_size, found.st_mtime_ns)


def _unreadable(parameter: str, name: str, error: Exception) -> UsageError:
    reason = getattr(error, "strerror", None) or str(error)
    msg = (
        f"{parameter} must be an image file that can be read, got {shown(name)}"
        f" ({reason}); check the path, which is relative to the sweep file"
    )
    return UsageError(msg)


@lru_cache(maxsize=4096)
def _look(file: Path, _state: tuple[int, int]) -> tuple[str, tuple[int, int]]:
    """Return digest and size of an image; each file is decoded once."""
    image = read_image(file)
    return digest_of(image), image.size
