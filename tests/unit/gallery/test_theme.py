"""Contrast of the gallery's colours, after WCAG 2.2, in both themes."""

import re
from importlib.resources import files

import pytest

SURFACES = ("bg", "panel")
TEXTS = ("text", "muted", "accent", "good", "bad", "warn")
#: What tells a control, or the focus, from what is around it.
EDGES = ("control", "focus")


def _read(name: str) -> str:
    return (files("gallery") / "static" / name).read_text("utf-8")


def _themes() -> dict[str, dict[str, str]]:
    rows = re.findall(
        r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", _read("theme.css")
    )
    return {
        "light": {name: light for name, light, _ in rows},
        "dark": {name: dark for name, _, dark in rows},
    }


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_known_pairs() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    assert _contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("text", TEXTS)
def test_texts_can_be_read_on_every_surface(
    theme: str, surface: str, text: str
) -> None:
    colours = _themes()[theme]
    assert _contrast(colours[text], colours[surface]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("edge", EDGES)
def test_controls_and_focus_stand_out_from_every_surface(
    theme: str, surface: str, edge: str
) -> None:
    colours = _themes()[theme]
    assert _contrast(colours[edge], colours[surface]) >= 3


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_on_the_accent(theme: str) -> None:
    colours = _themes()[theme]
    assert _contrast(colours["accent-text"], colours["accent"]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("state", ["good", "bad", "warn", "accent"])
def test_parts_of_a_progress_bar_stand_out_from_what_is_left(
    theme: str, state: str
) -> None:
    colours = _themes()[theme]
    assert _contrast(colours[state], colours["line"]) >= 3


def test_every_colour_is_registered_so_that_scripts_can_read_it() -> None:
    registered = re.findall(
        r'@property --([\w-]+) \{ syntax: "<color>"; inherits: true; '
        r"initial-value: (#\w{6}); \}",
        _read("theme.css"),
    )
    assert dict(registered) == _themes()["light"]


@pytest.mark.parametrize("name", ["theme.css", "pages.css"])
def test_styles_use_only_tokens_that_the_theme_has(name: str) -> None:
    theme = _read("theme.css")
    known = set(re.findall(r"--([\w-]+):", theme))
    used = set(re.findall(r"var\(--([\w-]+)\)", _read(name)))
    own = set(re.findall(r"--([\w-]+):", _read(name)))
    # What scripts set: where a picture is, and how much of it shows.
    set_by_scripts = {"amount"}
    assert used <= known | own | set_by_scripts


def test_nothing_moves_where_less_motion_is_asked_for() -> None:
    assert "prefers-reduced-motion: reduce" in _read("theme.css")
