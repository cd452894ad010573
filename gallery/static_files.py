"""The scripts, styles and libraries of our own, as they are sent.

The modules of a page are sent as one script, and all styles as one. A browser asks for
six files at once, so dozens of modules would cost it several rounds.
"""

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from gallery.module_bundle import make_bundle

FOLDER = Path(__file__).resolve().parent / "static"
#: Pages with a script of this name.
PAGES = ("sweeps", "grid", "image", "answer")
#: All styles together, and what is in them.
STYLE = "gallery.css"
STYLES = ("theme.css", "pages.css", "grid.css")
#: What draws charts, in the order of loading.
LIBRARIES = ("vega.min.js", "vega-lite.min.js", "vega-embed.min.js")
_NAME = re.compile(r"[a-z][a-z0-9-]*(\.min)?\.(js|css|svg|png)")
_TYPES = {
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
    "png": "image/png",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticFile:
    """A file as it is sent.

    Attributes:
        content: Its bytes.
        digest: Of the content; the file's address has it.
        media_type: What a browser is told that it is.
    """

    content: bytes
    digest: str
    media_type: str


def find_static(name: str) -> StaticFile | None:
    """Return a file by name; None if there is none."""
    try:
        return _read(name) if _NAME.fullmatch(name) else None
    except FileNotFoundError:
        return None


def address_of(name: str) -> str:
    """Return the address of a file, which no other content will ever have."""
    return f"/static/{name}?v={_read(name).digest}"


def page_script(page: str) -> str:
    """Return a page's module and all that it imports, as one module.

    Raises:
        BundleError: A module cannot be part of one script.
    """
    return make_bundle(FOLDER, f"{page}.js")


def page_style() -> str:
    """Return the styles of all pages."""
    return "\n".join((FOLDER / name).read_text("utf-8") for name in STYLES)


@cache
def _read(name: str) -> StaticFile:
    """Read a file once, so that all pages are of one version."""
    content = _content(name)
    return StaticFile(
        content=content,
        digest=sha256(content).hexdigest()[:32],
        media_type=_TYPES[name.rpartition(".")[2]],
    )


def _content(name: str) -> bytes:
    if name == STYLE:
        return page_style().encode()
    page = name.removesuffix(".js")
    if page in PAGES:
        return page_script(page).encode()
    if name in LIBRARIES:
        return (files("analysis") / "vega" / name).read_bytes()
    return (FOLDER / name).read_bytes()
