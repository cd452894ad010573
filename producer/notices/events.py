"""What happens to a sweep, found by comparing how far it is now with before."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from producer.display.amounts import images, size
from producer.options import program
from producer.running.sweep_state import Standing

#: Events that people can be told of, each with its meaning.
EVENTS: Mapping[str, str] = {
    "finished": "all is made and scored",
    "failed": "the first image failed",
    "paused": "the sweep has paused itself",
    "limit": "a limit of the sweep is reached",
    "blocked": "workers cannot make some images",
    "disk": "the disk has less space than the images that are left need",
    "stopped": "the command ended before the sweep did, and not by Ctrl-C",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened.

    Attributes:
        event: Of `EVENTS`.
        sweep: The sweep's name.
        text: A sentence. It holds no prompt, and no error, which may quote one.
    """

    event: str
    sweep: str
    text: str


class Events:
    """Finds what began since the last look. What began before the first is not news."""

    def __init__(self, first: Standing) -> None:
        """Begin with how far the sweep is."""
        self._failed = _failed(first)
        self._under_way = set(self._states(first))

    def look(self, now: Standing, space: str = "") -> Iterator[Notice]:
        """Yield what began since the last look.

        Args:
            now: How far it is.
            space: What the disk lacks for the images that are left; empty if nothing.
        """
        states = self._states(now, space)
        begun = states.keys() - self._under_way
        self._under_way = set(states)
        for event, text in states.items():
            if event in begun:
                yield Notice(event, now.sweep, text)

    def _states(self, now: Standing, space: str = "") -> dict[str, str]:
        look = f"`{program()} status {now.sweep}` says why"
        said = {
            "failed": f"{now.sweep}: an image failed; {look}."
            if _failed(now) > self._failed
            else "",
            "blocked": _blocked(now, look),
            "disk": space,
            "paused": f"{now.sweep} has paused itself; {look}."
            if now.state == "paused" and now.reason and not now.is_at_limit
            else "",
            "limit": f"{now.sweep} is at its limit, and {images(now.unmade)} are left: "
            f"{now.reason}."
            if now.is_at_limit
            else "",
            "finished": _finished(now),
        }
        return {event: text for event, text in said.items() if text}


def stopped(now: Standing) -> Notice:
    """Return what to tell when a command ended before its sweep."""
    left = images(now.unmade) if now.unmade else f"{now.open_scores:,} scores"
    text = f"{now.sweep}: its workers here ended, and {left} are left."
    return Notice("stopped", now.sweep, text)


def describe_space(now: Standing, *, free_bytes: int, image_bytes: float) -> str:
    """Say what the disk lacks for the images that are left; empty if nothing."""
    needed = now.unmade * image_bytes
    if free_bytes >= needed:
        return ""
    return (
        f"{now.sweep}: {size(free_bytes)} are free for {images(now.unmade)} that are "
        f"left, which need about {size(needed)}."
    )


def _failed(now: Standing) -> int:
    return now.failed + now.quarantined


def _blocked(now: Standing, look: str) -> str:
    if not now.blocked:
        return ""
    most = max(now.blocked, key=lambda each: each.images)
    return (
        f"{now.sweep}: {images(most.images)} cannot be made by "
        f"{', '.join(most.workers)} on {most.host}; {look}."
    )


def _finished(now: Standing) -> str:
    if now.is_open or now.incomplete or not now.total or now.state != "active":
        return ""
    lost = _failed(now)
    more = f", {images(lost)} failed" if lost else ""
    return f"{now.sweep} is finished: {images(now.done)} made{more}."
