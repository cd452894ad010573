"""How a download is shown where there is no terminal."""

import threading

import pytest

from producer.display import fetching
from producer.display.fetching import fetch_shown


def test_a_log_has_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fetching, "LINE_S", 0.001)
    on_disk, looked = iter([1_000, 1_000, 1_250]), threading.Event()

    def measure() -> int:
        # At first, nothing new; after the last line, more than was expected.
        if (size := next(on_disk, None)) is None:
            looked.set()
        return 10_000 if size is None else size

    with fetch_shown("org/name", 2_000, measure):
        looked.wait()
    assert capsys.readouterr().err.splitlines()[:3] == [
        "org/name: 0 B of 2 kB (0.0%)",
        "org/name: 250 B of 2 kB (12.5%)",
        "org/name: 2 kB of 2 kB (100.0%)",
    ]
