"""One browser, one filled store and one server for all tests of pages."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
)

from tests.web.chromium import launched
from tests.web.complaints import Complaints
from tests.web.serving import Gallery, viewing
from tests.web.stores import FilledStore, fill_store

PATIENCE_MS = 30_000.0
#: The size of most tests; pages look alike from 400 to 2560 pixels.
SIZE = {"width": 1280, "height": 800}

expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder."""
    for item in items:
        if "tests/web" in item.path.as_posix():
            item.add_marker(pytest.mark.web)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Yield the browser of all tests."""
    with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> FilledStore:
    """Return the store that tests share; each leaves the images of others alone."""
    return fill_store(tmp_path_factory.mktemp("web") / "home")


@pytest.fixture(scope="session")
def gallery(store: FilledStore) -> Iterator[Gallery]:
    """Yield the server of the shared store."""
    with viewing(store.settings.home, env={"NIGHTSWEEP_USER": "mira"}) as gallery:
        yield gallery


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Yield what browsers complain of; a test fails with what it did not expect."""
    made = Complaints()
    yield made
    assert not made.unexpected()
    assert not made.missing()


@pytest.fixture
def browse(
    chromium: Browser, complaints: Complaints
) -> Iterator[Callable[..., BrowserContext]]:
    """Yield what opens a browser's session, with no cookies and nothing stored."""
    opened: list[BrowserContext] = []

    def open_session(**options: Any) -> BrowserContext:
        context = chromium.new_context(**{"viewport": SIZE, **options})
        context.set_default_timeout(PATIENCE_MS)
        context.on("console", lambda message: _note(complaints, message))
        context.on("weberror", lambda error: complaints.heard.append(str(error.error)))
        opened.append(context)
        return context

    yield open_session
    for context in opened:
        context.close()


@pytest.fixture
def page(browse: Callable[..., BrowserContext]) -> Page:
    """Return a tab of a new session."""
    return browse().new_page()


def _note(complaints: Complaints, message: ConsoleMessage) -> None:
    if message.type == "error":
        complaints.heard.append(f"{message.text} ({message.location.get('url')})")
