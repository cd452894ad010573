"""When a supervisor ends by itself, as batch systems want."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class ExitRules:
    """The conditions that end the supervisor with nothing wrong.

    Attributes:
        when_idle_s: Seconds without anything to do; None to wait for ever.
        after_s: Seconds in all; None for no limit.
        why: The reason to end, once there is one.
    """

    when_idle_s: float | None = None
    after_s: float | None = None
    why: str = ""
    _began: float = field(default_factory=time.monotonic)
    _idle_since: float | None = None

    def is_due(self, *, is_idle: bool) -> bool:
        """Return whether to end now.

        Args:
            is_idle: Whether there is nothing to do at present.
        """
        now = time.monotonic()
        if self.after_s is not None and now - self._began >= self.after_s:
            self.why = "its time is over"
            return True
        if not is_idle:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        if self.when_idle_s is None or self._idle_since is None:
            return False
        self.why = "there was nothing to make"
        return now - self._idle_since >= self.when_idle_s
