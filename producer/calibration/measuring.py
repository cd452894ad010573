"""The process that measures for a calibration, and its results as they come."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from producer.running.programs import answers_of
from storage.job import PlannedJob


def measured(
    jobs: Sequence[PlannedJob], *, log: Path, **wish: Any
) -> AbstractContextManager[Iterator[dict[str, Any]]]:
    """Start the measuring process; yield its results as they come.

    The process ends with the block, whatever it is doing.

    Args:
        jobs: What to make.
        log: File for what the process prints besides its results.
        wish: The rest of what `workers.engine.calibration` takes.

    Raises:
        NightsweepError: The process cannot measure, or ended early.
    """
    return answers_of(
        [sys.executable, "-P", "-m", "workers.engine.programs", "calibrate"],
        {**wish, "jobs": [asdict(each.job) for each in jobs]},
        name="measuring",
        log=log,
    )
