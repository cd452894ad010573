"""How fast a sweep progresses, what it waits for, and when it may end."""

import time
from collections import deque
from collections.abc import Callable, Sequence

from producer.display.amounts import duration
from producer.running.sweep_state import Standing
from storage.fleet.progress import Worker

#: Least seconds of painting, and least images, over which the rate is taken.
PACE_WINDOW_S = 30.0
WINDOW_IMAGES = 1.0
#: Seconds of painting, and images in them, after which a rate is meaningful.
LEAST_S = 2.0
LEAST_IMAGES = 0.2
#: Images a second below which the text shows seconds per image instead.
SLOW = 0.1

#: The first of these phases that any worker is in is shown for all of them.
_TELLING = (
    *("painting", "storing", "compiling", "loading", "downloading", "starting"),
    *("waiting", "backoff", "idle"),
)
#: Phases in which images make progress.
_PAINTING = ("painting", "storing")
#: Phases in which no image makes progress, for an unknown time.
_HELD_UP = ("waiting", "backoff")
#: Phases that come once for each model.
_LOADING = ("compiling", "loading", "downloading", "starting")
_TEXTS = {
    "starting": "starting the workers",
    "downloading": "downloading the model",
    "loading": "loading the model",
    "compiling": "compiling the model",
    "painting": "painting",
    "storing": "painting",
    "waiting": "waiting",
    "backoff": "every worker pauses before its next start",
}


class Pace:
    """Images a second while workers paint, and what that means for the rest.

    The rate excludes the time in which models load; the time left includes the loading
    that is still to come.

    Attributes:
        ended: Jobs that are over, plus the steps of jobs in hand, in images. It falls
            when steps are lost with their worker.
    """

    def __init__(
        self, first: Standing, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with how far the sweep is now; `clock` returns seconds."""
        self.ended = float(first.total - first.unmade)
        self._now, self._doing, self._reason = first, "", ""
        self._clock, self._looked = clock, clock()
        self._models = 1
        self._painted_s = 0.0
        self._loaded_s, self._loads = 0.0, 0
        self._seen = deque([(0.0, float(first.done))])

    def look(
        self,
        now: Standing,
        workers: Sequence[Worker],
        *,
        models: int = 1,
        others: int = 0,
    ) -> None:
        """Record how far the sweep is.

        Args:
            now: The sweep's jobs.
            workers: The workers, with what they do.
            models: Models that unmade jobs need.
            others: Jobs of other sweeps that workers have in hand.
        """
        heard = [each for each in workers if not each.is_silent]
        doing = _most_telling(heard)
        self._pass_time(doing)
        # Workers do not say which sweep their steps are for: each job has its share.
        share = now.leased / max(now.leased + others, 1)
        part = min(share * sum(each.in_hand for each in heard), now.leased)
        self._now, self._doing, self._models = now, doing, models
        self._reason = next((one.detail for one in heard if one.phase == doing), "")
        self.ended = now.total - now.unmade + part
        self._seen.append((self._painted_s, now.done + part))
        while len(self._seen) > 2 and self._is_enough(self._seen[1]):
            self._seen.popleft()

    @property
    def images_per_s(self) -> float:
        """The rate; 0 if no image makes progress, or as long as it is unknown."""
        return 0.0 if self._doing in _HELD_UP else self._rate()

    @property
    def left_s(self) -> float | None:
        """Seconds until all is made; None if nothing is left, or if it is unknown."""
        rate = self.images_per_s
        if not rate or not self._now.unmade:
            return None
        return (self._now.total - self.ended) / rate + self._loading_to_come()

    def text(self, *, with_reason: bool = False) -> str:
        """Return the rate or what workers wait for, the time left and the failures.

        Args:
            with_reason: Whether to add why workers wait.
        """
        rate, now = self.images_per_s, self._now
        parts = []
        if rate and self._doing not in _LOADING:
            parts.append(_describe_rate(rate))
        elif self._doing in _TEXTS:
            is_told = with_reason and self._doing == "waiting"
            reason = f": {self._reason}" if is_told else ""
            parts.append(f"{_TEXTS[self._doing]}{reason}")
        if self.left_s is not None:
            parts.append(f"{duration(self.left_s)} left")
        failed = now.failed + now.quarantined
        return " · ".join([*parts, f"{failed:,} failed"] if failed else parts)

    def _pass_time(self, doing: str) -> None:
        moment = self._clock()
        elapsed_s, self._looked = moment - self._looked, moment
        if doing in _LOADING:
            self._loaded_s += elapsed_s
            self._loads += self._doing not in _LOADING
        elif doing in _PAINTING or not doing:
            self._painted_s += elapsed_s

    def _is_enough(self, since: tuple[float, float]) -> bool:
        """Return whether the time since a moment is enough to take the rate from."""
        seconds, images = (b - a for a, b in zip(since, self._seen[-1], strict=True))
        return seconds >= PACE_WINDOW_S and images >= WINDOW_IMAGES

    def _rate(self) -> float:
        seconds, images = (
            b - a for a, b in zip(self._seen[0], self._seen[-1], strict=True)
        )
        if seconds < LEAST_S or (images < LEAST_IMAGES and seconds < PACE_WINDOW_S):
            return 0.0
        # Steps that were lost with a worker may make it negative.
        return max(images, 0.0) / seconds

    def _loading_to_come(self) -> float:
        """Return the seconds to load the remaining models, judged by earlier loads.

        Jobs are made model by model.
        """
        models = self._models - (self._doing not in _LOADING)
        return max(models, 0) * self._loaded_s / self._loads if self._loads else 0.0


def _describe_rate(rate: float) -> str:
    if rate < SLOW:
        return f"{1 / rate:,.0f} s an image"
    return f"{rate:.2f} images/s"


def _most_telling(workers: Sequence[Worker]) -> str:
    phases = {each.phase for each in workers}
    return next((phase for phase in _TELLING if phase in phases), "")
