"""Live updates, as server-sent events, which browsers ask for again by themselves."""

import asyncio
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gallery.error_answers import to_json
from gallery.reader import Reader
from gallery.watching import Event, Listener, Watcher
from storage.queries.answers import read_meaning

#: Seconds of silence after which a comment shows that the server is alive, and that
#: the page still listens.
SILENCE_S = 15.0
#: Milliseconds after which a browser opens a stream again that ended.
RETRY_MS = 2000


async def get_events(request: Request) -> Response:
    """Answer with what changes, as it does: `state`, `images` and `trouble`.

    With `?sweeps=0` a state is empty, which spares counting the jobs of sweeps.

    Raises:
        UsageError: The query in `?q=` cannot be read.
    """
    query = request.query_params.get("q")
    if query is not None:
        await run_in_threadpool(_check, request.app.state.reader, query)
    shows_sweeps = request.query_params.get("sweeps") != "0"
    listener = Listener(query, shows_sweeps, asyncio.get_running_loop())
    return StreamingResponse(
        _stream(request.app.state.watcher, listener),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


def _check(reader: Reader, query: str) -> None:
    """Refuse a query that cannot be read, or names what does not exist."""
    if reader.exists():
        with reader.opened() as database:
            read_meaning(database, query)


async def _stream(watcher: Watcher, listener: Listener) -> AsyncIterator[bytes]:
    watcher.join(listener)
    try:
        yield b"retry: %d\n\n" % RETRY_MS
        while True:
            try:
                async with asyncio.timeout(SILENCE_S):
                    event = await listener.events.get()
            except TimeoutError:
                yield b":\n\n"
                continue
            if event is None:
                return
            yield _lines(event)
    finally:
        watcher.leave(listener)


def _lines(event: Event) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (event.name.encode(), to_json(event.data))
