"""What the screen shows: sweeps, workers and messages at one moment."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from producer.running.pace import Pace
from producer.running.sweep_state import Standing, describe, describe_notes
from storage.fleet.progress import Worker
from storage.jobs.blocked_groups import Blocked

#: Reasons for failures that are shown of each sweep, as pairs with how often.
Reasons = Sequence[tuple[str, int]]
#: A line of the screen, and its style for rich.
Line = tuple[str, str]

#: Names that a message lists.
MOST_NAMES = 2
#: Phases of workers that need a look.
TROUBLED = ("waiting", "backoff")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A sweep on the screen.

    Attributes:
        now: How far it is.
        ended: Jobs that are over, plus the steps of those in hand, in images.
        images_per_s: Its rate; 0 if it is made by nobody, or if that is unknown.
        left_s: Seconds until its end; None if that is unknown.
    """

    now: Standing
    ended: float
    images_per_s: float
    left_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A line below the tables.

    Attributes:
        text: One line of plain text.
        is_failure: Whether it says that something failed.
        at: When it was noticed; None if that was before the screen began.
    """

    text: str
    is_failure: bool = False
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that the screen shows.

    Attributes:
        at: The moment, in local time.
        sweeps: Those with a line of their own, in order.
        others: How many more sweeps there are.
        others_by_state: Their jobs by state.
        workers: All workers.
        hosts: Machines with workers that hold jobs though none wrote what it does.
        messages: The most important first.
        trouble: Why there is nothing newer; empty if all is well.
    """

    at: datetime
    sweeps: Sequence[Progress]
    others: int = 0
    others_by_state: Mapping[str, int] = field(default_factory=Counter)
    workers: Sequence[Worker] = ()
    hosts: Collection[str] = ()
    messages: Sequence[Message] = ()
    trouble: str = ""


class Paces:
    """How fast each sweep is, from look to look."""

    def __init__(self) -> None:
        """Begin with no sweep."""
        self._paces: dict[str, Pace] = {}

    def look(
        self,
        standings: Sequence[Standing],
        workers: Sequence[Worker],
        *,
        leased: int,
        models: int = 1,
    ) -> list[Progress]:
        """Return the progress of sweeps.

        Args:
            standings: How far they are.
            workers: All workers.
            leased: Jobs of all sweeps that workers have in hand.
            models: Models that unmade jobs of each need.
        """
        return [
            self._progress(
                now, workers, models=models, others=max(leased - now.leased, 0)
            )
            for now in standings
        ]

    def _progress(
        self, now: Standing, workers: Sequence[Worker], **more: int
    ) -> Progress:
        pace = self._paces.setdefault(now.sweep, Pace(now))
        pace.look(now, workers, **more)
        # A pace needs a while, but SQL knows the last minute; and it stands still while
        # nobody paints.
        is_known = pace.images_per_s > 0 and now.leased > 0
        return Progress(
            now=now,
            ended=pace.ended,
            images_per_s=pace.images_per_s if is_known else now.images_per_s,
            left_s=pace.left_s if is_known else now.eta_s,
        )


class Failures:
    """The reasons for failures, with the moment at which each was last seen to grow."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._known: dict[str, tuple[int, datetime | None]] = {}
        self._is_first = True

    def look(self, reasons: Mapping[str, Reasons], at: datetime) -> list[Message]:
        """Return the reasons as messages, the latest first.

        Args:
            reasons: By sweep, each reason with how often it was met.
            at: The moment, in local time.
        """
        counts, names = Counter[str](), defaultdict[str, list[str]](list)
        for sweep, found in reasons.items():
            for reason, count in found:
                counts[reason] += count
                names[reason].append(sweep)
        self._known = {
            each: (n, self._since(each, n, at)) for each, n in counts.items()
        }
        self._is_first = False
        messages = [
            Message(
                text=f"{_listed(names[reason])}: {count:,} failed: {reason}",
                is_failure=True,
                at=since,
            )
            for reason, (count, since) in self._known.items()
        ]
        return sorted(messages, key=lambda one: (one.at is None, -_seconds(one.at)))

    def _since(self, reason: str, count: int, at: datetime) -> datetime | None:
        before, since = self._known.get(reason, (0, None))
        if self._is_first:
            return None
        return at if count > before else since


def notes(standings: Sequence[Standing]) -> list[Message]:
    """Return what is to be said of sweeps besides numbers."""
    found = (text for one in standings for text in describe_notes(one))
    return [Message(text=text) for text in [*_blocked(standings), *found]]


def troubles(workers: Sequence[Worker]) -> list[Message]:
    """Return why workers wait, or restart later; each reason once."""
    names = defaultdict[str, list[str]](list)
    for one in workers:
        if one.phase in TROUBLED and not one.is_silent:
            names[one.detail].append(f"{one.name} on {one.host}")
    return [Message(text=f"{_listed(who)}: {detail}") for detail, who in names.items()]


def _blocked(standings: Sequence[Standing]) -> Iterator[str]:
    """Yield what holds images up, of all sweeps together."""
    names = defaultdict[Blocked, list[str]](list)
    images = Counter[Blocked]()
    for one in standings:
        for blocked in one.blocked:
            alike = replace(blocked, images=0)
            names[alike].append(one.sweep)
            images[alike] += blocked.images
    for alike, who in names.items():
        whole = replace(alike, images=images[alike])
        yield f"{_listed(who)}: {describe(whole)}"


def _listed(names: Sequence[str]) -> str:
    few = ", ".join(names[:MOST_NAMES])
    more = len(names) - MOST_NAMES
    return f"{few} and {more:,} more" if more > 0 else few


def _seconds(at: datetime | None) -> float:
    return at.timestamp() if at else 0.0
