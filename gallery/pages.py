"""The pages: empty shells, which scripts fill; and the scripts themselves."""

import re
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gallery.error_answers import NotThereError
from gallery.files import CHECKED
from gallery.site import Site

if TYPE_CHECKING:
    from jinja2 import Environment

#: What draws charts, in the order of loading.
LIBRARIES = ("vega.min.js", "vega-lite.min.js", "vega-embed.min.js")
_NAME = re.compile(r"[a-z][a-z0-9-]*(\.min)?\.(js|css|svg|png)")
_IMPORTED = re.compile(r'^import .* from "\./([\w-]+\.js)";', re.MULTILINE)
_TYPES = {
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
    "png": "image/png",
}


def sweeps_page(request: Request) -> Response:
    """Answer with the page of all sweeps."""
    return _page(request, "sweeps")


def grid_page(request: Request) -> Response:
    """Answer with the page of a grid; the script reads `?q=` and the rest."""
    return _page(request, "grid", asked=pivot_address(request.query_params))


def image_page(request: Request) -> Response:
    """Answer with the page of one image, whose key the address ends with."""
    return _page(request, "image")


def answer_page(request: Request) -> Response:
    """Answer with the page of a query's answer, `?q=`."""
    return _page(request, "answer")


def get_static(request: Request) -> Response:
    """Answer with a script, a style or a library of our own.

    It is read from the package each time, so that a page is never of two versions.

    Raises:
        NotThereError: There is none of this name.
    """
    name = request.path_params["name"]
    place = _find_static(name)
    content = place.read_bytes() if place else None
    if content is None:
        msg = "The file must be one of the gallery's, but there is none of this name."
        raise NotThereError(msg)
    tag = f'"{sha256(content).hexdigest()[:32]}"'
    # Modules import each other without a version, so browsers ask each time.
    headers = {"etag": tag, "cache-control": CHECKED}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    kind = _TYPES[name.rpartition(".")[2]]
    return Response(content, headers=headers, media_type=kind)


@cache
def modules_of(page: str) -> tuple[str, ...]:
    """Return the names of all modules that a page's script imports, even indirectly.

    A page names them in its head. So they load side by side, and not each after the
    one that imports it.
    """
    found = {f"{page}.js": None}
    waiting = list(found)
    while waiting:
        text = (files("gallery") / "static" / waiting.pop()).read_text("utf-8")
        new = [name for name in _IMPORTED.findall(text) if name not in found]
        found |= dict.fromkeys(new)
        waiting += new
    return tuple(found)[1:]


def _find_static(name: str) -> Traversable | None:
    if not _NAME.fullmatch(name):
        return None
    place = files("analysis") / "vega" / name
    if name not in LIBRARIES:
        place = files("gallery") / "static" / name
    return place if place.is_file() else None


def pivot_address(params: QueryParams) -> str:
    """Return what the page of a grid asks first, letter for letter.

    The page's head says it, so that the answer is there when the modules are.
    """
    fixes = [pair for pair in params.multi_items() if pair[0].startswith("fix.")]
    pairs = [("q", params.get("q", "")), *dict(fixes).items()]
    # What browsers leave as it is in a form, and Python does not, and the reverse.
    text = urlencode(pairs, safe="*").replace("~", "%7E")
    return f"/api/pivot?{text}"


def _page(request: Request, name: str, *, asked: str | None = None) -> Response:
    site: Site = request.app.state.site
    template = _templates().get_template(f"{name}.html")
    text = template.render(
        page=name,
        token=site.page_token,
        read_only=int(site.read_only),
        who=site.who,
        version=version("nightsweep"),
        libraries=LIBRARIES,
        modules=modules_of(name),
        asked=asked,
    )
    return HTMLResponse(text)


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("gallery"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
