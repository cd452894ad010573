"""Which requests the server takes, and the headers of every answer.

The threats are pages of other sites in the user's browser: they may send requests here
(cross-site request forgery), frame our pages, embed images, or have their own name
resolve to our address (DNS rebinding). So the `Host` must be one of ours; whatever the
browser says another site asked for is refused; changes need a token that only our pages
know. Texts that people wrote cannot run: no script or style is inline.
"""

import hmac
import logging
from collections.abc import Iterator
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gallery.site import Site

log = logging.getLogger(__name__)

#: Most bytes of a request's body: 20,000 keys take 700 kB.
MOST_BODY_BYTES = 1_000_000
METHODS = ("GET", "HEAD", "POST")
#: What pages send with each change.
TOKEN_HEADER = "x-nightsweep-token"  # noqa: S105 - a name
#: What the browser may load, and from where.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
#: Features of browsers that no page uses.
_FEATURES = (
    *("accelerometer", "autoplay", "camera", "display-capture"),
    *("encrypted-media", "geolocation", "gyroscope", "hid", "idle-detection"),
    *("magnetometer", "microphone", "midi", "payment", "picture-in-picture"),
    *("publickey-credentials-get", "screen-wake-lock", "serial", "usb"),
    "xr-spatial-tracking",
)
#: The headers of every answer, after OWASP's Secure Headers Project. HSTS is left out:
#: the server speaks no TLS, and a proxy before it can add the header.
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-permitted-cross-domain-policies": "none",
    "x-dns-prefetch-control": "off",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": ", ".join(f"{name}=()" for name in _FEATURES),
}


class Guard:
    """ASGI middleware: refuses what is not for us, and adds `HEADERS` to every answer.

    An error that nothing else caught is logged here, and its details stay here.
    """

    def __init__(self, app: ASGIApp, *, site: Site) -> None:
        """Take the application that answers what is let through."""
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no page opens a WebSocket
        answer = _Answer(send)
        refused = login(scope, self._site) or refuse(scope, self._site)
        if refused:
            await refused(scope, receive, answer.send)
            return
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            log.exception("a request failed", extra={"action": "request_failed"})
            if not answer.has_begun:
                text = (
                    "The server failed on this, which is a mistake in nightsweep; the "
                    "terminal of `nightsweep view` has the details."
                )
                failed = refusal(scope, HTTPStatus.INTERNAL_SERVER_ERROR, text)
                await failed(scope, receive, answer.send)


class _Answer:
    """The way back to the browser, which adds the headers."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
        await self._send(message)


def refusal(scope: Scope, status: HTTPStatus, sentence: str) -> Response:
    """Return the answer that says an error: JSON for scripts, text for people."""
    if scope["path"].startswith("/api/"):
        return JSONResponse({"error": sentence}, status)
    return PlainTextResponse(f"{sentence}\n", status)


def login(scope: Scope, site: Site) -> Response | None:
    """Answer `/?token=...&q=...`: remember who knows the token, and show the query.

    The address that is shown then is without the token.

    Returns None for every other request, and where the host or the token is wrong.
    """
    asked = parse_qs(scope["query_string"].decode("latin-1"))
    given = asked.get("token")
    if scope["path"] != "/" or scope["method"] != "GET" or not given:
        return None
    if not is_own_host(Headers(scope=scope).get("host", ""), site):
        return None
    if not _is_same(given[0], site.token):
        text = (
            "The token must be the one that `nightsweep view` printed, but this is "
            "another; open the address that it printed last."
        )
        return refusal(scope, HTTPStatus.UNAUTHORIZED, text)
    query = urlencode({"q": asked["q"][0]}) if "q" in asked else ""
    where = f"/grid?{query}" if query else "/"
    answer = Response(status_code=HTTPStatus.SEE_OTHER, headers={"location": where})
    answer.set_cookie(
        site.cookie_name, site.cookie, path="/", httponly=True, samesite="strict"
    )
    return answer


def refuse(scope: Scope, site: Site) -> Response | None:
    """Return the answer to a request that must not be taken; None for the others."""
    headers = Headers(scope=scope)
    for status, sentence in _objections(scope, headers, site):
        answer = refusal(scope, status, sentence)
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            answer.headers["allow"] = ", ".join(METHODS)
        return answer
    return None


def is_own_host(host: str, site: Site) -> bool:
    """Return whether a `Host` header names this server; its port may be a tunnel's."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name in site.hosts


def _objections(
    scope: Scope, headers: Headers, site: Site
) -> Iterator[tuple[HTTPStatus, str]]:
    """Yield what speaks against a request, the gravest first."""
    method = scope["method"]
    if method not in METHODS:
        yield HTTPStatus.METHOD_NOT_ALLOWED, "The method must be GET, HEAD or POST."
    if not is_own_host(headers.get("host", ""), site):
        yield (
            HTTPStatus.FORBIDDEN,
            "The address must be one that `nightsweep view` serves, but the browser "
            "asked for another host; open the address that it printed.",
        )
    if _is_foreign(method, headers):
        yield HTTPStatus.FORBIDDEN, "Only the gallery's own pages may ask for this."
    if site.needs_login and not _is_logged_in(headers, site):
        yield (
            HTTPStatus.UNAUTHORIZED,
            "The gallery must know you; open the address with ?token= that "
            "`nightsweep view` printed, or load this page again if you just did.",
        )
    if method == "POST":
        yield from _objections_to_change(headers, site)


def _objections_to_change(
    headers: Headers, site: Site
) -> Iterator[tuple[HTTPStatus, str]]:
    if site.read_only:
        yield (
            HTTPStatus.FORBIDDEN,
            "Nothing can be changed here: `nightsweep view` was started with "
            "--read-only; start it without.",
        )
    if not _is_from_own_page(headers):
        yield HTTPStatus.FORBIDDEN, "Changes must come from the gallery's own pages."
    if not _is_same(headers.get(TOKEN_HEADER, ""), site.page_token):
        yield (
            HTTPStatus.FORBIDDEN,
            "Changes must have the token of the page, but this has another or none; "
            "load the page again.",
        )
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        yield HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body must be application/json."
    length = headers.get("content-length", "")
    if not length.isdecimal():
        yield HTTPStatus.LENGTH_REQUIRED, "The body must have a Content-Length."
    elif int(length) > MOST_BODY_BYTES:
        yield (
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The body must have at most {MOST_BODY_BYTES:,} bytes; ask in parts.",
        )


def _is_foreign(method: str, headers: Headers) -> bool:
    """Return whether the browser says that another site asked for this.

    A link on another site may lead here, but nothing of ours goes into its pages.
    """
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return False
    is_link = headers.get("sec-fetch-mode") == "navigate"
    return not (method == "GET" and is_link and _is_top_level(headers))


def _is_top_level(headers: Headers) -> bool:
    return headers.get("sec-fetch-dest") == "document"


def _is_from_own_page(headers: Headers) -> bool:
    """Return whether `Origin` is this server; without one, a browser did not ask."""
    origin = headers.get("origin")
    if origin is None:
        return True
    scheme, _, host = origin.partition("://")
    return scheme in ("http", "https") and host == headers.get("host")


def _is_logged_in(headers: Headers, site: Site) -> bool:
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return False
    found = cookies.get(site.cookie_name)
    return found is not None and _is_same(found.value, site.cookie)


def _is_same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(), secret.encode())
