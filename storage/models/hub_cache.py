"""How much of a Hub model is on disk, a number that grows during the fetch."""

import os
from contextlib import suppress

from storage.models import hub
from storage.models.checkpoint_names import folder_name
from storage.models.model_files import is_hub_id


def cached_bytes(name: str) -> int:
    """Return the disk space of a model in the Hub's cache, unfinished files included.

    It is 0 for a folder and a built-in model, for which nothing is fetched. Of a single
    file, it is that of its `config`.
    """
    name = folder_name(name)
    if not is_hub_id(name):
        return 0
    blobs = hub.cache_folder(name) / "blobs"
    total = 0
    with suppress(OSError):
        for entry in os.scandir(blobs):
            with suppress(OSError):  # renamed meanwhile
                # Count what is written, not what is reserved.
                total += entry.stat().st_blocks * 512
    return total
