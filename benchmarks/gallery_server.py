"""What the gallery's server costs: its start, its answers, its thumbnails."""

import http.client
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import psutil
from gallery_figures import RUNS, Figures, Spent, cpu_ms, spending
from gallery_images import drop_thumbnails

from tests.web.serving import Gallery, viewing

CLIENTS = 4
PATIENCE_S = 60.0
#: Thumbnails that are asked for, and those that are made while a client waits.
SERVED = 4000
MADE = 400


def measure_start(figures: Figures, home: Path) -> None:
    """Time from the command until it has answered with its first page."""
    spent = []
    for _ in range(RUNS):
        with spending(lambda: ()) as so_far, viewing(home) as gallery:
            get(gallery, "/")
            wall_ms = so_far().wall_ms
            used = cpu_ms([server_of(gallery)])
            spent.append(Spent(wall_ms=wall_ms, cpu_ms=used))
    figures.add_times("start of `view`, to its first page", spent, goal="1,000 ms")


def measure_pivots(figures: Figures, gallery: Gallery, **queries: str) -> None:
    """Time the answers that grids are made of."""
    for name, query in queries.items():
        path = f"/api/pivot?{urlencode({'q': query})}"
        spent = []
        get(gallery, path)
        for _ in range(RUNS):
            with spending(lambda: [server_of(gallery)]) as so_far:
                get(gallery, path)
                spent.append(so_far())
        figures.add_times(f"`/api/pivot` of {name.replace('_', ' ')}", spent)


def measure_thumbnails(
    figures: Figures, gallery: Gallery, images: Path, keys: Sequence[str]
) -> None:
    """Count thumbnails a second: those that are there, and those that are not."""
    served = [f"/thumb/{keys[n % len(keys)]}" for n in range(SERVED)]
    _count(figures, gallery, served, name="thumbnails served", goal="300/s")
    # Not the first ones: others are further names of their files.
    drop_thumbnails(images, keys[-MADE:])
    made = [f"/thumb/{key}" for key in keys[-MADE:]]
    _count(figures, gallery, made, name="thumbnails of 512 px made and served")


def _count(
    figures: Figures,
    gallery: Gallery,
    paths: Sequence[str],
    *,
    name: str,
    goal: str = "",
) -> None:
    get(gallery, paths[0])
    with spending(lambda: [server_of(gallery)]) as so_far:
        load(gallery, paths)
        spent = so_far()
    rate = 1000 * len(paths) / spent.wall_ms
    each = spent.cpu_ms / len(paths)
    figures.add(name, f"{rate:,.0f}/s", cpu=f"{each:.1f} ms each", goal=goal)


def server_of(gallery: Gallery) -> psutil.Process:
    """Return the server's process."""
    return psutil.Process(gallery.process.pid)


def load(gallery: Gallery, paths: Sequence[str]) -> None:
    """Ask for paths over some connections at once."""

    def ask(client: int) -> None:
        with closing(connection_to(gallery)) as connection:
            for path in paths[client::CLIENTS]:
                fetch(connection, path)

    clients = [threading.Thread(target=ask, args=(n,)) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()


def get(gallery: Gallery, path: str) -> bytes:
    """Return the body of an answer.

    Raises:
        RuntimeError: The server refused.
    """
    with closing(connection_to(gallery)) as connection:
        return fetch(connection, path)


def connection_to(gallery: Gallery) -> http.client.HTTPConnection:
    """Return a connection that is kept open."""
    place = urlsplit(gallery.root).netloc
    return http.client.HTTPConnection(place, timeout=PATIENCE_S)


def fetch(connection: http.client.HTTPConnection, path: str) -> bytes:
    """Ask for a path on an open connection; see `get`."""
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != http.client.OK:
        msg = f"{path} gave {answer.status}: {body[:200]!r}"
        raise RuntimeError(msg)
    return body
