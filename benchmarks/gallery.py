"""How fast the gallery is with a million images.

    python benchmarks/gallery.py [--rows N] [--keep FOLDER] [--append]

Makes a database with N finished images in ten sweeps, by plain inserts, with files and
thumbnails for those that are shown, and looks at it: `nightsweep view` as a process,
and the system's Chromium without a window.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

# Server and browser are started as the tests start them. Not before this folder, whose
# `gallery` is this file.
sys.path.insert(1, str(Path(__file__).parents[1]))

import gallery_pages as pages
import gallery_server as server
import report
from gallery_figures import Figures
from gallery_images import make_files
from result_rows import fill

from storage.files.images import relative_path
from storage.host.environment import Environment
from storage.jobs.results import record_done
from storage.queries.answers import Wanted, count, find
from storage.queries.columns import COLUMNS
from storage.settings import Settings, read_settings
from storage.sql.database import Database, open_database, utc_now
from tests.builders import make_result, take_these
from tests.web.chromium import launched
from tests.web.serving import viewing

#: 10,000 jobs: two seeds of 25 prompts, 20 schedulers, 5 step counts, 2 scales.
PIVOT = "sweep:sweep-4 seed:0..1"
#: The tenth part of all jobs, of which a page shows at most 20,000.
SWEEP = "sweep:sweep-4"
UPDATES = 10
ENVIRONMENT = Environment(gpu="CPU", host="night", details={})
HEADER = ("figure", "measured", "CPU", "goal")
NOTES = """\
Medians of five runs, each with none of the page's files in the browser's cache. The
CPU's time is that of the server and of all of the browser's processes. The page itself
notes, from the beginning of its navigation, when its canvas first shows a picture, and
when the grid is on the screen and the page is free. From the list of sweeps, the
pointer rests on the link for 250 ms before the click. Frames are those of
`window.nightsweepFrames` while the grid scrolls 14 pixels in each; the CPU's time of a
frame is that of several processes, which work at once. An update goes from the commit
in SQL to the event in the page. Client, server and browser share the machine."""


def main() -> None:
    """Make the database, look at it, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--keep", metavar="FOLDER", help="make or reuse the files here")
    parser.add_argument("--append", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(options.keep or temporary) / "home"
        settings = read_settings({"NIGHTSWEEP_HOME": str(home)})
        settings.make_home()
        with closing(open_database(settings.database_url)) as database:
            keys = prepare(database, settings, rows=options.rows)
            figures = measure(database, settings, keys)
    table = report.table(HEADER, figures.rows)
    print(table)
    if options.append:
        title = f"The gallery, with {options.rows:,} images"
        report.append(title, report.command_line(), table, notes=NOTES)


def prepare(database: Database, settings: Settings, *, rows: int) -> list[str]:
    """Make rows and files, as far as they are not there; return the keys with files."""
    if not count(database, ""):
        fill(database, rows=rows)
    keys = find_keys(database, f"{PIVOT} state:done")
    make_files(settings.images, keys)
    print(f"{len(keys):,} images have files", file=sys.stderr)
    return keys


def find_keys(database: Database, query: str, *, limit: int | None = None) -> list[str]:
    """Return the keys of a query's jobs."""
    wanted = Wanted(columns=[COLUMNS["key"]], limit=limit)
    return [row["key"] for row in find(database, query, wanted)]


def measure(database: Database, settings: Settings, keys: Sequence[str]) -> Figures:
    """Measure everything, the server alone first."""
    figures = Figures()
    server.measure_start(figures, settings.home)
    with viewing(settings.home) as gallery:
        of_pivots = {"10,000_cells": PIVOT, "a_sweep_of_104,166": SWEEP, "all": ""}
        server.measure_pivots(figures, gallery, **of_pivots)
        server.measure_thumbnails(figures, gallery, settings.images, keys)
        with launched() as browser:
            cells = pages.grid_url(gallery, PIVOT)
            for name, query in (("a sweep of 104,166", SWEEP), ("10,000 cells", PIVOT)):
                url = pages.grid_url(gallery, query)
                pages.measure_opening(figures, browser, gallery, url=url, name=name)
            sweep = SWEEP.removeprefix("sweep:")
            pages.measure_from_list(figures, browser, gallery, sweep=sweep)
            pages.measure_scripts(figures, browser, cells)
            pages.measure_use(figures, browser, cells)
            pending = find_keys(database, f"{PIVOT} state:pending", limit=UPDATES)
            with pages.listening(browser, gallery, PIVOT) as page:
                pages.measure_updates(
                    figures, page, pending, lambda key: finish(database, key)
                )
    return figures


def finish(database: Database, key: str) -> None:
    """Mark a job as done, as a worker does."""
    for claim in take_these(database, [key]):
        result = make_result(path=relative_path(key), finished_at=utc_now())
        done = {claim.id: result}
        record_done(database, done, worker="w", environment=ENVIRONMENT)


if __name__ == "__main__":
    main()
