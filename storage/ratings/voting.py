"""Votes: which of two images that differ in one axis a person prefers."""

import random
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, combinations
from math import comb
from typing import Any

import sqlalchemy as sa

from storage.errors import UsageError
from storage.queries.parsing import refine
from storage.queries.paths import find_ids
from storage.queries.selection import Selection, compile_query
from storage.queries.terms import Query
from storage.ratings.axis_places import Place, read_neighbours, read_places
from storage.sql.database import Database, utc_now
from storage.sql.row_counts import count_rows
from storage.sql.schema import WINNERS, jobs, votes

#: Images of which all pairs are weighed; of more, those of some draws are.
MOST_IMAGES = 20_000
DRAWS = 4
#: Pairs that are weighed against each other.
MOST_PAIRS = 5_000

Two = tuple[Place, Place]
#: Images that differ in one axis alone.
Block = list[Place]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two images to vote on.

    Attributes:
        a: Key of the one that is shown first.
        b: Key of the other.
        left: Pairs that the person has not voted on, this one among them; of many
            images, at least so many.
    """

    a: str
    b: str
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Voted:
    """What became of a vote.

    Attributes:
        votes: How many the person has given on this axis.
        a: Label of the first image.
        b: Label of the other.
    """

    votes: int
    a: str
    b: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A vote between two values of an axis.

    Attributes:
        who: Who gave it.
        a: Label of the first image.
        b: Label of the other.
        winner: `a`, `b` or `tie`.
        block: What is equal in both images.
        prompt: Row of their prompt; None where it differs.
    """

    who: str
    a: str
    b: str
    winner: str
    block: Hashable
    prompt: int | None


def choose_pair(
    database: Database,
    query: Query | str,
    *,
    by: str,
    who: str,
    chance: random.Random,
) -> Pair | None:
    """Choose two finished images that differ in one axis alone; None if none is left.

    The pair that got the fewest votes comes first, then the one whose values did.

    Args:
        database: Where the images are.
        query: Which of them.
        by: The axis: one of the sweep that the query names, or a parameter.
        who: The person, who sees no pair twice.
        chance: Decides between equals, and which image is shown first.

    Raises:
        UsageError: There is no such axis, or no such pair.
        DatabaseError: The database cannot be read.
    """
    with database.read() as connection:
        selection = compile_query(connection, refine(query, state=["done"]))
        blocks = _group(_choose_places(selection, by, chance))
        total = sum(map(_count_pairs, blocks))
        if not total:
            msg = (
                f"a vote must have two finished images that differ in {by} alone, but "
                "the query has none; choose another axis, or make more images."
            )
            raise UsageError(msg)
        known = _Known(blocks, connection.execute(sa.select(votes)).all(), who=who)
    pairs = known.without_own(_list_pairs(blocks, chance))
    if not pairs:
        return None
    first, second = min(pairs, key=lambda pair: (*known.count(pair), chance.random()))
    a, b = chance.sample((first, second), 2)
    return Pair(a=a.key, b=b.key, left=total - len(known.own))


def vote(  # noqa: PLR0913 - a vote has that many sides
    database: Database,
    a: str,
    b: str,
    *,
    winner: str,
    by: str,
    who: str,
    query: Query | str = "",
) -> Voted:
    """Store which of two images a person prefers.

    Args:
        database: Where the images are.
        a: Whole key of the one that was shown first.
        b: Whole key of the other.
        winner: `a`, `b` or `tie`.
        by: The axis in which alone they differ.
        who: The person.
        query: The query that `choose_pair` chose them for.

    Raises:
        UsageError: There is no such winner, or they are no such pair.
        DatabaseError: The database cannot be written.
    """
    if winner not in WINNERS:
        msg = f"winner must be one of {', '.join(WINNERS)}, got {winner!r}."
        raise UsageError(msg)
    with database.write() as connection:
        selection = compile_query(connection, query)
        found = read_places(selection, by, jobs.c.key.in_([a, b]))
        places = {place.key: place for place in found}
        if not places.keys() >= {a, b} or not _is_pair(places[a], places[b]):
            msg = (
                f"a vote must be on two images of the query that differ in {by} alone, "
                f"got {a} and {b}; ask for another pair."
            )
            raise UsageError(msg)
        values = {
            "job_a": places[a].job_id,
            "job_b": places[b].job_id,
            "query": query if isinstance(query, str) else query.text,
        }
        of = {"who": who, "axis": by}
        new = {**values, **of, "winner": winner, "voted_at": utc_now()}
        connection.execute(sa.insert(votes).values(new))
        mine = (votes.c[name] == value for name, value in of.items())
        count = sa.select(sa.func.count()).select_from(votes).where(*mine)
        given = int(connection.execute(count).scalar_one())
    return Voted(votes=given, a=places[a].label, b=places[b].label)


def read_votes(database: Database, query: Query | str, *, by: str) -> list[Vote]:
    """Return the votes on pairs of a query's images that differ in one axis alone.

    They are sorted by time. It does not matter for which query and by which name of
    the axis they were asked for.

    Raises:
        UsageError: There is no such axis.
        DatabaseError: The database cannot be read.
    """
    sides = sa.union(sa.select(votes.c.job_a), sa.select(votes.c.job_b))
    with database.read() as connection:
        selection = compile_query(connection, query)
        places = read_places(selection, by, selection.job_id.in_(sides))
        rows = connection.execute(sa.select(votes).order_by(votes.c.id)).all()
    by_id = {place.job_id: place for place in places}
    both = ((row, by_id.get(row.job_a), by_id.get(row.job_b)) for row in rows)
    return [
        Vote(
            who=row.who,
            a=a.label,
            b=b.label,
            winner=row.winner,
            block=a.rest,
            prompt=a.prompt_id if a.prompt_id == b.prompt_id else None,
        )
        for row, a, b in both
        if a and b and _is_pair(a, b)
    ]


class _Known:
    """The votes on pairs of some blocks.

    Attributes:
        own: The pairs that the person has voted on, each as the rows of its jobs.
    """

    def __init__(
        self, blocks: Sequence[Block], rows: Iterable[sa.Row[Any]], *, who: str
    ) -> None:
        self.own: set[frozenset[int]] = set()
        self._pairs: Counter[frozenset[int]] = Counter()
        self._labels: Counter[frozenset[str]] = Counter()
        self._images: Counter[int] = Counter()
        by_id = {place.job_id: place for block in blocks for place in block}
        for row in rows:
            a, b = by_id.get(row.job_a), by_id.get(row.job_b)
            if a and b and _is_pair(a, b):
                ids = frozenset((a.job_id, b.job_id))
                self._pairs[ids] += 1
                self._labels[frozenset((a.label, b.label))] += 1
                self._images.update(ids)
                if row.who == who:
                    self.own.add(ids)

    def without_own(self, pairs: Iterable[Two]) -> list[Two]:
        """Return the pairs that the person has not voted on."""
        return [each for each in pairs if _ids(each) not in self.own]

    def count(self, pair: Two) -> tuple[int, int, int]:
        """Return how many votes the pair has, its two values, and its two images."""
        a, b = pair
        return (
            self._pairs[_ids(pair)],
            self._labels[frozenset((a.label, b.label))],
            self._images[a.job_id] + self._images[b.job_id],
        )


def _choose_places(selection: Selection, by: str, chance: random.Random) -> list[Place]:
    """Return the places of all images, or of many if there are more."""
    connection = selection.scope.connection
    rows = selection.select_ids()
    if count_rows(connection, rows, up_to=MOST_IMAGES + 1) <= MOST_IMAGES:
        return read_places(selection, by)
    last = connection.execute(sa.select(sa.func.max(jobs.c.id))).scalar_one()
    found: dict[int, Place] = {}
    for _ in range(DRAWS):
        start = chance.randrange(last)
        ids = find_ids(connection, selection, after=start, size=1)
        for job_id in ids or find_ids(connection, selection, after=0, size=1):
            places = read_neighbours(selection, by, job_id, limit=MOST_IMAGES)
            found |= {place.job_id: place for place in places}
    return [found[job_id] for job_id in sorted(found)]


def _group(places: Iterable[Place]) -> list[Block]:
    blocks: dict[Hashable, Block] = {}
    for place in places:
        blocks.setdefault(place.rest, []).append(place)
    return [*blocks.values()]


def _count_pairs(block: Block) -> int:
    labels = Counter(place.label for place in block)
    return comb(len(block), 2) - sum(comb(count, 2) for count in labels.values())


def _list_pairs(blocks: Sequence[Block], chance: random.Random) -> Iterator[Two]:
    """Yield all pairs, or random ones of them if there are more than `MOST_PAIRS`."""
    if sum(map(_count_pairs, blocks)) <= MOST_PAIRS:
        for block in blocks:
            yield from filter(lambda two: _is_pair(*two), combinations(block, 2))
        return
    weights = list(accumulate(map(_count_pairs, blocks)))
    for block in chance.choices(blocks, cum_weights=weights, k=MOST_PAIRS):
        a, b = chance.sample(block, 2)
        if _is_pair(a, b):
            yield a, b


def _is_pair(a: Place, b: Place) -> bool:
    return a.label != b.label and a.rest == b.rest


def _ids(pair: Two) -> frozenset[int]:
    return frozenset(place.job_id for place in pair)
