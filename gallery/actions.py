"""What only commands can do, which `nightsweep view` hands to the server."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from storage.sql.database import Database

#: What may be done to a sweep: the commands of these names; `start` is `run --detach`.
Verb = Literal["pause", "resume", "cancel", "retry", "start"]
VERBS: Sequence[Verb] = get_args(Verb)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What came of asking for images that are not made.

    Attributes:
        said: What was done, in sentences.
        idle: Sweeps whose images wait while no worker is alive on any host.
    """

    said: str
    idle: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What came of adding combinations to a sweep, or what would.

    Attributes:
        said: In sentences.
        count: Images that are new in the sweep.
        idle: As of `Filled`.
    """

    said: str
    count: int
    idle: tuple[str, ...]


class Actions(Protocol):
    """The commands, as the server calls them: from several threads at once.

    Each raises `NightsweepError` with a sentence for people.
    """

    def change(self, verb: Verb, name: str) -> str:
        """Pause, resume, cancel, retry or start a sweep; return what was done.

        To start it is to make it on this machine in the background, and returns once
        it has workers.
        """

    def fill(self, query: str, keys: Sequence[str]) -> Filled:
        """Ask for images that are not made.

        Args:
            query: A query that the images match.
            keys: Their keys; empty for every image of the query.
        """

    def add(
        self,
        query: str,
        combinations: Sequence[Mapping[str, Sequence[str]]],
        *,
        is_agreed: bool,
    ) -> Added:
        """Add combinations to the sweep of a query, as `extend --include` does.

        Args:
            query: A query of one sweep.
            combinations: Each names axes with one or several labels.
            is_agreed: Whether they are added; else they are only counted.
        """

    def script(self, key: str) -> str:
        """Return a Python script that makes an image with diffusers."""

    def a1111(self, key: str) -> str:
        """Return the parameters in an image's file; empty if there is none."""

    def answer(self, query: str, by: str, metric: str) -> dict[str, Any]:
        """Return what `nightsweep report` says of a query, as JSON.

        Args:
            query: Which images.
            by: Columns to compare, with commas; empty for the usual ones.
            metric: Name of a score; empty for the only one.
        """

    def standings(
        self, database: Database, names: Collection[str] | None = None
    ) -> list[dict[str, Any]]:
        """Return how far sweeps are, as JSON, the oldest first.

        Args:
            database: Where they are.
            names: Which sweeps; None for all.
        """
