"""Tables of figures, kept in `docs/benchmarks.md` with machine, versions, command."""

import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
PACKAGES = ("nightsweep", "sqlalchemy", "celery", "redis", "torch", "diffusers")
BEGINNING = """\
# Figures, as measured

Each table names its date, machine, versions and command; run the command with
`--append` to add your own. Most machines are shared, and may be two or three times
slower a minute later. So compare figures within one table, whose sides were run in
turn; between tables they show only an order of magnitude.
"""


def append(title: str, command: str, table: str, *, notes: str = "") -> None:
    """Append a table to `docs/benchmarks.md`; create the page if it is missing.

    Args:
        title: The heading, such as `Submitting a million jobs`.
        command: The command that was run.
        table: Markdown, as `table` returns it.
        notes: Sentences that explain the columns.
    """
    page = PAGE.read_text() if PAGE.exists() else BEGINNING
    parts = (f"## {title}", environment_line(), f"`{command}`", table, notes)
    section = "\n\n".join(part.strip() for part in parts if part)
    PAGE.write_text(f"{page.rstrip()}\n\n{section}\n")


def environment_line() -> str:
    """Return date, processor, cores and versions, in one line."""
    today = datetime.now(UTC).date().isoformat()
    machine = f"{processor()}, {os.cpu_count()} cores, {platform.system()}"
    versions = (f"{name} {version}" for name in PACKAGES if (version := _version(name)))
    python = platform.python_version()
    return f"{today} · {machine} · {', '.join((f'Python {python}', *versions))}"


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2] for line in lines if line.startswith("model name"))
    return next(names, platform.machine()).strip()


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with the first column left-aligned, the others right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    dashes = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(cells, widths) for cells in (header, dashes, *rows))


def command_line() -> str:
    """Return the running command as typed in the repository, without `--append`."""
    script = Path(sys.argv[0]).resolve().relative_to(PAGE.parents[1])
    words = [word for word in sys.argv[1:] if word != "--append"]
    return " ".join(["python", str(script), *words])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
    return f"| {' | '.join(padded)} |"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
