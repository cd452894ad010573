"""`nightsweep view` as a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from tests.processes import PATIENCE_S, ROOT

_ADDRESS = re.compile(r"http://[^\s,;]+")


@dataclass(frozen=True, slots=True)
class Gallery:
    """A running server.

    Attributes:
        address: What it printed, with the token if people must log in.
        process: The server.
    """

    address: str
    process: "subprocess.Popen[str]"

    @property
    def root(self) -> str:
        """Return the address of its first page, without a slash or a token."""
        parts = urlsplit(self.address)
        return f"{parts.scheme}://{parts.netloc}"

    def url(self, page: str = "", **query: str) -> str:
        """Return the address of a page."""
        return f"{self.root}/{page}{f'?{urlencode(query)}' if query else ''}"


@contextmanager
def viewing(
    home: Path, *options: str, env: Mapping[str, str] | None = None
) -> Iterator[Gallery]:
    """Serve the gallery of a state folder, and end the server with the block.

    Args:
        home: The state folder.
        options: Further options of the command.
        env: Changes to its environment.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NIGHTSWEEP_")}
    own = {"NIGHTSWEEP_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = ("nightsweep", "view", "--no-open", *options)
    with subprocess.Popen(
        [sys.executable, "-P", "-m", *command],
        env={**kept, **own, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Gallery(_read_address(process), process)
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def _read_address(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if found := _ADDRESS.search(line):
            return found[0]
    msg = f"`nightsweep view` printed no address: {said}"
    raise AssertionError(msg)
