"""The command `nightsweep view`: the gallery, in the browser."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from producer.display.amounts import images, size
from producer.display.messages import talk
from producer.query_options import QueryCommand, join, query_argument
from storage.errors import UsageError
from storage.queries.parsing import parse
from storage.settings import Settings, read_settings
from storage.sql.database import open_existing

if TYPE_CHECKING:
    from producer.commands.view_address import Address

#: Least letters of a token that people choose.
LEAST_TOKEN = 16
_PACKAGES = ("starlette", "uvicorn")
# Warnings of images that could not be read; the rest is counted.
_MOST_NAMED = 3


@click.command(cls=QueryCommand, epilog="Example: nightsweep view first-sweep steps:20")
@query_argument
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port to serve on.  [default: the first free one from 8470 on]",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to serve on; anything but this machine itself needs a token.",
)
@click.option(
    "--token",
    envvar="NIGHTSWEEP_TOKEN",
    show_envvar=True,
    metavar="TEXT",
    help="What people log in with, 16 letters or more; better set in the environment, "
    "since `ps` shows options.  [default: a new one, where --host needs it]",
)
@click.option("--read-only", is_flag=True, help="Refuse every change.")
@click.option(
    "--open/--no-open",
    "opens",
    default=True,
    help="Open the browser, if there is one here.",
)
@click.option(
    "--export",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Serve nothing: write the grid of QUERY into a folder that opens from disk.",
)
@click.option(
    "--originals",
    is_flag=True,
    help="With --export: copy the images in full, too, not only thumbnails.",
)
def view(  # noqa: PLR0913 - its options
    words: Sequence[str],
    *,
    port: int | None,
    host: str,
    token: str | None,
    read_only: bool,
    opens: bool,
    folder: Path | None,
    originals: bool,
) -> None:
    """Look at sweeps and images in the browser.

    Shows how far sweeps are, live; the images of any QUERY as a grid; one image beside
    another; and the answer. Serves this machine only, until Ctrl-C. Needs `pip install
    'nightsweep[web]'`.
    """
    query = parse(join(words)).text
    settings = read_settings()
    if folder:
        _upgrade(settings)
        _export(settings, query, folder, originals=originals)
        return
    if originals:
        msg = "--originals must come with --export, got it alone; add --export DIR."
        raise UsageError(msg)
    _require_packages()
    # Imported here: the help needs no server.
    from producer.commands.view_address import Address
    from producer.commands.view_server import serve

    with Address.bound(host, port) as address:
        site_token = _read_token(token, address)
        if not read_only:
            _upgrade(settings)
        serve(
            settings,
            address,
            token=site_token,
            read_only=read_only,
            query=query,
            opens=opens,
        )


def _require_packages() -> None:
    missing = next((name for name in _PACKAGES if not find_spec(name)), None)
    if missing:
        msg = (
            f"The gallery must have its packages, but {missing} is not installed; run "
            "`pip install 'nightsweep[web]'`."
        )
        raise UsageError(msg)


def _read_token(token: str | None, address: "Address") -> str | None:
    """Return the token that people must log in with; None where nobody must."""
    import secrets

    if token and len(token) < LEAST_TOKEN:
        msg = (
            f"--token must have {LEAST_TOKEN} letters or more, got {len(token)}; leave "
            "it out, and the command makes one."
        )
        raise UsageError(msg)
    return token or (None if address.is_loopback else secrets.token_urlsafe(32))


def _upgrade(settings: Settings) -> None:
    """Bring an old database up to date, since ratings and votes are written to it."""
    database = open_existing(settings.database_url)
    if database:
        database.close()


def _export(settings: Settings, query: str, folder: Path, *, originals: bool) -> None:
    # Imported here: it reads the pages' scripts.
    from gallery.export import export

    done = export(settings, query, folder, originals=originals, who=settings.user)
    click.echo(folder)
    talk(
        f"{images(done.images)}, {size(done.size_bytes)}; open "
        f"{done.folder / 'index.html'} in a browser."
    )
    if done.unmade:
        talk(f"Not made: {images(done.unmade)}; their cells say so.")
    for reason in list(done.gone.values())[:_MOST_NAMED]:
        talk(f"Warning: {reason}")
    if len(done.gone) > _MOST_NAMED:
        talk(f"Warning: {images(len(done.gone))} could not be read in all.")
