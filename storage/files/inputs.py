"""Input images: a copy of each, by its content, in `inputs` beside the images.

Workers read the copies, so the files that a sweep names may change or go. A copy is a
PNG of the RGB pixels as diffusers' `load_image` gives them. Its name is the SHA-256 of
size and pixels, which is also what a job's key holds: the same picture is the same
input, whatever its file format and wherever it lies.
"""

import hashlib
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from storage.errors import ImageStoreError, JobError, UsageError, in_words
from storage.files.pictures import BROKEN
from storage.files.places import place_at
from storage.image_address import ImageAddress

if TYPE_CHECKING:
    from PIL.Image import Image

#: The folder in the image folder that holds the copies.
INPUTS = "inputs"
#: Modes of Pillow with more than 8 bits a channel, which RGB would cut off.
_DEEP = ("I", "F")
#: Input images that a process keeps decoded.
_KEPT = 8


def read_image(file: Path | IO[bytes], *, name: str = "") -> "Image":
    """Read an image file as diffusers' `load_image` does: turned upright, in RGB.

    Args:
        file: Its path, or the opened file.
        name: Its name in messages; by default its path.

    Raises:
        UsageError: It cannot be read, is no image, or has more than 8 bits a channel.
    """
    # Imported here: most commands need no Pillow.
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            if opened.mode.startswith(_DEEP):
                msg = (
                    "an input image must have 8 bits a channel, got mode"
                    f" {opened.mode} in {name or file}; convert it to an 8-bit PNG"
                )
                raise UsageError(msg)
            return ImageOps.exif_transpose(opened).convert("RGB")
    except (*BROKEN, Image.DecompressionBombError) as exc:
        msg = (
            f"an input image must be a picture that Pillow reads, but {name or file}"
            f" gives: {in_words(exc)}; check the path and the file"
        )
        raise UsageError(msg) from exc


def digest_of(image: "Image") -> str:
    """Return the SHA-256 of the size and the pixels of an RGB image, in hex."""
    digest = hashlib.sha256(f"RGB {image.width}x{image.height}\n".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def resized(image: "Image", size: tuple[int, int], how: str) -> "Image":
    """Return an image of this size in pixels.

    Args:
        image: RGB.
        size: Width and height.
        how: One of `RESIZES`; empty for an image that has the size.

    Raises:
        JobError: It has another size, and `how` is empty.
    """
    from PIL import ImageOps

    if image.size == size:
        return image
    if how == "crop":
        return ImageOps.fit(image, size)
    if how == "pad":
        return ImageOps.pad(image, size)
    if how == "stretch":
        return image.resize(size)
    msg = (
        f"an input image must have the {size[0]}x{size[1]} pixels of the job, got"
        f" {image.width}x{image.height}; set `resize`"
    )
    raise JobError(msg)


@dataclass(frozen=True, slots=True)
class InputFolder:
    """The copies of input images.

    Attributes:
        images: The folder or bucket of images, which hosts may share.
    """

    images: ImageAddress

    def path(self, digest: str) -> Path:
        """Return the local file of a copy; of a bucket, it is fetched just now.

        Raises:
            FileNotFoundError: The bucket has none; in a folder, the file may be absent.
            ImageStoreError: The bucket cannot be reached.
        """
        return place_at(self.images).local(path_of_input(digest))

    def save(self, image: "Image") -> str:
        """Copy an RGB image unless a whole copy is there; return its digest.

        A crash leaves all of the copy or nothing.

        Raises:
            ImageStoreError: It cannot be written.
        """
        digest = digest_of(image)
        path = path_of_input(digest)
        try:
            if self.fault(digest):
                png = io.BytesIO()
                image.save(png, format="PNG")
                place_at(self.images).save(path, png.getvalue())
        except OSError as exc:
            msg = (
                f"Input images must be writable, but {self.images}/{path} gives: "
                f"{exc.strerror}; free some disk space or set NIGHTSWEEP_IMAGES to "
                "another folder."
            )
            raise ImageStoreError(msg) from exc
        return digest

    def note_use(self, digest: str) -> bool:
        """Note that a submission uses a copy, so that nobody removes it for an hour.

        Returns whether it is there.
        """
        return place_at(self.images).touch(path_of_input(digest))

    def read(self, digest: str) -> "Image":
        """Return an input image, in RGB.

        Raises:
            JobError: Its copy is missing, or holds other pixels.
        """
        return _read_copy(self.images, digest)

    def fault(self, digest: str) -> str | None:
        """Say in a phrase what is wrong with a copy; None if nothing is."""
        found = _look(self.images, digest)
        return found if isinstance(found, str) else None


def path_of_input(digest: str) -> str:
    """Return the path of a copy below the place of images."""
    return f"{INPUTS}/{digest}.png"


def _look(images: ImageAddress, digest: str) -> "Image | str":
    """Return the image of a copy, or a phrase about what is wrong with it."""
    path = path_of_input(digest)
    try:
        content, _ = place_at(images).read(path)
        image = read_image(io.BytesIO(content), name=path)
    except FileNotFoundError:
        return "there is no file"
    except (OSError, UsageError):
        return "it cannot be decoded"
    return image if digest_of(image) == digest else "the pixels differ"


@lru_cache(_KEPT)
def _read_copy(images: ImageAddress, digest: str) -> "Image":
    found = _look(images, digest)
    if isinstance(found, str):
        msg = (
            f"the copy of an input image must be whole, but of"
            f" {images}/{path_of_input(digest)} {found}; submit"
            " the sweep again from where its images are, and retry the job"
        )
        raise JobError(msg)
    return found
