"""Draws a view as lines that fit a terminal, from 40x10 to as large as it gets."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from producer.dashboard.sweep_lines import clock, sweep_lines
from producer.dashboard.view import Line, Message, View
from producer.dashboard.worker_lines import worker_lines
from producer.display.amounts import images
from producer.display.text_width import hang, plain, shorten
from storage.jobs.sweeps import UNMADE

if TYPE_CHECKING:
    from rich.text import Text


def draw(view: View, *, width: int, height: int) -> "Text":
    """Return the screen: at most `height` lines of at most `width` columns."""
    return _styled(_lines(view, width, height), width)


def draw_sweeps(view: View, *, width: int) -> "Text":
    """Return only the sweeps, all of them."""
    room = len(view.sweeps) + 2
    return _styled(sweep_lines(view, width=width, room=room), width)


def divide(room: int, wanted: Sequence[int]) -> list[int]:
    """Divide lines: a small wish is met, and larger ones get equal shares."""
    got = [0] * len(wanted)
    for _ in range(room):
        needy = [n for n, most in enumerate(wanted) if got[n] < most]
        if not needy:
            break
        got[min(needy, key=got.__getitem__)] += 1
    return got


def _lines(view: View, width: int, height: int) -> list[Line]:
    if view.trouble and not view.sweeps:
        return [(_headline(view), "bold")]  # nothing is known yet
    messages = list(_messages(view, width))
    wanted = [
        len(view.sweeps) + 1 + bool(view.others),
        len(view.workers) + 1,
        sum(len(lines) for _, lines in messages),
    ]
    # Besides the blocks: the headline, and a blank line above each.
    shares = divide(height - 1 - sum(map(bool, wanted)), wanted)
    blocks = (
        sweep_lines(view, width=width, room=shares[0]),
        worker_lines(view, width=width, room=shares[1]),
        list(_fitted(messages, shares[2])),
    )
    below = (line for block in blocks if block for line in [("", ""), *block])
    return [(_headline(view), "bold"), *below][:height]


def _headline(view: View) -> str:
    parts = [f"{view.at:%H:%M:%S}"]
    if view.trouble:
        return plain(f"{parts[0]} · Waiting: {view.trouble}")
    active = [one for one in view.sweeps if one.now.state == "active"]
    unmade = sum(one.now.unmade for one in active)
    unmade += sum(view.others_by_state.get(state, 0) for state in UNMADE)
    rate = sum(one.images_per_s for one in active)
    if known := [one.left_s for one in active if one.left_s is not None]:
        left_s = known[0] if len(active) == 1 or not rate else unmade / rate
        parts.append(f"done about {clock(view.at, left_s)}")
        parts.append(f"{rate:.2f} images/s")
    parts.append(f"{images(unmade)} left" if unmade else "nothing left to make")
    count = len(view.sweeps) + view.others
    parts += [f"{count:,} sweeps"] if count != 1 else []
    return " · ".join(parts)


def _messages(view: View, width: int) -> Iterator[tuple[Message, list[str]]]:
    """Yield each message with its lines."""
    for one in view.messages:
        at = f"{one.at:%H:%M} " if one.at else ""
        yield one, hang(plain(f"{at}{one.text}"), width=width, indent=2)


def _fitted(messages: Sequence[tuple[Message, list[str]]], room: int) -> Iterator[Line]:
    """Yield one line of each message first, then more; the last one is cut to fit."""
    shares = divide(room, [len(lines) for _, lines in messages])
    for (one, lines), count in zip(messages, shares, strict=True):
        if count:
            *whole, last = lines[:count]
            rest = " ".join([last, *map(str.strip, lines[count:])])
            style = "red" if one.is_failure else "yellow"
            yield from ((line, style) for line in [*whole, rest])


def _styled(lines: Sequence[Line], width: int) -> "Text":
    from rich.text import Text

    text = Text(no_wrap=True, overflow="crop")
    for number, (line, style) in enumerate(lines):
        text.append("\n" if number else "")
        text.append(shorten(line, width), style=style)
    text.highlight_regex("━+", "green")
    text.highlight_regex("─+", "dim")
    return text
