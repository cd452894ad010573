"""What an export has: sweeps, images, scores and votes, without rows and ids."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storage.host.environment import Environment
from storage.job import Job, PlannedJob
from storage.jobs.results import Result
from storage.scores.identities import ResolvedMetric
from storage.settings import MOST_NAME, is_owner_name
from storage.sql.schema import SWEEP_STATES, WINNERS

_SWEEP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSweep:
    """A sweep, as an export has it.

    Attributes:
        name: Its name.
        digest: Digest of all that decides what it wants.
        spec: YAML text as submitted.
        axes: Axis names to their values' labels, in display order.
        state: Of `storage.sql.schema.SWEEP_STATES`.
        priority: 0, first, to 9, last.
        min_free_bytes: Disk space that must stay free.
        jobs: How many jobs its revision has, exported or not.
        reference_of: The sweep whose references it holds; None for people's own.
        owner: The person who submitted it first; None if that is not known.
    """

    name: str
    digest: str
    spec: str
    axes: Mapping[str, Any]
    state: str
    priority: int
    min_free_bytes: int
    jobs: int
    reference_of: str | None = None
    owner: str | None = None

    def __post_init__(self) -> None:
        """Refuse values that no sweep has.

        Raises:
            ValueError: There is one.
        """
        if self.state not in SWEEP_STATES or self.priority not in range(10):
            msg = f"a sweep cannot be {self.state} with priority {self.priority}"
            raise ValueError(msg)
        # Other commands call files by it.
        if not _SWEEP.fullmatch(self.name):
            msg = f"a sweep cannot be called {self.name!r}"
            raise ValueError(msg)
        if self.owner is not None and not is_owner_name(self.owner):
            msg = f"an owner cannot be called {self.owner[:MOST_NAME]!r}"
            raise ValueError(msg)
        if not all(isinstance(labels, list) for labels in self.axes.values()):
            msg = f"the axes of a sweep cannot be {self.axes!r:.60}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An image's place in a sweep; the attributes are those of `PlannedJob`.

    Attributes:
        is_current: Whether the sweep's newest revision wants it.
    """

    sweep: str
    position: int
    label: str | None
    template: str | None
    cell: Mapping[str, Any]
    is_current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of an export.

    Attributes:
        name: Its path within the export, with `/` between the parts.
        size_bytes: Its size.
        sha256: Hash of its bytes.
    """

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedScore:
    """A score that was computed.

    Attributes:
        metric: What was measured.
        value: What came out.
        scored_at: When; ISO 8601, UTC.
        pixel_sha256: The pixels that were scored; None where not recorded.
        reference: Key of the image that it was compared with; None for none.
        reference_sha256: The pixels of that image.
    """

    metric: ResolvedMetric
    value: float
    scored_at: str
    pixel_sha256: str | None
    reference: str | None
    reference_sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedImage:
    """A job, and all that is known of its image.

    Attributes:
        job: What makes it; the place of its model is a hint.
        evaluations: How often the model is called.
        scheduler: The name of its scheduler.
        scheduler_names: All names that mean it on this model.
        members: Its places in sweeps, one or more.
        result: How it was made; None if it was not.
        environment: Where it was made; None if it was not.
        worker: Who made it, for people.
        is_evicted: Whether its file was removed by `rm` or `prune`.
        file: Its file; None for one that is not in the export.
        scores: What it scored.
        ratings: Rows of the view `image_ratings` without the key.
    """

    job: Job
    evaluations: int
    scheduler: str
    scheduler_names: tuple[str, ...]
    members: Sequence[Member]
    result: Result | None
    environment: Environment | None
    worker: str
    is_evicted: bool
    file: File | None
    scores: Sequence[SharedScore]
    ratings: Sequence[Mapping[str, Any]]

    def planned(self, member: Member) -> PlannedJob:
        """Return the job with its place in a sweep."""
        return PlannedJob(
            job=self.job,
            position=member.position,
            evaluations=self.evaluations,
            scheduler_name=self.scheduler,
            scheduler_names=self.scheduler_names,
            scheduler_label=member.label,
            template=member.template,
            cell=member.cell,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedVote:
    """Which of two images somebody prefers; the attributes are the columns of votes."""

    who: str
    axis: str
    a: str
    b: str
    winner: str
    query: str
    voted_at: str

    def __post_init__(self) -> None:
        """Refuse a winner that no vote has.

        Raises:
            ValueError: It is none of `WINNERS`.
        """
        if self.winner not in WINNERS:
            msg = f"a vote cannot be for {self.winner}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What an export says of itself, and its sweeps.

    Attributes:
        sweeps: Those that its images are members of.
        images: How many images it has rows of.
        inputs: Input images of its jobs.
    """

    sweeps: Sequence[SharedSweep]
    images: int
    inputs: Sequence[File]
