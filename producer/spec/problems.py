"""Problems of a sweep file, gathered with their places and reported together."""

import difflib
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from producer.spec.remarks import Remark
from storage.errors import Problem, SpecError, UsageError

#: Longest piece of a wrong value that a message repeats, in characters.
_SHOWN_LENGTH = 60


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something was written; sorts in reading order, options last.

    Attributes:
        option: The command-line option that it comes from; empty for the file.
        line: From 1.
        column: From 1.
        source: Name of the file, or `standard input`.
    """

    option: str
    line: int
    column: int
    source: str

    def __str__(self) -> str:
        """Name the place as messages do, `sweep.yaml line 12`."""
        return shown(self.option) if self.option else f"{self.source} line {self.line}"


@dataclass(frozen=True, slots=True)
class WayOut:
    """Other values to write, in the words of the file and of the command line.

    Attributes:
        in_file: What to write in the file; follows "write".
        axes: Parameter to its values, as YAML; on the command line each is an axis.
        reason: Why, in either place; with what joins it to "write".
    """

    in_file: str
    axes: Mapping[str, str]
    reason: str = ""

    def __str__(self) -> str:
        """Return the sentence for a file."""
        return f"{self.reason}write {self.in_file}"

    @property
    def typed(self) -> str:
        """The sentence for the command line."""
        options = (as_axis(name, values) for name, values in self.axes.items())
        return f"{self.reason}write {' and '.join(options)}"


class WrongValueError(UsageError):
    """A value that cannot be; it says so in the words of where it was written.

    Attributes:
        rule: The rule and the value.
        way_out: What to write instead.
    """

    def __init__(self, rule: str, way_out: str | WayOut) -> None:
        """Make the error in the words of a file."""
        super().__init__(f"{rule}; {way_out}")
        self.rule, self.way_out = rule, way_out


class Problems:
    """Everything found wrong with one spec, to be reported together.

    Attributes:
        remarks: Warnings about what is valid, but may be meant otherwise.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._found: dict[tuple[Place, str], None] = {}
        self.remarks: list[Remark] = []
        self._said: set[str] = set()

    def add(self, place: Place, message: str) -> None:
        """Note that `message` is wrong at `place`; a repetition counts once."""
        self._found[place, message] = None

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._found)

    def once(self, hint: str) -> str:
        """Return a hint the first time, and an empty text after that."""
        is_new = hint not in self._said
        self._said.add(hint)
        return hint if is_new else ""

    @contextmanager
    def at(self, place: Place) -> Iterator[None]:
        """Turn a UsageError raised inside into a problem at `place`."""
        try:
            yield
        except WrongValueError as error:
            self.add(place, f"{error.rule}; {told_at(place, error.way_out)}")
        except UsageError as error:
            self.add(place, str(error))

    def check(self) -> None:
        """Raise the problems, if there are any.

        Raises:
            SpecError: With every problem, in the order of their lines.
        """
        if self._found:
            raise SpecError(
                [
                    Problem(where=str(place), message=message)
                    for place, message in sorted(self._found)
                ]
            )


def told_at(place: Place, way_out: str | WayOut) -> str:
    """Return a way out as it is told at a place, which may be an option."""
    if place.option and isinstance(way_out, WayOut):
        return way_out.typed
    return str(way_out)


def as_axis(name: str, text: str) -> str:
    """Return the option that gives an axis its values, as a shell reads it."""
    return f"`--axis {shown(shlex.quote(f'{name}={text}'))}`"


def shown(value: object) -> str:
    """Return a value as a message repeats it: short, on one line, and never empty."""
    text = " ".join(str(value).split("\n"))
    if len(text) > _SHOWN_LENGTH:
        text = text[:_SHOWN_LENGTH] + "…"
    return text or "nothing"


def nearest(name: str, known: Collection[str]) -> str:
    """Return the way out of a misspelt name: the nearest known name, else all."""
    close = closest(name, known)
    return f"did you mean `{close}`?" if close else f"known are {listed(known)}"


def closest(name: str, known: Collection[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that a misspelt one is taken for, or None."""
    lower = {word.lower(): word for word in known}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=cutoff)
    return lower[close[0]] if close else None


def listed(words: Iterable[str]) -> str:
    """Join words for a sentence: `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
