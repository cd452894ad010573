"""The application that answers requests: its routes, behind the guard."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from gallery import api, changes_api, events, files, pages
from gallery.asked_pivots import AskedPivots
from gallery.error_answers import answer_error, answer_http_error
from gallery.reader import Reader
from gallery.security import Guard
from gallery.site import Site
from gallery.watching import Watcher
from storage.errors import NightsweepError

#: Addresses and what answers them. Functions that are not coroutines run in threads.
ROUTES = (
    Route("/", pages.sweeps_page),
    Route("/grid", pages.grid_page),
    Route("/show/{key}", pages.image_page),
    Route("/answer", pages.answer_page),
    Route("/static/{name}", pages.get_static),
    Route("/thumb/{key}", files.get_thumbnail),
    Route("/image/{key}", files.get_image),
    Route("/api/sweeps", api.get_sweeps),
    Route("/api/events", events.get_events),
    Route("/api/pivot", api.get_pivot),
    Route("/api/complete", api.get_completion),
    Route("/api/image/{key}", api.get_image_facts),
    Route("/api/pair", api.get_pair),
    Route("/api/preferences", api.get_preferences),
    Route("/api/answer", api.get_answer),
    Route("/api/rate", changes_api.post_rating, methods=["POST"]),
    Route("/api/vote", changes_api.post_vote, methods=["POST"]),
    Route("/api/fill", changes_api.post_fill, methods=["POST"]),
    Route("/api/add", changes_api.post_addition, methods=["POST"]),
    Route("/api/sweeps/{name}/{verb}", changes_api.post_verb, methods=["POST"]),
)


def make_app(site: Site) -> Starlette:
    """Return the application of a gallery.

    It opens the database when a page first asks for it, and has one thread more while
    a page listens for changes.
    """
    app = Starlette(
        routes=[*ROUTES],
        middleware=[Middleware(Guard, site=site)],
        exception_handlers={
            NightsweepError: answer_error,
            HTTPException: answer_http_error,
        },
    )
    app.router.redirect_slashes = False  # a redirect would name the host of the request
    app.state.site = site
    app.state.reader = Reader(site.settings)
    app.state.pivots = AskedPivots(app.state.reader, who=site.who)
    app.state.watcher = Watcher(site, app.state.reader)
    return app
