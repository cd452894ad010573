"""A store with a small sweep, and its gallery."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.job import PlannedJob
from storage.settings import Settings
from tests.galleries import Visitor, served
from tests.unit.filled_store import filled

Store = tuple[Settings, list[PlannedJob]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Make the sweep `shapes` of 8 images: 6 made, one failed, one pending."""
    return filled(tmp_path / "home")


@pytest.fixture
def visitor(store: Store) -> Iterator[Visitor]:
    """Serve the gallery of that store to somebody on this machine."""
    with served(store[0]) as asking:
        yield asking


@pytest.fixture(scope="module")
def kept_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Make the same for the tests of a file that change nothing."""
    return filled(tmp_path_factory.mktemp("kept"))


@pytest.fixture(scope="module")
def reader(kept_store: Store) -> Iterator[Visitor]:
    """Serve the gallery of that."""
    with served(kept_store[0]) as asking:
        yield asking
