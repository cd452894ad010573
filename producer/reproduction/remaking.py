"""The process that makes images again, and its answers as they come."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from producer.running.programs import answers_of
from storage.job import Job
from storage.jobs.records import Made, Record


def remade(
    records: Sequence[Record], *, as_made: bool, device: str | None, log: Path
) -> AbstractContextManager[Iterator[dict[str, Any]]]:
    """Start the process that makes images again; yield its answers as they come.

    The process ends with the block, whatever it is doing. It stores nothing.

    Args:
        records: Of images that are made.
        as_made: Whether each is made in the row of a batch of the recorded width, with
            the recorded number of threads; else each is made alone, as under `strict`.
        device: `cpu`, `cuda:0` and so on; None for the first GPU, or the CPU where
            there is none.
        log: File for what the process prints besides its answers.

    Raises:
        NightsweepError: The process cannot make images, or ended early.
    """
    places = {
        each.job.model.fingerprint: [asdict(place) for place in each.places]
        for each in records
    }
    images = [_image(each, as_made=as_made) for each in records]
    return answers_of(
        [sys.executable, "-P", "-m", "workers.engine.programs", "reproduce"],
        {"images": images, "places": places, "device": device},
        name="reproducing",
        log=log,
    )


def _image(record: Record, *, as_made: bool) -> Mapping[str, Any]:
    job, made = record.job, record.made
    if not as_made or made is None or job.parameter("strict"):
        return {"job": asdict(_strict(job))}
    return {
        "job": asdict(job),
        "width": made.batch_width,
        "slot": made.slot,
        "threads": _threads(made),
        "compiled": bool(made.details.get("compiled")),
    }


def _strict(job: Job) -> Job:
    return replace(job, extras={**job.extras, "strict": True})


def _threads(made: Made) -> int:
    return int(made.details.get("threads") or 1)
