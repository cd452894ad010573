"""Amounts as people say them: counts, times, sizes."""

import shutil
from pathlib import Path


def images(count: int) -> str:
    """Return a count of images: `1 image`, `1,840 images`."""
    return f"{count:,} image" if count == 1 else f"{count:,} images"


def part_of(count: int, whole: int) -> str:
    """Return a count of images out of others: `200 of 12,000 images`."""
    return images(count) if count == whole else f"{count:,} of {images(whole)}"


def duration(seconds: float | None) -> str:
    """Return seconds as people say them: `42 s`, `7 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds is None:
        return "-"
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def size(count: float) -> str:
    """Return a count of bytes: `812 kB`, `3.1 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.0f} TB"


def free_bytes(folder: Path) -> int:
    """Return the free bytes on the disk of `folder`, or of its nearest parent."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free
