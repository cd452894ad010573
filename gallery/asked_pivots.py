"""The pivots that grids ask for, the first of which is begun before the page asks."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams

from gallery.error_answers import to_json
from gallery.pivot import read_pivot
from gallery.reader import Reader
from gallery.request_fields import read_fixes

#: Seconds for which a pivot waits for the page that it was begun for.
KEPT_S = 10.0
#: Seconds after which a page that is asked for again has its pivot begun anew, since
#: images may have changed. Long enough to point at a link and to click on it.
FRESH_S = 2.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a pivot is asked by: the query, and axes that are fixed to a label."""

    query: str
    fixes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A pivot that is read before it is asked for.

    Attributes:
        task: What reads it.
        began: When, by the clock of the event loop, in seconds.
    """

    task: "asyncio.Task[bytes]"
    began: float


class AskedPivots:
    """Reads pivots in threads. Its methods are called in the event loop.

    A browser takes a while from a page to the first question of its script, and people
    from pointing at a link to opening it. The server reads the answer meanwhile.
    """

    def __init__(self, reader: Reader, *, who: str) -> None:
        """Take the database and the person whose ratings are shown."""
        self._reader = reader
        self._who = who
        self._begun: dict[Asked, Begun] = {}

    def begin(self, params: QueryParams) -> None:
        """Begin to read what the page of a grid will ask for."""
        asked, loop = _asked(params), asyncio.get_running_loop()
        before = self._begun.get(asked)
        if before and loop.time() - before.began < FRESH_S:
            return
        task = asyncio.create_task(self._read(asked))
        # Else Python warns of an error that no page has asked for.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        begun = self._begun[asked] = Begun(task, loop.time())
        loop.call_later(KEPT_S, self._forget, asked, begun)

    async def read(self, params: QueryParams) -> bytes:
        """Return the JSON of a pivot.

        Raises:
            UsageError: The query cannot be read, or fixes an axis that it has not.
            DatabaseError: The database cannot be reached.
        """
        asked = _asked(params)
        begun = self._begun.pop(asked, None)
        return await (begun.task if begun else self._read(asked))

    def _forget(self, asked: Asked, begun: Begun) -> None:
        if self._begun.get(asked) is begun:
            del self._begun[asked]

    async def _read(self, asked: Asked) -> bytes:
        return await run_in_threadpool(self._read_now, asked.query, dict(asked.fixes))

    def _read_now(self, query: str, fixes: Mapping[str, str]) -> bytes:
        with self._reader.opened() as database:
            return to_json(read_pivot(database, query, fixes, who=self._who))


def _asked(params: QueryParams) -> Asked:
    return Asked(params.get("q", ""), tuple(read_fixes(params).items()))
