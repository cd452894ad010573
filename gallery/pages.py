"""The pages: empty shells, which scripts fill; and the scripts themselves."""

from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gallery.error_answers import NotThereError
from gallery.files import CHECKED, IMMUTABLE
from gallery.site import Site
from gallery.static_files import LIBRARIES, STYLE, address_of, find_static

if TYPE_CHECKING:
    from jinja2 import Environment


def sweeps_page(request: Request) -> Response:
    """Answer with the page of all sweeps."""
    return _page(request, "sweeps")


async def grid_page(request: Request) -> Response:
    """Answer with the page of a grid; the script reads `?q=` and the rest."""
    request.app.state.pivots.begin(request.query_params)
    return _page(request, "grid", asked=pivot_address(request.query_params))


def image_page(request: Request) -> Response:
    """Answer with the page of one image, whose key the address ends with."""
    return _page(request, "image")


def answer_page(request: Request) -> Response:
    """Answer with the page of a query's answer, `?q=`."""
    return _page(request, "answer")


async def get_static(request: Request) -> Response:
    """Answer with a script, a style or a library of our own.

    Raises:
        NotThereError: There is none of this name.
    """
    found = find_static(request.path_params["name"])
    if found is None:
        msg = "The file must be one of the gallery's, but there is none of this name."
        raise NotThereError(msg)
    is_fixed = request.query_params.get("v") == found.digest
    tag = f'"{found.digest}"'
    headers = {"etag": tag, "cache-control": IMMUTABLE if is_fixed else CHECKED}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(found.content, headers=headers, media_type=found.media_type)


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
        address_of=address_of,
        style=STYLE,
        libraries=LIBRARIES,
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
