"""What a browser's console says is wrong."""

from dataclasses import dataclass, field


@dataclass
class Complaints:
    """Errors of scripts, of loading, and of the Content-Security-Policy.

    Attributes:
        heard: All of them, with the address that each is about.
        expected: Parts of those that a test provokes.
        allowed: Parts of those that a test may provoke.
    """

    heard: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)

    def allow(self, *parts: str) -> None:
        """Let complaints with one of these parts be: some versions make them."""
        self.allowed += parts

    def expect(self, *parts: str) -> None:
        """Expect complaints with each of these parts, now or later in the test."""
        self.expected += parts

    def unexpected(self) -> list[str]:
        """Return those that no test provoked."""
        return [
            one
            for one in self.heard
            if not any(part in one for part in (*self.expected, *self.allowed))
        ]

    def missing(self) -> list[str]:
        """Return what was expected and not heard."""
        return [
            part for part in self.expected if not any(part in one for one in self.heard)
        ]
