"""The manifest of an export: what each line says of an image, and how it is read.

`nightsweep.json` has the sweeps. `manifest.jsonl` has one line for each image, and
before its first use a line for each model, environment and metric. Votes between two
images are the last lines. Nothing in it depends on the tables of a database.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import Any

from storage.errors import UsageError
from storage.files.images import KEY, relative_path
from storage.host.environment import Environment
from storage.job import Job, Model
from storage.jobs.results import Result, Timings
from storage.scores.identities import ResolvedMetric
from storage.sharing.shared_items import (
    File,
    Header,
    Member,
    SharedImage,
    SharedScore,
    SharedSweep,
    SharedVote,
)
from storage.sharing.typed import typed
from storage.sql.database import HEAD
from storage.sql.schema import VERDICTS

#: The names of the two files, and of the folders that hold pictures.
HEADER, LINES = "nightsweep.json", "manifest.jsonl"
IMAGES, REFERENCES, INPUTS = "images", "references", "inputs"
#: The layout of both files; a larger one is refused.
FORMAT = 1
#: Bytes of a line, and of the header, that are read at most.
MOST_LINE, MOST_HEADER = 2**22, 2**26
#: What is raised for a value that is none of ours; the last two are for numbers that
#: are too large, and for lists in lists in lists.
_UNREADABLE = (
    *(ValueError, TypeError, KeyError, AttributeError),
    *(OverflowError, RecursionError),
)
#: What decides the picture of a job, besides its model.
OF_JOB = (
    *("backend", "dtype", "width", "height", "prompt", "negative_prompt", "seed"),
    *("generator", "scheduler_class", "scheduler_options", "steps", "guidance"),
    "extras",
)
#: What a result has besides its file, its model, its timings and its environment.
OF_RESULT = (
    *("pixel_sha256", "engine", "batch_width", "slot", "evaluations", "decode_dtype"),
    *("peak_bytes", "warm_up", "finished_at"),
)
#: A name of a metric, which never says where a class is.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
TIMINGS = tuple(field.name for field in fields(Timings))


def read_header(text: bytes, *, where: str) -> Header:
    """Read the header of an export.

    Args:
        text: Its content.
        where: The export, for messages.

    Raises:
        UsageError: It is none, or a newer version wrote it.
    """
    with _explained(where, HEADER):
        said = _parsed(text)
        version = int(said["format"]), str(said["schema"])
        if version[0] > FORMAT or version[1] > HEAD:
            msg = (
                f"An export must be of format {FORMAT} and schema {HEAD} at most, "
                f"which this nightsweep knows, but {where} has format {version[0]} and "
                f"schema {version[1]}; install a newer nightsweep and import it again."
            )
            raise UsageError(msg)
        sweeps = [typed(SharedSweep, each) for each in said["sweeps"]]
        own = {each.name for each in sweeps if each.reference_of is None}
        if lost := {each.reference_of for each in sweeps} - {None, *own}:
            msg = f"it has references of {lost}, but not that sweep"
            raise ValueError(msg)
        return Header(
            sweeps=sweeps,
            images=int(said["images"]),
            inputs=[typed(File, each) for each in said["inputs"]],
        )


def read_lines(
    lines: Iterable[bytes], *, where: str
) -> Iterator[SharedImage | SharedVote]:
    """Read the images and votes of a manifest, line by line.

    Raises:
        UsageError: A line is not as `export` writes it.
    """
    known = _Known()
    for number, line in enumerate(lines, start=1):
        with _explained(where, f"line {number:,} of {LINES}"):
            found = known.read(_parsed(line))
        if found is not None:
            yield found


class _Known:
    """The models, environments and metrics of the lines that were read."""

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}
        self._environments: dict[str, Environment] = {}
        self._metrics: dict[str, ResolvedMetric] = {}

    def read(self, line: Mapping[str, Any]) -> SharedImage | SharedVote | None:
        """Read a line; return None for one that later ones refer to."""
        kind, said = line["kind"], line[line["kind"]]
        if kind == "image":
            return self._image(said)
        if kind == "vote":
            return typed(SharedVote, said)
        if kind == "model":
            self._models[line["id"]] = typed(Model, {**said, "former_fingerprints": ()})
        elif kind == "environment":
            self._environments[line["id"]] = typed(Environment, said)
        elif kind == "metric":
            self._metrics[line["id"]] = _metric(said)
        else:
            msg = f"no line can be of kind {kind!r}"
            raise ValueError(msg)
        return None

    def _image(self, said: Mapping[str, Any]) -> SharedImage:
        job = typed(
            Job,
            {
                "model": self._models[said["model"]],
                "parts": tuple(self._models[each] for each in said["parts"]),
                **{name: said["job"][name] for name in OF_JOB},
            },
        )
        if job.key != said["key"] or not KEY.fullmatch(job.key):
            msg = f"the key of the job is {job.key}, not {said['key']}"
            raise ValueError(msg)
        if not said["members"]:
            msg = f"the image {job.key} is in no sweep"
            raise ValueError(msg)
        made = said["result"]
        values = {
            "job": job,
            "evaluations": said["evaluations"],
            "scheduler": said["scheduler"],
            "scheduler_names": tuple(map(str, said["scheduler_names"])),
            "members": [typed(Member, each) for each in said["members"]],
            "result": _result(job, made) if made else None,
            "environment": self._environments[made["environment"]] if made else None,
            "worker": made["worker"] if made else "",
            "is_evicted": said["state"] == "evicted",
            "file": typed(File, said["file"]) if said["file"] else None,
            "scores": [self._score(each) for each in said["scores"]],
            "ratings": [_rating(each) for each in said["ratings"]],
        }
        return typed(SharedImage, values)

    def _score(self, said: Mapping[str, Any]) -> SharedScore:
        metric = self._metrics[said["metric"]]
        return typed(SharedScore, {**said, "metric": metric})


def line_of(kind: str, said: Any, *, label: str | None = None) -> dict[str, Any]:
    """Return a line of a manifest.

    Args:
        kind: `image`, `vote`, `model`, `environment` or `metric`.
        said: What it says: a dataclass, or a mapping.
        label: What later lines call it.
    """
    values = said if isinstance(said, Mapping) else asdict(said)
    return {"kind": kind, **({"id": label} if label else {}), kind: values}


def _parsed(text: bytes) -> Any:
    """Return the value of a JSON text, which can be written again.

    Raises:
        ValueError: It is none, or has a number or a letter that neither JSON nor SQL
            knows: NaN, 1e999 or half of a pair of surrogates.
    """
    found = json.loads(text)
    json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    return found


def _result(job: Job, made: Mapping[str, Any]) -> Result:
    return typed(
        Result,
        {
            "path": relative_path(job.key),
            "size_bytes": made["size_bytes"],
            "timings": typed(Timings, {name: made[name] for name in TIMINGS}),
            "place": job.model,
            **{name: made[name] for name in OF_RESULT},
        },
    )


def _metric(said: Mapping[str, Any]) -> ResolvedMetric:
    metric = typed(ResolvedMetric, said)
    if not _NAME.fullmatch(metric.name):
        msg = f"a metric cannot be called {metric.name!r}"
        raise ValueError(msg)
    return metric


def _rating(said: Mapping[str, Any]) -> Mapping[str, Any]:
    stars, verdict = said["stars"], said["verdict"]
    if stars not in (None, 1, 2, 3, 4, 5) or verdict not in (None, *VERDICTS):
        msg = f"a rating cannot be {stars} stars and {verdict}"
        raise ValueError(msg)
    texts = {name: str(said[name]) for name in ("who", "rated_at")}
    return {**texts, "stars": stars, "verdict": verdict}


@contextmanager
def _explained(where: str, part: str) -> Iterator[None]:
    """Say which part of an export cannot be read."""
    try:
        yield
    except _UNREADABLE as exc:
        said = f"there is no {exc}" if isinstance(exc, KeyError) else exc
        msg = (
            f"An export must be as `nightsweep export` wrote it, but {part} in {where} "
            f"is not ({said}); export it again."
        )
        raise UsageError(msg) from exc
