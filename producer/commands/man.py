"""The command `nightsweep man`: manual pages made from the help."""

import sys
from importlib.metadata import version
from pathlib import Path

import click

from producer.display.manual_pages import make_page, page_name, subcommands
from producer.display.messages import talk
from storage.errors import UsageError
from storage.host.atomic_writes import replacing

#: Where `man` looks for the programs of an environment, below its folder.
FOLDER = Path("share", "man", "man1")


@click.command(epilog="Example: nightsweep man --to ~/.local/share/man/man1")
@click.option(
    "--to",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write to.  [default: share/man/man1 of this environment]",
)
def man(folder: Path | None) -> None:
    """Write manual pages, one for each command.

    Then `man nightsweep` and `man nightsweep-find` show them: `man` looks beside the
    programs of the environment that is active. Write them again after an upgrade.
    """
    group = click.get_current_context().find_root().command
    root = group.make_context("nightsweep", [], resilient_parsing=True)
    folder = folder or Path(sys.prefix) / FOLDER
    pages = {
        page_name(each): make_page(each, version=version("nightsweep"))
        for each in (root, *subcommands(root))
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, page in pages.items():
            with replacing(folder / f"{name}.1") as fresh:
                fresh.write_text(page)
    except OSError as exc:
        msg = (
            f"--to must name a folder that can be written, got {folder} ({exc}); name "
            "another."
        )
        raise UsageError(msg) from exc
    talk(f"Wrote {len(pages)} pages to {folder}; begin with `man nightsweep`.")
