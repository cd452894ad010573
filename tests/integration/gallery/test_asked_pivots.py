"""A grid's first pivot, which is read while its page is on the way."""

import asyncio
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import QueryParams

from gallery.asked_pivots import AskedPivots
from gallery.reader import Reader
from storage.errors import UsageError
from storage.ratings.rating import rate
from storage.sql.database import open_database
from tests.unit.filled_store import filled

SHAPES = QueryParams("q=shapes&zoom=2&fix.steps=20")


def test_a_page_gets_the_pivot_that_was_begun_for_it_and_the_next_is_new(
    tmp_path: Path,
) -> None:
    settings, planned = filled(tmp_path)
    asked = AskedPivots(Reader(settings), who="ada")

    async def visit() -> list[Any]:
        asked.begin(SHAPES)
        (begun,) = asked._begun.values()
        await begun.task
        key = next(one.job.key for one in planned if one.job.steps == 20)
        rate(database, [key], who="ada", stars=5)
        other = QueryParams("q=shapes")
        return [json.loads(await asked.read(one)) for one in (other, SHAPES, SHAPES)]

    with closing(open_database(settings.database_url)) as database:
        whole, early, late = asyncio.run(visit())
    assert [sum(one["stars"]) for one in (whole, early, late)] == [5, 0, 5]
    assert whole["count"] > early["count"] == late["count"]


@pytest.mark.parametrize(("fresh_s", "count"), [(3600.0, 1), (0.0, 2)])
def test_a_page_that_is_asked_for_again_keeps_what_was_just_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_s: float, count: int
) -> None:
    monkeypatch.setattr("gallery.asked_pivots.FRESH_S", fresh_s)
    asked = AskedPivots(Reader(filled(tmp_path)[0]), who="ada")

    async def visit() -> int:
        seen = set()
        for _ in range(2):
            asked.begin(SHAPES)
            seen |= {one.task for one in asked._begun.values()}
        await asyncio.gather(*seen)
        return len(seen)

    assert asyncio.run(visit()) == count


def test_what_is_wrong_with_a_query_is_said_to_the_page_that_asks(
    tmp_path: Path,
) -> None:
    asked = AskedPivots(Reader(filled(tmp_path)[0]), who="ada")
    wrong = QueryParams("q=steps:lots")

    async def visit() -> None:
        asked.begin(wrong)
        for _ in range(2):
            with pytest.raises(UsageError, match="steps must be"):
                await asked.read(wrong)

    asyncio.run(visit())


def test_a_pivot_that_no_page_asks_for_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gallery.asked_pivots.KEPT_S", 0.0)
    asked = AskedPivots(Reader(filled(tmp_path)[0]), who="ada")

    async def visit() -> None:
        asked.begin(QueryParams("q=steps:lots"))
        while asked._begun:
            await asyncio.sleep(0)

    asyncio.run(visit())
