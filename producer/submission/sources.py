"""What SPEC stands for: a sweep file, standard input, or a sweep that is stored."""

from contextlib import closing
from pathlib import Path

from producer.spec.yamltext import Source, StoredSpec, read_once
from storage.jobs.sweeps import find_sweep
from storage.settings import Settings
from storage.sql.database import open_for_reading


def find_source(
    spec: str, settings: Settings, *, leave_no_trace: bool = False
) -> Source:
    """Return what a command's SPEC stands for; a file wins over a sweep's name.

    Args:
        spec: A path, `-`, or the name of a stored sweep.
        settings: Where sweeps are stored.
        leave_no_trace: See `storage.sql.database.open_for_reading`.

    Raises:
        SpecError: Standard input is not UTF-8 text.
        DatabaseError: SQL cannot be reached.
    """
    if spec == "-":
        return read_once("-")
    path = Path(spec)
    if path.exists() and not path.is_dir():
        return path
    database = open_for_reading(settings.database_url, leave_no_trace=leave_no_trace)
    if database is None:
        return path
    with closing(database):
        sweep = find_sweep(database, spec)
    return path if sweep is None else stored_source(sweep.name, sweep.spec)


def stored_source(name: str, text: str, *, folder: Path = Path()) -> StoredSpec:
    """Return a stored spec, whose relative paths start from `folder`."""
    return StoredSpec(name=name, text=text, folder=folder.resolve())
