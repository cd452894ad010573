"""Live updates, as server-sent events, which browsers ask for again by themselves."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gallery.error_answers import to_json
from gallery.watching import Event, Listener, Watcher
from storage.queries.parsing import parse

#: Seconds of silence after which a comment shows that the server is alive, and that
#: the page still listens.
SILENCE_S = 15.0
#: Milliseconds after which a browser opens a stream again that ended.
RETRY_MS = 2000


async def get_events(request: Request) -> Response:
    """Answer with what changes, as it does: `state`, `images` and `trouble`.

    Raises:
        UsageError: The query in `?q=` cannot be read.
    """
    query = request.query_params.get("q")
    if query is not None:
        parse(query)  # names in it are looked up with each change
    listener = Listener(query, asyncio.get_running_loop())
    return StreamingResponse(
        _stream(request.app.state.watcher, listener),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


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
