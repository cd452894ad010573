"""The server of `nightsweep view`, from its start to Ctrl-C."""

import gc
import logging
import os
import secrets
import socket
import sys
import threading
import webbrowser

import click
import uvicorn

from gallery.app import make_app
from gallery.site import Site
from producer.commands.view_actions import CommandActions
from producer.commands.view_address import Address, has_browser
from producer.display.messages import talk
from storage.settings import Settings

#: Seconds that answers may take to end after Ctrl-C.
ENDING_S = 3
#: New objects after which Python looks for unused ones. A pivot makes more at once, all
#: of which are used; by default, looking for others takes a quarter of its time.
NEW_OBJECTS = 50_000
#: Seconds for which a browser may keep a connection that it does not use.
KEEP_ALIVE_S = 60


def serve(
    settings: Settings,
    address: Address,
    *,
    token: str | None,
    read_only: bool,
    query: str,
    opens: bool,
) -> None:
    """Serve the gallery until Ctrl-C.

    Args:
        settings: Whose sweeps are shown.
        address: Where to listen.
        token: What people must log in with; None where nobody must.
        read_only: Whether every change is refused.
        query: What the first page shows; empty for the page of sweeps.
        opens: Whether a browser is opened.
    """
    site = Site(
        settings=settings,
        actions=CommandActions(settings),
        token=token or secrets.token_urlsafe(32),
        needs_login=token is not None,
        hosts=address.hosts,
        read_only=read_only,
        who=settings.user,
    )
    url = address.url(query, token=token)
    click.echo(url)
    tunnel = address.tunnel(os.environ, settings.user)
    if tunnel:
        talk(f"On the machine with your browser, type `{tunnel}`, then open the URL.")
    talk("Ctrl-C ends it.")
    if opens and has_browser(os.environ, sys.platform):
        # A thread of its own: some browsers hold up whoever starts them.
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
    gc.set_threshold(NEW_OBJECTS)
    try:
        GalleryServer(site).run(sockets=[address.listening])
    except KeyboardInterrupt:
        return  # the usual end


class GalleryServer(uvicorn.Server):
    """Uvicorn with a gallery, whose streams end when it is told to end."""

    def __init__(self, site: Site) -> None:
        """Take the gallery."""
        self._app = make_app(site)
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        super().__init__(
            uvicorn.Config(
                self._app,
                http="h11",
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=ENDING_S,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams first, which would not end by themselves."""
        self._app.state.watcher.end_streams()
        await super().shutdown(sockets)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until the end, and then leave nothing open."""
        try:
            super().run(sockets)
        finally:
            self._app.state.watcher.wait()
            self._app.state.reader.close()
