"""What every test needs: a state folder of its own, and nobody else's settings."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.settings import Settings, read_settings


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("NIGHTSWEEP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NIGHTSWEEP_HOME", str(tmp_path / "home"))


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Give settings for a state folder in `tmp_path`; it exists."""
    made = read_settings({"NIGHTSWEEP_HOME": str(tmp_path / "home")})
    made.make_home()
    return made
