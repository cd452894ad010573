"""The system's Chromium, without a window."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

#: Without a sandbox, which root may not have, and without asking the network.
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-dev-shm-usage"),
    # A name that the tests take for a site of somebody else.
    "--host-resolver-rules=MAP foreign.test 127.0.0.1",
)


@contextmanager
def launched() -> Iterator[Browser]:
    """Run the Chromium that CHROMIUM names, and end it with the block."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=[*ARGUMENTS], chromium_sandbox=False
        )
        try:
            yield browser
        finally:
            browser.close()
