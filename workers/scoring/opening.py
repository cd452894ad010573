"""Images and their references, opened for a metric."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.errors import ImageStoreError, MetricError, ScoreError
from storage.files.fetching import AT_ONCE
from storage.files.images import ImageFolder, relative_path
from storage.files.markers import read_marker
from storage.scores.score_claims import ScoreClaim
from workers.metrics.metric import Sample

if TYPE_CHECKING:
    import numpy as np


def require_numpy() -> None:
    """Refuse to compute scores where numpy is missing.

    Raises:
        MetricError: It is not installed.
    """
    try:
        import numpy  # noqa: F401 - only whether it is there
    except ImportError as exc:
        msg = (
            "scores need numpy, which is not installed here; run `pip install "
            "'nightsweep[torch]'`"
        )
        raise MetricError(msg) from exc


def open_samples(
    images: ImageFolder, claims: Sequence[ScoreClaim]
) -> "list[Sample | ScoreError]":
    """Open many; those in a bucket at the same time, since each answer takes a while.

    Raises:
        ImageStoreError: The whole place of images is away.
    """
    open_one = partial(open_sample, images)
    if isinstance(images.root, Path):
        return [*map(open_one, claims)]
    with ThreadPoolExecutor(AT_ONCE, "fetch") as pool:
        return [*pool.map(open_one, claims)]


def open_sample(images: ImageFolder, claimed: ScoreClaim) -> Sample | ScoreError:
    """Open an image and its reference; return the error of one that cannot be opened.

    Raises:
        ImageStoreError: The whole image folder is away.
    """
    reference = claimed.reference
    try:
        return Sample(
            image=_open(images, claimed.parameters),
            prompt=claimed.parameters["prompt"],
            parameters=claimed.parameters,
            reference=_open(images, reference) if reference else None,
        )
    except ScoreError as exc:
        return exc


def _open(images: ImageFolder, row: Mapping[str, Any]) -> "np.ndarray":
    import numpy as np
    from PIL import Image

    path = f"{images.root}/{relative_path(row['key'])}"
    try:
        with Image.open(images.path(row["key"])) as image:
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError as exc:
        _require_folder(images, path)
        msg = (
            f"an image must be there to be scored, but {path} is gone; `nightsweep "
            "verify --repair` has it made again, and then it is scored"
        )
        raise ScoreError(msg) from exc
    except (OSError, SyntaxError, ValueError) as exc:  # Pillow's, for a broken PNG
        _require_folder(images, path)
        msg = (
            f"an image must be whole to be scored, but {path} gives: {exc}; "
            "`nightsweep verify --repair` has it made again, and then it is scored"
        )
        raise ScoreError(msg) from exc


def _require_folder(images: ImageFolder, path: str) -> None:
    """Raise an error that is waited for if it is the folder that is away."""
    if images.id is not None and read_marker(images.root) is None:
        msg = (
            f"Images must be readable, but the folder of {path} is away; mount it, or "
            "set NIGHTSWEEP_IMAGES to where it is."
        )
        raise ImageStoreError(msg)
