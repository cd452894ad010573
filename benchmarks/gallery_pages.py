"""What pages of the gallery cost in a browser: time, frames, memory, updates."""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
from gallery_figures import RUNS, Figures, Spent, spending
from gallery_server import server_of
from playwright.sync_api import Browser, Page

from tests.web.serving import Gallery

NOTED = Path(__file__).with_suffix(".js").read_text()
#: All combinations on two sides, so that nothing is behind a slider or stacked.
SIDES = {
    "rows": ("prompt", "steps", "guidance"),
    "cols": ("scheduler", "seed"),
    "supers": ("",),
    "slider": ("",),
    "stack": ("",),
}
#: Pixels of a cell, and a window that shows about 400 of them.
CELL_PX = 44
WINDOW = {"width": 1220, "height": 1100}
PAN_S = 5.0
#: For so long a pointer rests on a link before it is pressed, in milliseconds.
POINTED_MS = 250
PATIENCE_MS = 120_000
LABELS_IN_SIGHT = """() => ["cols", "rows"].map((side) =>
  document.querySelectorAll(`.grid-${side} [data-place]`).length)"""
#: Swaps rows and columns, and returns milliseconds until the page is free again.
SWAP = """async () => {
  const began = performance.now();
  const grid = document.querySelector("[role=grid]");
  const before = grid.getAttribute("aria-rowcount");
  grid.dispatchEvent(new KeyboardEvent("keydown", {key: "s", bubbles: true}));
  while (grid.getAttribute("aria-rowcount") === before) {
    await new Promise(requestAnimationFrame);
  }
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - began;
}"""
#: Scrolls down and up again, a little in each frame, and returns the page's own frames.
PAN = """async (seconds) => {
  const grid = document.querySelector("[role=grid]");
  const frames = window.nightsweepFrames;
  frames.length = 0;
  const end = performance.now() + 1000 * seconds;
  let step = 14;
  while (performance.now() < end) {
    await new Promise(requestAnimationFrame);
    const before = grid.scrollTop;
    grid.scrollBy({top: step, behavior: "instant"});
    if (grid.scrollTop === before) step = -step;
  }
  return [...frames];
}"""
LISTEN = """(query) => {
  window.heard = new Map();
  window.hear = new EventTarget();
  const events = new EventSource(`/api/events?${new URLSearchParams({q: query})}`);
  events.addEventListener("images", (event) => {
    for (const key of JSON.parse(event.data).keys) window.heard.set(key, Date.now());
    window.hear.dispatchEvent(new Event("heard"));
  });
  return new Promise((done) => (events.onopen = () => done(true)));
}"""
#: Returns when the page heard of an image, in milliseconds since 1970.
HEARD = """(key) => new Promise((done) => {
  const look = () => window.heard.has(key) && done(window.heard.get(key));
  window.hear.addEventListener("heard", look);
  look();
})"""


@contextmanager
def opened(browser: Browser) -> Iterator[Page]:
    """Yield a tab of a session with an empty cache, which notes what is drawn."""
    with browser.new_context(viewport=WINDOW) as context:  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.add_init_script(NOTED)
        yield page


def measure_opening(
    figures: Figures, browser: Browser, gallery: Gallery, *, url: str, name: str
) -> None:
    """Time a grid from its address to its first picture, and until it can be used."""
    seen: dict[str, list[Spent]] = {"picture": [], "grid": []}
    for _ in range(RUNS):
        with opened(browser) as page:
            # A process of the browser's for our site, as somebody has who comes from
            # another page of it; none of the grid's files.
            page.goto(f"{gallery.root}/static/theme.css")
            with spending(lambda: [server_of(gallery), *processes()]) as so_far:
                page.goto(url, wait_until="commit")
                noted = page.evaluate("window.firstSight")
                cpu_ms = so_far().cpu_ms
            for part, wall_ms in noted.items():
                seen[part].append(Spent(wall_ms=wall_ms, cpu_ms=cpu_ms))
    figures.add_times(f"{name}: first picture", seen["picture"], goal="300 ms")
    figures.add_times(f"{name}: interactive", seen["grid"], goal="500 ms")


def measure_from_list(
    figures: Figures, browser: Browser, gallery: Gallery, *, sweep: str
) -> None:
    """Time a grid from a click in the list of sweeps to its first picture.

    The browser has opened a grid before. The pointer rests on the link for as long as
    people need to press; the time begins with the page that the click opens.
    """
    with opened(browser) as page:
        seen = []
        for run in range(RUNS + 1):
            page.goto(f"{gallery.root}/")
            link = page.get_by_role("link", name=sweep, exact=True)
            link.hover()
            page.wait_for_timeout(POINTED_MS)
            with spending(lambda: [server_of(gallery), *processes()]) as so_far:
                link.click(no_wait_after=True)
                page.wait_for_url("**/grid?*", wait_until="commit")
                noted = page.evaluate("window.firstSight")
                cpu_ms = so_far().cpu_ms
            if run:
                seen.append(Spent(wall_ms=noted["picture"], cpu_ms=cpu_ms))
    name = "from the list of sweeps: first picture"
    figures.add_times(name, seen, goal="300 ms")


def measure_use(figures: Figures, browser: Browser, url: str) -> None:
    """Pivot a grid, move it, and see what memory that takes."""
    with opened(browser) as page:
        page.goto(url)
        page.evaluate("window.firstSight")
        swaps = []
        for _ in range(2 * RUNS):
            with spending(processes) as so_far:
                wall_ms = page.evaluate(SWAP)
                swaps.append(Spent(wall_ms=wall_ms, cpu_ms=so_far().cpu_ms))
        figures.add_times("rows and columns swapped", swaps, goal="500 ms")
        cols, rows = page.evaluate(LABELS_IN_SIGHT)
        for when in ("pictures loading", "pictures there"):
            measure_frames(figures, page, name=f"{cols * rows} cells pan, {when}")
        own = max(each.memory_full_info().uss for each in processes("--type=renderer"))
        figures.add("memory of the page's process", megabytes(own), goal="300 MB")
        measured: dict[str, Any] = page.evaluate(
            "performance.measureUserAgentSpecificMemory()"
        )
        figures.add("memory that the page counts", megabytes(measured["bytes"]))


def measure_frames(figures: Figures, page: Page, *, name: str) -> None:
    """Scroll a grid and count its frames."""
    with spending(processes) as so_far:
        gaps: list[float] = sorted(page.evaluate(PAN, PAN_S))
        spent = so_far()
    late = gaps[len(gaps) * 95 // 100]
    rate = 1000 * len(gaps) / sum(gaps)
    figures.add(
        f"{name}, frames",
        f"{rate:.0f}/s, 95 % within {late:.0f} ms",
        cpu=f"{spent.cpu_ms / len(gaps):.0f} ms each",
        goal="50/s",
    )


def measure_scripts(figures: Figures, browser: Browser, url: str) -> None:
    """Count the bytes of our own scripts that a page loads."""
    sizes: list[int] = []

    def note(response: Any) -> None:
        if ".js" in response.url and "vega" not in response.url:
            sizes.append(len(response.body()))

    with opened(browser) as page:
        page.on("response", note)
        page.goto(url)
        page.evaluate("window.firstSight")
    figures.add("own scripts", f"{sum(sizes) / 1000:.0f} kB", goal="200 kB")


def measure_updates(
    figures: Figures, page: Page, keys: Sequence[str], finish: Any
) -> None:
    """Finish jobs one by one, and time until a page that listens has heard."""
    took = []
    for key in keys:
        finish(key)
        began = 1000 * time.time()
        took.append(page.evaluate(HEARD, key) - began)
    middle, worst = statistics.median(took), max(took)
    text = f"{middle:,.0f} ms, at most {worst:,.0f} ms"
    figures.add("an update reaches a page", text, goal="1,000 ms")


@contextmanager
def listening(browser: Browser, gallery: Gallery, query: str) -> Iterator[Page]:
    """Yield a page that hears of a query's images."""
    with opened(browser) as page:
        page.goto(f"{gallery.root}/")
        page.evaluate(LISTEN, query)
        # Both pages' first look at the database, which no update waits for.
        page.wait_for_timeout(3000)
        yield page


def grid_url(gallery: Gallery, query: str) -> str:
    """Return the address of a grid whose cells are small and hold one image each."""
    sides = [(side, name) for side, names in SIDES.items() for name in names]
    return f"{gallery.root}/grid?{urlencode([('q', query), ('cell', CELL_PX), *sides])}"


def processes(kind: str = "--type=") -> list[psutil.Process]:
    """Return the browser's processes of a kind; all but its first one by default."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended
            if any(kind in word for word in process.cmdline()):
                found.append(process)
    return found


def megabytes(size_bytes: float) -> str:
    """Return a size in words."""
    return f"{size_bytes / 1e6:.0f} MB"
