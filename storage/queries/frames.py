"""Rows as a DataFrame of pandas or polars, whichever is installed."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from storage.errors import UsageError

#: The libraries that can make a frame, the preferred one first.
LIBRARIES = ("pandas", "polars")


def make_frame(
    rows: Sequence[Mapping[str, Any]],
    fields: Mapping[str, type],
    *,
    library: str | None = None,
) -> Any:
    """Return rows as a DataFrame; without rows it has the columns, too.

    Args:
        rows: What is in it.
        fields: Names and types of its columns.
        library: `pandas` or `polars`; None for the one that is installed, or pandas.

    Raises:
        UsageError: The library is neither of the two, or is not installed.
    """
    chosen = import_module(_choose(library))
    if chosen.__name__ == "polars":
        kinds = {int: chosen.Int64, float: chosen.Float64, bool: chosen.Boolean}
        schema = {name: kinds.get(kind, chosen.String) for name, kind in fields.items()}
        return chosen.DataFrame(list(rows), schema=schema)
    return chosen.DataFrame(list(rows), columns=list(fields))


def _choose(library: str | None) -> str:
    if library not in (None, *LIBRARIES):
        msg = f"a frame must be of {' or '.join(LIBRARIES)}, got {library!r}."
        raise UsageError(msg)
    wanted = LIBRARIES if library is None else (library,)
    for name in wanted:
        if find_spec(name):
            return name
    msg = (
        f"a frame needs {' or '.join(wanted)}, which is not installed; run `pip "
        f"install {wanted[0]}`, or use Store.find, which returns dictionaries."
    )
    raise UsageError(msg)
