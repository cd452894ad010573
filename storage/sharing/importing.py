"""An import: all that an export has is taken into a home, nothing twice."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from storage.files.folders import Folder
from storage.sharing.image_arrivals import ImageArrivals
from storage.sharing.manifest import read_lines
from storage.sharing.opinion_arrivals import take_opinions
from storage.sharing.shared_items import Header, SharedImage, SharedSweep, SharedVote
from storage.sharing.sources import Source
from storage.sharing.sweep_arrivals import Unmade, settle_sweeps, take_sweeps
from storage.sql.database import Database

#: Images whose rows are stored in one transaction.
PAGE_IMAGES = 500

Each = TypeVar("Each")
Page = Sequence[SharedImage | SharedVote]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import did.

    Attributes:
        sweeps: Names that the sweeps have here.
        images: What became of images; see `ImageArrivals`.
        opinions: Counts of new `scores`, `ratings` and `votes`.
        problems: What is wrong with files of the export, one phrase each.
        unmade: What the sweeps lack that stay paused.
    """

    sweeps: Sequence[str]
    images: Mapping[str, int]
    opinions: Mapping[str, int]
    problems: Sequence[str]
    unmade: Sequence[Unmade]


def take_in(
    database: Database,
    folder: Folder,
    source: Source,
    header: Header,
    *,
    names: Mapping[str, SharedSweep],
    progress: Callable[[Iterable[Page]], Iterable[Page]],
) -> Imported:
    """Take in an export. It may be interrupted at any moment, and given again.

    Args:
        database: Where rows go.
        folder: Where files go.
        source: The export.
        header: What it says of itself.
        names: The sweeps by their names in the export, as they are to be here.
        progress: Passes pages of images on, and says how many there were.

    Raises:
        UsageError: The export cannot be read, or another sweep has a name.
        ImageStoreError: A file cannot be written.
        DatabaseError: SQL cannot be reached.
    """
    sweeps = take_sweeps(database, names)
    arrivals = ImageArrivals(database, folder, source, sweeps)
    arrivals.take_inputs(header.inputs)
    for page in progress(_pages(_images(source))):
        arrivals.take([each for each in page if isinstance(each, SharedImage)])
    opinions = Counter[str]()
    # Once all images are here: a score may be of two of them.
    for page in _pages(read_lines(source.lines(), where=source.where)):
        opinions += take_opinions(database, page)
    own = [(one, sweeps[name]) for name, one in names.items() if not one.reference_of]
    return Imported(
        sweeps=[sweep.name for _, sweep in own],
        images=arrivals.counts,
        opinions=opinions,
        problems=arrivals.problems,
        unmade=settle_sweeps(database, own),
    )


def _images(source: Source) -> Iterator[SharedImage]:
    for each in read_lines(source.lines(), where=source.where):
        if isinstance(each, SharedImage):
            yield each


def _pages(items: Iterable[Each]) -> Iterator[list[Each]]:
    given = iter(items)
    while page := list(islice(given, PAGE_IMAGES)):
        yield page
