"""Lines that say how far a long reading is."""

import pytest

from producer.display import counting
from producer.display.counting import counted


def test_what_takes_long_says_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "COUNT_LINE_S", 0.0)
    assert list(counted("ab", "Reading", total=2000)) == ["a", "b"]
    assert list(counted("c", "Drawing")) == ["c"]
    said = capsys.readouterr()
    assert said.err == "Reading: 1 of 2,000\nReading: 2 of 2,000\nDrawing: 1\n"
    assert said.out == ""


def test_what_is_short_says_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "COUNT_LINE_S", float("inf"))
    assert list(counted("ab", "Reading")) == ["a", "b"]
    assert capsys.readouterr().err == ""
