"""Rows as a Parquet file, a part at a time."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from storage.errors import UsageError

#: Rows of one part of the file.
PART_ROWS = 50_000


def write_parquet(
    rows: Iterable[Mapping[str, Any]], fields: Mapping[str, type], *, file: Path
) -> int:
    """Write rows into a file, which is there only once it is whole.

    Args:
        rows: Any number; a hundred thousand need about 100 MB while they are written.
        fields: Names and types of the columns.
        file: Replaced if it exists.

    Returns:
        How many rows there were.

    Raises:
        UsageError: pyarrow is not installed, or the file cannot be written.
    """
    arrow, parquet = _import_pyarrow()
    kinds = {int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_()}
    schema = arrow.schema(
        [(name, kinds.get(kind, arrow.string())) for name, kind in fields.items()]
    )
    part, count = file.with_name(f".{file.name}.part"), 0
    try:
        with parquet.ParquetWriter(part, schema) as writer:
            for some in _parts(iter(rows)):
                writer.write_table(arrow.Table.from_pylist(some, schema=schema))
                count += len(some)
        part.replace(file)
    except OSError as exc:
        msg = (
            f"A Parquet file must be writable, but {file} gives: {exc}; free some disk "
            "space or name another place."
        )
        raise UsageError(msg) from exc
    finally:
        part.unlink(missing_ok=True)
    return count


def _import_pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as exc:
        msg = (
            "a Parquet file needs the package pyarrow, which is not installed; run "
            "`pip install 'nightsweep[export]'`, or use --csv."
        )
        raise UsageError(msg) from exc
    return pyarrow, parquet


def _parts(rows: Iterator[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    while some := list(islice(rows, PART_ROWS)):
        yield some
